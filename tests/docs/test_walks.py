"""The commands in the pages work as described."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.running import CHECKOUT
from tests.docs.walk import Step, Walk, steps, unmarked

TUTORIAL = CHECKOUT / "docs/tutorial.md"
VARIANT = CHECKOUT / "docs/adding-a-variant.md"
HOWTO = sorted((CHECKOUT / "docs/howto").glob("*.md"))
PAGES = [TUTORIAL, VARIANT, CHECKOUT / "docs/solo.md", *HOWTO]

needs_shell = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")), reason="bash or curl is missing"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_command_is_marked(page: Path) -> None:
    assert unmarked(page) == []
    for step in steps(page):
        assert step.verb != "not run" or step.argument, "a reason"


@needs_shell
@pytest.mark.parametrize("page", [TUTORIAL, VARIANT], ids=lambda p: p.stem)
def test_pages_that_start_their_own_miner(page: Path, tmp_path: Path) -> None:
    with Walk(tmp_path) as walk:
        walk.follow(page)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A miner that has had a share accepted by the test pool."""
    named = {"PROGPOW_MINER_API_HOSTS": "rig-07.example"}
    with Walk(tmp_path_factory.mktemp("rig"), **named) as walk:
        walk.take(
            Step(
                "start",
                "pool, until: listening on",
                "progpow-miner pool --listen 127.0.0.1:3333 --variant kawpow --difficulty 0.00025",
            )
        )
        walk.take(
            Step(
                "start",
                "miner, until: accepted 1",
                "progpow-miner mine -o stratum+tcp://127.0.0.1:3333 -u practice.rig1",
            )
        )
        yield walk
        walk.take(Step("stop", "miner", ""))
        walk.take(Step("stop", "pool", ""))


@needs_shell
@pytest.mark.parametrize("page", HOWTO, ids=lambda p: p.stem)
def test_how_to_pages_beside_a_running_miner(page: Path, rig: Walk) -> None:
    rig.follow(page)


@needs_shell
def test_the_query_of_the_page_on_stale_shares(rig: Walk) -> None:
    page = CHECKOUT / "docs/howto/stale-shares.md"
    (query,) = re.findall(r"^```sql\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    rig.take(Step("run", "", "progpow-miner shares --limit 1"))
    with closing(sqlite3.connect(rig.folder / "state/ledger.sqlite")) as ledger:
        rows = ledger.execute(query).fetchall()
    assert len(rows) == 1
    assert all(isinstance(number, int | float) for number in rows[0][1:])


# Tests of the walk itself


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def test_steps_are_marks_with_their_blocks(page: Path) -> None:
    page.write_text(
        "Text\n\n<!-- run: exit 2 -->\n```sh\nfalse\n```\n\n<!-- expect: a: b -->\nMore\n"
        "```toml\na = 1\n```\n",
        encoding="utf-8",
    )
    assert steps(page) == [Step("run", "exit 2", "false\n"), Step("expect", "a: b", "")]
    assert unmarked(page) == []


def test_unmarked_blocks_are_found(page: Path) -> None:
    page.write_text("<!-- run -->\n```sh\na\n```\n\n```sh\nb\n```\n", encoding="utf-8")
    assert unmarked(page) == ["b\n"]


@needs_shell
@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step("run", "", "echo so; exit 3"), "exit 3: 3\nso"),
        (Step("run", "exit 2", "true"), "true: 0"),
        (Step("run", "", "false | cat"), "false"),
        (Step("start", "x, until: never", "echo something else"), "something else"),
        (Step("expect", "never", ""), "'never' is not in"),
    ],
)
def test_a_different_output_or_exit_code_fails(step: Step, words: str, tmp_path: Path) -> None:
    with Walk(tmp_path) as walk, pytest.raises(AssertionError, match=words):
        walk.take(step)


@needs_shell
def test_started_commands_end_with_the_walk(tmp_path: Path) -> None:
    with Walk(tmp_path) as walk:
        walk.take(Step("start", "x, until: here", "sh -c 'echo here; exec sleep 600'"))
        process = walk._running["x"].process
        assert process.poll() is None
    assert process.poll() is not None
