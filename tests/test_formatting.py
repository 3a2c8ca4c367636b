"""Units of numbers."""

from __future__ import annotations

import pytest

from miner.formatting import (
    format_bytes,
    format_count,
    format_difficulty,
    format_efficiency,
    format_hashrate,
    format_job_id,
    format_milliseconds,
    format_uptime,
)


@pytest.mark.parametrize(
    ("hashes_per_second", "text"),
    [
        (0.0, "0 H/s"),
        (999.0, "999 H/s"),
        (1000.0, "1.00 kH/s"),
        (182_400.0, "182.40 kH/s"),
        (999_999.0, "1.00 MH/s"),
        (1e6, "1.00 MH/s"),
        (55.5e6, "55.50 MH/s"),
        (2.5e9, "2.50 GH/s"),
        (4e13, "40.00 TH/s"),
    ],
)
def test_hashrate(hashes_per_second: float, text: str) -> None:
    assert format_hashrate(hashes_per_second) == text


@pytest.mark.parametrize(
    ("hashes", "text"),
    [
        (1, "1 H"),
        (65_536, "65.54 kH"),
        (4.29e9, "4.29 GH"),
        (3e15, "3.00 PH"),
        (2e21, "2000.00 EH"),
    ],
)
def test_difficulty(hashes: float, text: str) -> None:
    assert format_difficulty(hashes) == text


@pytest.mark.parametrize(
    ("hashes_per_joule", "text"),
    [(500.0, "0.50 kH/W"), (9_990.0, "9.99 kH/W"), (10_000.0, "10 kH/W"), (178_600.0, "179 kH/W")],
)
def test_efficiency(hashes_per_joule: float, text: str) -> None:
    assert format_efficiency(hashes_per_joule) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (2**20, "1.0 MiB"),
        (16 * 2**20, "16.0 MiB"),
        (2**30 - 10**4, "1.00 GiB"),
        (2716000000, "2.53 GiB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0:00"), (245, "4:05"), (11_045, "3:04:05"), (183_845, "2 d 03:04:05")],
)
def test_uptime(seconds: float, text: str) -> None:
    assert format_uptime(seconds) == text


def test_a_count_has_its_noun_in_the_right_number() -> None:
    counts = [format_count(count, "share") for count in (0, 1, 2)]
    assert counts == ["0 shares", "1 share", "2 shares"]


def test_milliseconds() -> None:
    assert format_milliseconds(0.0354) == "35 ms"


@pytest.mark.parametrize(
    ("job_id", "text"),
    [
        ("7f", "7f"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("61da602b93926af1c7c2", "61da602…6af1c7c2"),
        (f"{0xA4F1:064x}", "0000000…0000a4f1"),  # NOMP counts up
    ],
)
def test_a_long_job_id_shows_its_first_and_last_digits(job_id: str, text: str) -> None:
    assert format_job_id(job_id) == text
