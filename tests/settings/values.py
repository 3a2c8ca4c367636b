"""Strategies for settings: any valid ones, as a mapping of the file's form."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from miner.codegen.launch_shape import SHAPES
from miner.settings.model import PLACEHOLDER

WORDS = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda text: text.strip() == text and PLACEHOLDER not in text)  # fmt: skip
LISTEN = [
    st.sampled_from(["", "off", "127.0.0.1:0", f"[::1]:{port}", f"localhost:{port}"])
    for port in (1, 4067, 65535)
]
TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
CELSIUS = st.integers(20, 60) | st.floats(20, 60)
HOTTER = st.integers(61, 150) | st.floats(61, 150)

TEMPERATURES: dict[str, st.SearchStrategy[Any]] = {
    "temperature_stop": HOTTER,
    "temperature_start": CELSIUS,
    "memory_temperature_stop": HOTTER,
    "memory_temperature_start": CELSIUS,
}
POOL = st.fixed_dictionaries(
    {"url": st.just("stratum+tcp://pool.example:3333"), "user": WORDS},
    optional={
        "password": WORDS,
        "worker": WORDS,
        "tls_insecure": st.booleans(),
        "tls_ca_file": WORDS,
        "tls_fingerprint": WORDS,
        "protocol": WORDS,
        "proxy": WORDS,
        "cookie_file": WORDS,
    },
)
TUNE = st.fixed_dictionaries(
    {"match": WORDS},
    optional={
        "shape": st.sampled_from(sorted(SHAPES)),
        "launch_seconds": st.floats(0.01, 1),
        **TEMPERATURES,
    },
)
SETTINGS = st.fixed_dictionaries(
    {"variant": WORDS, "pools": st.lists(POOL, min_size=1, max_size=3)},
    optional={
        "rig": WORDS,
        "shares": st.integers(1, 10**9),
        "give_up": st.floats(0.5, 1e9),
        "report_hashrate": st.booleans(),
        "record": WORDS,
        "devices": st.fixed_dictionaries(
            {},
            optional={
                "use": st.lists(WORDS, min_size=1, max_size=3),
                "exclude": st.lists(WORDS, max_size=3),
                "backend": st.sampled_from(["auto", "opencl", "cuda", "ref"]),
                "on_hang": st.sampled_from(["exit", "park"]),
                "tune": st.lists(TUNE, max_size=3),
                **TEMPERATURES,
            },
        ),
        "api": st.fixed_dictionaries(
            {},
            optional={
                "listen": LISTEN[1],
                "token": TOKEN,
                "hosts": st.lists(WORDS, max_size=3),
                "ethminer": LISTEN[0],
                "sgminer": LISTEN[2],
                "panels": st.booleans(),
            },
        ),
        "log": st.fixed_dictionaries(
            {},
            optional={
                "console": st.sampled_from(["auto", "plain", "live", "json"]),
                "level": st.sampled_from(["debug", "info", "warning", "error"]),
                "file": WORDS,
                "format": st.sampled_from(["text", "json"]),
                "max_megabytes": st.integers(1, 10**6),
                "keep": st.integers(0, 1000),
            },
        ),
        "ledger": st.fixed_dictionaries(
            {}, optional={"enabled": st.booleans(), "max_days": st.integers(1, 10**6)}
        ),
        "limits": st.fixed_dictionaries(
            {}, optional={"connect": st.floats(3, 1e6), "silence": st.integers(3, 10**6)}
        ),
    },
)
