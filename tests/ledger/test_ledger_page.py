"""Statements of docs/ledger.md."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from miner.ledger import OUTCOMES
from miner.ledger.schema import COLUMNS, MIGRATIONS, OLD_OUTCOMES
from miner.settings.model import LedgerSettings
from tests.ledger.ledger_rig import LedgerRig

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def words_of_table(head: str) -> list[str]:
    table = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    return re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))


def test_the_page_lists_all_columns_and_outcomes() -> None:
    assert sorted(words_of_table("column")) == sorted(["id", *COLUMNS])
    assert sorted(words_of_table("outcome")) == sorted(OUTCOMES)
    assert f"now {len(MIGRATIONS)};" in PAGE
    for old, new in OLD_OUTCOMES.items():
        assert f"`{old}` is `{new}`" in PAGE


def test_the_settings_on_the_page_are_the_defaults() -> None:
    shown = tomllib.loads(block("toml"))["ledger"]
    assert LedgerSettings(**shown) == LedgerSettings(file=shown["file"])


@pytest.mark.parametrize("query", [q for q in block("sql").split(";") if q.strip()])
def test_the_queries_on_the_page_work(rig: LedgerRig, query: str) -> None:
    rig.finished()
    rig.refuted()
    rig.ledger.flush()
    with closing(sqlite3.connect(rig.path)) as connection:
        answer = connection.execute(query)
        assert answer.description
        answer.fetchall()
