"""Strategies of valid settings, derived from the model: mappings in the form of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pydantic import SecretStr

from miner.codegen.launch_shape import SHAPES
from miner.settings.key_table import Key, all_keys
from miner.wallets import placeholder_in

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=12
).filter(lambda text: text.strip() == text)  # fmt: skip

BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    Path: TEXTS,
    bool: st.booleans(),
    int: st.integers(1, 10**6),
    float: st.integers(3, 10**6) | st.floats(3, 1e6),
    SecretStr: st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
    tuple: st.lists(TEXTS, min_size=1, max_size=3),
}

STARTS = st.integers(20, 60) | st.floats(20, 60)
STOPS = st.integers(61, 150) | st.floats(61, 150)


def _listen(port: int) -> st.SearchStrategy[str]:
    addresses = ["", "off", "127.0.0.1:0", f"[::1]:{port}", f"localhost:{port}"]
    return st.sampled_from(addresses)


def _is_no_placeholder(user: str) -> bool:
    login = user.rpartition("@")[0] or user
    return placeholder_in(login.rpartition("://")[2]) is None


BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "url": st.just("stratum+tcp://pool.example:3333"),
    "user": TEXTS.filter(_is_no_placeholder),
    "shape": st.sampled_from([*sorted(SHAPES), "gpu@1", "cpu@2/4"]),
    "launch_seconds": st.floats(0.01, 1),
    "temperature_start": STARTS,
    "memory_temperature_start": STARTS,
    "temperature_stop": STOPS,
    "memory_temperature_stop": STOPS,
    "hosts": st.lists(st.from_regex("[A-Za-z0-9._-]+", fullmatch=True), max_size=3),
    "keep": st.integers(0, 10_000),
    "listen": _listen(4067),
    "ethminer": _listen(1),
    "sgminer": _listen(65535),
}
"""Strategies of keys whose values are restricted further than their type."""

REQUIRED = {"variant", "url", "user", "match"}
EXCLUDED = {"coin", "password_file", "token_file"}
"""Alternatives of other keys."""


def _value(key: Key) -> st.SearchStrategy[Any]:
    if isinstance(key.type, tuple):
        return st.sampled_from(key.type)
    return BY_NAME.get(key.name, BY_TYPE[key.type])


def _table(place: tuple[str, ...], **subtables: Any) -> st.SearchStrategy[dict[str, Any]]:
    keys = {
        key.name: _value(key)
        for key in all_keys()
        if key.place[:-1] == place and key.name not in EXCLUDED
    } | subtables
    required = {name: value for name, value in keys.items() if name in {*REQUIRED, "pools"}}
    optional = {name: value for name, value in keys.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


SETTINGS = _table(
    (),
    pools=st.lists(_table(("pools",)), min_size=1, max_size=3),
    devices=_table(("devices",), tune=st.lists(_table(("devices", "tune")), max_size=3)),
    **{name: _table((name,)) for name in ("api", "log", "ledger", "limits")},
)
