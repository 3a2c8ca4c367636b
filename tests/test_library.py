"""What `import miner` offers to other programs, and its page."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import miner
from miner import library
from miner.errors import BadValue
from miner.progpow.variant import FixedSizes
from miner.verify import Verifier
from tests.docs.test_pages import blocks
from tests.harness.child import captured
from tests.progpow.published import VECTORS, named

CHECKOUT = Path(__file__).parents[1]
PAGE = CHECKOUT / "docs/library.md"

KAWPOW = miner.find_variant("kawpow")
ANSWER = KAWPOW.known_answers[0]
TOY = KAWPOW.with_sizes(ANSWER.sizes)
SHARE = (TOY, ANSWER.height, ANSWER.header_hash, ANSWER.nonce)
VALUE = int.from_bytes(ANSWER.final_hash, "big")

PUBLISHED = [
    row
    for table in ("vectors", "published_vectors", "real_blocks")
    for row in VECTORS[table]
    if not row.get("light_only")
]


def examples() -> list[doctest.Example]:
    return [
        e for block in blocks(PAGE, "python") for e in doctest.DocTestParser().get_examples(block)
    ]


def test_the_examples_of_the_page_give_the_printed_results() -> None:
    flags = doctest.ELLIPSIS
    test = doctest.DocTest(examples(), {}, PAGE.name, str(PAGE), 0, None)
    failures: list[str] = []
    result = doctest.DocTestRunner(optionflags=flags).run(test, out=failures.append)
    assert result.attempted > 10
    assert result.failed == 0, "".join(failures)


def test_the_page_describes_each_function() -> None:
    table = PAGE.read_text("utf-8").partition("| name |")[2].partition("\n\n")[0]
    described = set(re.findall(r"`(\w+)\(", table))
    assert described == {n for n in miner.__all__ if inspect.isfunction(getattr(miner, n))}


def test_the_package_exports_the_names_of_the_library() -> None:
    assert all(getattr(miner, name) is getattr(library, name) for name in miner.__all__)
    with pytest.raises(AttributeError, match="module 'miner' has no attribute 'hashes'"):
        miner.hashes  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, miner\n"
        "assert not {m for m in sys.modules if m.startswith('miner.')}\n"
        "assert not {'numpy', 'numba', 'aiohttp', 'click'} & sys.modules.keys()\n"
        "miner.find_variant, miner.hash, miner.kernel_source\n"
        "assert not {'aiohttp', 'click', 'pyopencl', 'pycuda', 'asyncio'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True, timeout=300)


def test_programs_that_use_the_library_are_type_checked(tmp_path: Path) -> None:
    good = "\n".join(e.source for e in examples() if e.exc_msg is None)
    good = good.replace("**share", "header_hash=header_hash, nonce=nonce")
    (tmp_path / "good.py").write_text(good, encoding="utf-8")
    (tmp_path / "bad.py").write_text("import miner\nminer.hash('kawpow', 1, bytes(32), 1)\n")
    done = captured(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
         str(tmp_path / "good.py"), str(tmp_path / "bad.py")],
        cwd=CHECKOUT, timeout=300,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert 'bad.py:2: error: Argument 1 to "hash" has incompatible type "str"' in errors[0]


def test_a_hash_is_the_known_answer() -> None:
    digest = miner.hash(*SHARE)
    assert (digest.mix_hash, digest.final_hash) == (ANSWER.mix_hash, ANSWER.final_hash)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda r: f"{r['variant']}-{r['height']}")
def test_published_final_hashes_follow_from_their_mix_hashes(row: dict[str, str]) -> None:
    header_hash, mix_hash = bytes.fromhex(row["header_hash"]), bytes.fromhex(row["mix_hash"])
    final = miner.final_hash(named(row["variant"]), header_hash, int(row["nonce"], 16), mix_hash)
    assert final.hex() == row["final_hash"]


@pytest.mark.parametrize("mix_hash", [None, ANSWER.mix_hash])
@pytest.mark.parametrize(
    ("target", "outcome"),
    [(VALUE, miner.Outcome.ACCEPTED), (VALUE - 1, miner.Outcome.LOW_DIFFICULTY)],
)
def test_a_share_is_accepted_up_to_its_target(
    target: int, outcome: miner.Outcome, mix_hash: bytes | None
) -> None:
    check = miner.verify_share(*SHARE, target, mix_hash)
    assert check.outcome is outcome
    assert bool(check) is (outcome is miner.Outcome.ACCEPTED)
    assert check.digest.final_hash == ANSWER.final_hash


def test_a_share_with_a_wrong_mix_hash_is_invalid() -> None:
    check = miner.verify_share(*SHARE, 2**256 - 1, ANSWER.mix_hash[:-1] + b"\0")
    assert (check.outcome, check.digest.mix_hash) == (miner.Outcome.INVALID, ANSWER.mix_hash)


def test_a_share_below_its_target_by_its_own_mix_hash_builds_no_light_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(library, "_verifier", lambda: pytest.fail("a light cache was asked for"))
    check = miner.verify_share(KAWPOW, 3_000_000, bytes(32), 1, 1, bytes(32))
    assert check.outcome is miner.Outcome.LOW_DIFFICULTY


def test_the_light_cache_is_read_only_and_shared() -> None:
    cache = miner.light_cache(TOY, 0)
    assert (cache.shape, cache.dtype) == ((509, 16), np.uint32)
    assert np.shares_memory(cache, miner.light_cache(TOY, 1))
    with pytest.raises(ValueError, match="read-only"):
        cache[0, 0] = 1


@pytest.mark.parametrize(
    ("height", "header_hash", "nonce", "field"),
    [
        (-1, bytes(32), 0, "height"),
        (10**15, bytes(32), 0, "epoch"),
        (100_000_000, bytes(32), 0, "height"),
        (0, bytes(31), 0, "header_hash"),
        (0, bytes(32), 2**64, "nonce"),
        (0, bytes(32), -1, "nonce"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_built(
    height: int, header_hash: bytes, nonce: int, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Verifier, "light", lambda *_: pytest.fail("a light cache is built"))
    with pytest.raises(BadValue) as caught:
        miner.hash(KAWPOW, height, header_hash, nonce)
    assert caught.value.field == field


def test_numbers_may_be_numpys_but_not_fractions_or_texts() -> None:
    variant, height, header_hash, nonce = SHARE
    numbers = np.int64(height), np.uint64(nonce)
    assert miner.hash(variant, numbers[0], header_hash, numbers[1]).value == VALUE
    assert miner.final_hash(variant, header_hash, numbers[1], ANSWER.mix_hash) == ANSWER.final_hash
    for wrong in (0.5, "1"):
        for values in ((wrong, header_hash, nonce), (height, header_hash, wrong)):
            with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
                miner.hash(variant, *values)


@pytest.mark.parametrize("target", [-1, 2**256])
def test_a_target_has_256_bits(target: int) -> None:
    with pytest.raises(BadValue, match=r"^target: "):
        miner.verify_share(*SHARE, target)


def test_a_mix_hash_has_32_bytes() -> None:
    with pytest.raises(BadValue, match=r"^mix_hash: needs 32 bytes, has 31$"):
        miner.verify_share(*SHARE, 0, bytes(31))


@pytest.mark.parametrize("kernel", ["search", "dataset"])
@pytest.mark.parametrize("dialect", ["opencl", "cuda"])
def test_kernels_are_those_that_the_command_prints(kernel: str, dialect: str) -> None:
    from tests.cli.running import run

    source = miner.kernel_source(KAWPOW, 1000, dialect=dialect, kernel=kernel)  # type: ignore[arg-type]
    printed = run(
        "kernel", "-a", "kawpow", "--height", 1000, "--dialect", dialect, "--kernel", kernel
    )
    assert source.text == printed.out


@pytest.mark.parametrize("names", [{"kernel": "x"}, {"dialect": "x"}, {"shape": "x"}])
def test_unknown_names_are_bad_values(names: dict[str, str]) -> None:
    with pytest.raises(BadValue, match=next(iter(names))):
        miner.kernel_source(KAWPOW, 0, **names)  # type: ignore[arg-type]


def test_variants_and_coins_are_found_by_their_names(tmp_path: Path) -> None:
    assert miner.find_variant("RVN") is miner.variants()["kawpow"]
    assert miner.find_coin("ravencoin") is miner.coins()["RVN"]
    with pytest.raises(miner.UsageError):
        miner.find_variant("kawpaw")


def test_sizes_of_a_toy_are_its_own() -> None:
    sizes = FixedSizes(503, 8191)
    assert len(miner.light_cache(KAWPOW.with_sizes(sizes), 10**9)) == sizes.light_items
