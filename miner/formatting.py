"""Numbers and quantities as a person reads them."""

from __future__ import annotations

_PREFIXES = (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def format_si(value: float, unit: str) -> str:
    """Return `value` with an SI prefix and two decimals, as in "4.29 GH"; below 1000 a whole
    number, as in "512 H"."""
    for prefix, size in _PREFIXES:
        if value >= size * 0.999995:  # which rounds to 1.00, not to 1000.00 of the smaller unit
            return f"{value / size:.2f} {prefix}{unit}"
    return f"{value:.0f} {unit}"


def format_hashrate(hashes_per_second: float) -> str:
    """Return a hashrate, as in "182.40 kH/s"."""
    return format_si(hashes_per_second, "H/s")


def format_difficulty(hashes: float) -> str:
    """Return a difficulty, given as the hashes that a share costs on average, as in "4.29 GH"."""
    return format_si(hashes, "H")


def format_efficiency(hashes_per_joule: float) -> str:
    """Return an efficiency in kilohashes a second per watt, as in "182 kH/W"."""
    thousands = hashes_per_joule / 1000
    return f"{thousands:.0f} kH/W" if thousands >= 10 else f"{thousands:.2f} kH/W"


def format_bytes(count: int) -> str:
    """Return a size in binary units, as in "2.53 GiB" or "16.0 MiB"."""
    if round(count / 2**20, 1) >= 1024:
        return f"{count / 2**30:.2f} GiB"
    if round(count / 2**10) >= 1024:
        return f"{count / 2**20:.1f} MiB"
    return f"{count / 2**10:.0f} KiB"


def format_count(count: int, noun: str) -> str:
    """Return a number of things, as in "1 share" or "2 shares"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_uptime(seconds: float) -> str:
    """Return a time, as in "4:05", "3:04:05" or "2 d 03:04:05"."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute}:{second:02}"
    days, hour = divmod(hours, 24)
    clock = f"{minute:02}:{second:02}"
    return f"{days} d {hour:02}:{clock}" if days else f"{hour}:{clock}"


def format_milliseconds(seconds: float) -> str:
    """Return a short time, as in "35 ms"."""
    return f"{seconds * 1000:.0f} ms"


def format_job_id(job_id: str) -> str:
    """Return a job's id in at most 16 characters, as in "0000000…0000a4f1"."""
    # Both ends: pools count up in the last digits of long ids, or vary them all.
    return job_id if len(job_id) <= 16 else f"{job_id[:7]}…{job_id[-8:]}"
