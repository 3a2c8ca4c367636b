"""The command `hash`, for one nonce and for batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import light_cache
from miner.variant_file import load_variant
from tests.cli.running import HEADER, run, toy_file

NONCE = 0x123456789ABCDEF0


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_file(tmp_path_factory.mktemp("variant"))


def expected_row(toy: Path, height: int, nonce: int, epoch: int | None = None) -> dict[str, Any]:
    variant = load_variant(toy)
    at = variant.epoch_at(height) if epoch is None else variant.epoch(epoch)
    light = Light.of(at, light_cache(at))
    digest = Hasher(variant, height // 3, light).hash(bytes.fromhex(HEADER), nonce)
    return {
        "epoch": at.number,
        "period": height // 3,
        "mix_hash": digest.mix_hash.hex(),
        "final_hash": digest.final_hash.hex(),
    }


def batch(text: bytes | str, folder: Path | None = None) -> list[dict[str, Any]]:
    data = text.encode() if isinstance(text, str) else text
    if folder:
        path = folder / "batch.jsonl"
        path.write_bytes(data)
        ran = run("hash", "--batch", path)
    else:
        ran = run("hash", "--batch", "-", stdin=data)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in ran.out.splitlines()]


def test_one_nonce_as_text(toy: Path) -> None:
    ran = run("hash", "-a", toy, "--height", "7", "--header", HEADER, "--nonce", f"{NONCE:x}")
    assert (ran.code, ran.err) == (0, "")
    lines = dict(line.split() for line in ran.out.splitlines())
    assert lines == {k: str(v) for k, v in expected_row(toy, 7, NONCE).items()}


@pytest.mark.parametrize("nonce", [f"{NONCE:016x}", f"0x{NONCE:x}", f"0X{NONCE:X}"])
def test_one_nonce_as_json(toy: Path, nonce: str) -> None:
    ran = run(
        "hash", "--variant", toy, "--height", "7", "--header", "0x" + HEADER, "--nonce", nonce,
        "--json",
    )  # fmt: skip
    assert ran.code == 0
    answer = json.loads(ran.out)
    assert answer == {
        "variant": str(toy),
        "height": 7,
        "header_hash": "0x" + HEADER,
        "nonce": nonce,
        **expected_row(toy, 7, NONCE),
    }
    assert len(answer["mix_hash"]) == len(answer["final_hash"]) == 64


def test_an_explicit_epoch(toy: Path) -> None:
    arguments = ("hash", "-a", toy, "--height", "250", "--header", HEADER, "--nonce", "1", "--json")
    own, other = json.loads(run(*arguments).out), json.loads(run(*arguments, "--epoch", "9").out)
    assert (own["epoch"], other["epoch"]) == (2, 9)
    assert own["period"] == other["period"] == 83
    row = {"variant": str(toy), "height": 250, "header_hash": HEADER, "nonce": 1, "epoch": 9}
    assert batch(json.dumps(row)) == [row | expected_row(toy, 250, 1, epoch=9)]


def test_a_batch_keeps_order_and_keys(toy: Path, tmp_path: Path) -> None:
    rows = [
        {"variant": str(toy), "height": h, "header_hash": HEADER, "nonce": n, "note": ["kept", h]}
        for h, n in ((7, NONCE), (0, f"{NONCE:x}"), (8, f"0x{NONCE:x}"), (0, 0), (0, 2**64 - 1))
    ]
    text = "\n\n".join(json.dumps(row) for row in rows) + "\n   \n"
    answers = batch(text, tmp_path)
    assert answers == [
        row | expected_row(toy, row["height"], n)
        for row, n in zip(rows, (NONCE, NONCE, NONCE, 0, 2**64 - 1), strict=True)
    ]
    assert list(answers[0]) == [*rows[0], "epoch", "period", "mix_hash", "final_hash"]
    assert batch(text) == answers
    assert batch(text.encode("utf-8-sig"), tmp_path) == answers
    assert batch(text.encode("utf-8-sig")) == answers


BAD: list[tuple[bytes, str]] = [
    (b"not json", "line is not a JSON object"),
    (b"[1, 2]", "line is not a JSON object"),
    (b"7", "line is not a JSON object"),
    (b"{}", "variant: is missing"),
    (b'\xff\xfe{"variant"', "line is not a JSON object"),
    (b'{"variant": "kaw\xffpow", "height": 0, "header_hash": "H", "nonce": 0}', "header_hash: "),
    (b'{"variant": "kaw\xffpow", "height": 0, "header_hash": "@", "nonce": 0}', "is not known"),
    (b"[" * 100_000, "line is not a JSON object"),
    (b"9" * 5000, "line is not a JSON object"),
    (b'{"variant": "nope", "height": 0, "header_hash": "@", "nonce": 0}', "'nope' is not known"),
    (b'{"variant": 3, "height": 0, "header_hash": "@", "nonce": 0}', "variant: 3 is not a name"),
    (b'{"variant": "/no.toml", "height": 0, "header_hash": "@", "nonce": 0}', "cannot be read"),
    (b'{"variant": "~nobody-here/a.toml", "height": 0, "header_hash": "@", "nonce": 0}', "variant"),
    (b'{"variant": "a/\\u0000", "height": 0, "header_hash": "@", "nonce": 0}', "variant: "),
    (b'{"variant": "%", "height": -1, "header_hash": "@", "nonce": 0}', "height: -1 is outside"),
    (b'{"variant": "%", "height": 1.0, "header_hash": "@", "nonce": 0}', "height: 1.0 is not an"),
    (b'{"variant": "%", "height": "1", "header_hash": "@", "nonce": 0}', "height: '1' is not an"),
    (b'{"variant": "%", "height": true, "header_hash": "@", "nonce": 0}', "height: True is not"),
    (b'{"variant": "%", "height": null, "header_hash": "@", "nonce": 0}', "height: is missing"),
    (b'{"variant": "%", "header_hash": "@", "nonce": 0}', "height: is missing"),
    (b'{"variant": "%", "height": 99999999999999999999, "header_hash": "@", "nonce": 0}', "height"),
    (b'{"variant": "%", "height": 0, "header_hash": "abcd", "nonce": 0}', "header_hash: needs 32"),
    (b'{"variant": "%", "height": 0, "header_hash": "xy", "nonce": 0}', "is not hexadecimal"),
    (b'{"variant": "%", "height": 0, "header_hash": ["@"], "nonce": 0}', "is not hexadecimal"),
    (b'{"variant": "%", "height": 0, "header_hash": "@"}', "nonce: is missing"),
    (b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": ""}', "nonce: '' is not"),
    (b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": "-1"}', "nonce: '-1' is not"),
    (b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": "1_0"}', "nonce: '1_0' is not"),
    (b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": -1}', "nonce: -1 is outside"),
    (b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": 1.5}', "nonce: 1.5 is not"),
    (b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": true}', "nonce: True is not"),
    (
        b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": 18446744073709551616}',
        "nonce: 18446744073709551616 is outside",
    ),
    (
        b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": "00000000000000001"}',
        "is not 1 to 16 hex digits",
    ),
    (
        b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": 0, "epoch": -1}',
        "epoch: -1 is below 0",
    ),
    (
        b'{"variant": "%", "height": 0, "header_hash": "@", "nonce": 0, "epoch": "1"}',
        "epoch: '1' is not an integer",
    ),
    (
        b'{"variant": "kawpow", "height": 0, "header_hash": "@", "nonce": 0, "epoch": 100000000}',
        "epoch: ",
    ),
    (b'{"height": NaN}', "line is not a JSON object"),
    (b'{"height": 1e999}', "line is not a JSON object"),
]


def test_an_invalid_line_is_reported_and_the_batch_continues(toy: Path, tmp_path: Path) -> None:
    good = {"variant": str(toy), "height": 1, "header_hash": HEADER, "nonce": 5}
    line = json.dumps(good).encode()
    bad = [b.replace(b"@", HEADER.encode()).replace(b"%", str(toy).encode()) for b, _ in BAD]
    answers = batch(b"\n".join(x for b in bad for x in (b, line)), tmp_path)
    assert len(answers) == 2 * len(bad)
    right = good | expected_row(toy, 1, 5)
    for (raw, sentence), one, other in zip(BAD, answers[::2], answers[1::2], strict=True):
        assert sentence in one["error"], raw[:100]
        assert "\n" not in one["error"]
        assert "mix_hash" not in one
        assert other == right
    kept = json.loads(bad[9])
    assert answers[18] == kept | {"error": answers[18]["error"]}


def test_a_line_without_end_is_not_read_into_memory() -> None:
    ran = run("hash", "--batch", "-", stdin=b"{}\n" + bytes(1 << 21))
    assert ran.code == 2
    assert ran.err == "progpow-miner: --batch: a line has more than 1 MiB; name the right file\n"
    assert ran.out.count("\n") == 1


def test_an_empty_batch(tmp_path: Path) -> None:
    assert batch("", tmp_path) == batch("\n \n") == []


def test_a_huge_light_cache_is_rejected(tmp_path: Path) -> None:
    huge = toy_file(tmp_path, ("[sizes]\nlight_items = 509", "[sizes]\nlight_items = 100000007"))
    ran = run("hash", "-a", huge, "--height", "1", "--header", HEADER, "--nonce", "1")
    assert ran.code == 2
    assert ran.err == (
        "progpow-miner: height: its light cache would have 6,400,000,448 bytes, the limit is "
        "1,073,741,824\n"
    )


def test_a_light_cache_larger_than_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner.verify.available_memory", lambda: 1 << 20)
    toy = toy_file(tmp_path, ("[sizes]\nlight_items = 509", "[sizes]\nlight_items = 32749"))
    ran = run("hash", "-a", toy, "--height", "1", "--header", HEADER, "--nonce", "1")
    assert ran.code == 3
    assert "needs 2,095,936 bytes of this machine's memory, 1,048,576 are available" in ran.err
