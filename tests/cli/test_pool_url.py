"""Where a pool's address and its secrets come from, the environment included."""

from __future__ import annotations

import pytest

from miner.catalog import find_coin
from miner.cli.mining import COOKIE_VARIABLE, PASSWORD_VARIABLE, pool_url
from miner.settings import PoolSettings


def url(**values: object) -> object:
    return pool_url(PoolSettings.model_validate(values), find_coin("RVN"))


@pytest.mark.parametrize(
    ("values", "cookie"),
    [
        ({"url": "http://127.0.0.1:8766", "cookie_file": "/own"}, "/own"),
        ({"url": "http://127.0.0.1:8766"}, "/environment"),
        ({"url": "http://someone:secret@127.0.0.1:8766"}, None),
        ({"url": "http://127.0.0.1:8766", "user": "someone"}, None),
        ({"url": "stratum+tcp://127.0.0.1:8766", "user": "wallet"}, None),
    ],
)
def test_a_cookie_file_comes_from_the_environment_where_there_is_no_login(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, object], cookie: str | None
) -> None:
    monkeypatch.setenv(COOKIE_VARIABLE, "/environment")
    assert url(**values).cookie_file == cookie  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "password"),
    [
        ({"user": "wallet"}, "environment"),
        ({"user": "wallet", "password": "own"}, "own"),
    ],
)
def test_a_password_comes_from_the_environment_where_the_pool_has_none(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, object], password: str
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "environment")
    got = url(url="stratum+tcp://pool.example:3333", **values)
    assert got.password == password  # type: ignore[attr-defined]


def test_the_user_beside_a_nodes_login_is_who_is_paid() -> None:
    got = url(url="http://someone:secret@127.0.0.1:8766", user="Rreward")
    assert (got.user, got.reward) == ("someone", "Rreward")  # type: ignore[attr-defined]
