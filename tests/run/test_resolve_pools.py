"""Resolving the settings of one pool, including environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from miner.catalog import find_coin
from miner.net.address import PASSWORD_VARIABLE
from miner.run.resolve_pools import login_notes, pool_url, wallet_notes
from miner.settings.environment import COOKIE_VARIABLE
from miner.settings.model import PoolSettings


def url(**values: object) -> object:
    return pool_url(PoolSettings.model_validate(values), find_coin("RVN"))


@pytest.mark.parametrize(
    ("values", "cookie"),
    [
        ({"url": "http://127.0.0.1:8766", "cookie_file": "/own"}, "/own"),
        ({"url": "http://127.0.0.1:8766"}, "/environment"),
        ({"url": "http://someone:secret@127.0.0.1:8766"}, None),
        ({"url": "http://127.0.0.1:8766", "user": "Rreward"}, "/environment"),
        ({"url": "http://Rreward@127.0.0.1:8766"}, "/environment"),
        ({"url": "http://127.0.0.1:8766", "user": "someone", "password": "secret"}, None),
        ({"url": "stratum+tcp://127.0.0.1:8766", "user": "wallet"}, None),
    ],
)
def test_the_cookie_file_of_the_environment_is_for_nodes_without_a_login(
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
def test_the_password_of_the_environment_is_for_pools_without_one(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, object], password: str
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "environment")
    got = url(url="stratum+tcp://pool.example:3333", **values)
    assert got.password == password  # type: ignore[attr-defined]


def test_the_user_of_a_node_with_a_login_in_its_url_is_the_reward_address() -> None:
    got = url(url="http://someone:secret@127.0.0.1:8766", user="Rreward")
    assert (got.user, got.reward) == ("someone", "Rreward")  # type: ignore[attr-defined]


def test_the_protocol_comes_from_the_option_the_scheme_or_the_coin() -> None:
    def spoken(address: str, coin: str | None, protocol: str | None = None) -> str | None:
        pool = PoolSettings(url=address, user="w", protocol=protocol)
        return pool_url(pool, find_coin(coin) if coin else None).protocol

    assert spoken("h:1", None) is None
    assert spoken("h:1", "ZANO") == "zano"
    assert spoken("stratum2+tcp://h:1", "RVN") == "ethstratum"
    assert spoken("stratum2+tcp://h:1", "RVN", "kawpow") == "kawpow"
    assert spoken("h:1", "RVN", "auto") is None
    assert spoken("http://h:1", "RVN") == "node"
    assert spoken("solo+http://h:1", "SERO") == "getwork"


def test_a_password_file_overrides_the_address_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "environment")
    (tmp_path / "pass").write_text("from the file\r\nnot this\n")
    for address in ("h:1", "w:address@h:1"):
        pool = PoolSettings(url=address, user="w", password_file=tmp_path / "pass")
        assert pool_url(pool).password == "from the file"


def test_a_fingerprint_and_a_proxy_are_kept() -> None:
    pool = PoolSettings(
        url="stratum+tls://h:1", user="w", tls_fingerprint=":".join(["AB"] * 32),
        proxy="socks5://me:hunter2@tor:9050",
    )  # fmt: skip
    got = pool_url(pool)
    assert got.tls_fingerprint == "ab" * 32
    assert got.proxy == "socks5://me:hunter2@tor:9050"
    assert "hunter2" not in repr(got)


@pytest.mark.parametrize(
    ("pool", "note"),
    [
        ({"url": "a@h:1", "user": "b"}, "the user b replaces a, the one in the address"),
        ({"url": "a@h:1", "user": "a"}, None),
        ({"url": "http://rpc:pass@h:1", "user": "RWallet"}, None),
        ({"url": "w.r1@h:1", "worker": "r2"}, "the worker r2 is added to a user that ends in .r1"),
        ({"url": "w.r1@h:1", "worker": "r1"}, None),
        ({"url": "w.r1.lan@h:1", "worker": "r1.lan"}, None),
        ({"url": "h:1", "user": "w.5000", "worker": "r1"}, None),
        ({"url": "h:1", "user": "ann@mail.example", "worker": "r1"}, None),
    ],
)
def test_notes_on_logins(pool: dict[str, str], note: str | None) -> None:
    notes = list(login_notes([PoolSettings(**pool)]))
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


RIGHT = "RXBurnXXXXXXXXXXXXXXXXXXXXXXWUo9FV"


@pytest.mark.parametrize(
    ("user", "coin", "variant", "sentence"),
    [
        (f"{RIGHT}.rig1", "RVN", None, None),
        (f"{RIGHT}.rig1", None, "kawpow", None),
        (f"{RIGHT[:-1]}W.rig1", "RVN", None, "RXBur…o9FW cannot be an address of Ravencoin: its c"),
        (f"{RIGHT[:-1]}W.rig1", "RVN", None, "checksum is wrong, so a character is mistyped or mi"),
        (f"{RIGHT}.rig1", "FIRO", None, "cannot be an address of Firo: it has another form; "),
        (RIGHT, None, "firopow", "cannot be an address of Firo: it has another form; "),
        (f"{RIGHT[:-1]}W", None, "kawpow", "cannot be an address of a coin that kawpow mines: its"),
        (RIGHT, "SERO", None, "cannot be an address of SERO: it has another form; "),
        (RIGHT, "EPIC", None, None),
        (RIGHT, None, "progpow-0.9.4", None),
        ("practice.rig1", "RVN", None, None),
    ],
)  # fmt: skip
def test_notes_on_wallets(
    user: str, coin: str | None, variant: str | None, sentence: str | None
) -> None:
    mined = find_coin(coin) if coin else None
    pools = [
        pool_url(PoolSettings(url=f"{name}.example:1", user=user), mined) for name in ("a", "b")
    ]
    notes = list(wallet_notes(pools, mined, variant))
    assert len(notes) == (sentence is not None), "one note for both pools"
    for note in notes:
        assert sentence is not None
        assert sentence in note
        assert note.startswith("stratum+tcp://a.example:1: ")
        assert RIGHT[5:-4] not in note


def test_a_blank_in_a_login_is_noted() -> None:
    (note,) = wallet_notes([pool_url(PoolSettings(url="h:1", user="RXBurn XXX"))], None, "kawpow")
    assert (
        note
        == "stratum+tcp://h:1: the user contains a blank; remove it, as pools refuse such logins"
    )


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ({"url": "stratum+tcp://h:1", "user": "w", "worker": "r"}, "w.r"),
        ({"url": "http://h:1", "user": "Rreward"}, "Rreward"),
        ({"url": "http://rpc:secret@h:1", "user": "Rreward"}, "Rreward"),
        ({"url": "http://rpc:secret@h:1"}, ""),
    ],
)
def test_the_account_that_is_mined_for(values: dict[str, object], account: str) -> None:
    assert url(**values).account == account  # type: ignore[attr-defined]
