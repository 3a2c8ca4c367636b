"""Found blocks as files, so that none is lost before a node has answered to it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from miner.pool.node.flavours import SUBMITTING
from miner.work import Solution

FILE_LIMIT = 64 * 2**20
"""Bytes of a file that is read."""

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block on its way to a node; hashes are 64 lower hex digits in display order."""

    method: str
    params: tuple[str, ...]
    height: int
    nonce: int
    header_hash: str
    mix_hash: str
    final_hash: str

    @classmethod
    def of(cls, solution: Solution, method: str, params: list[str]) -> FoundBlock:
        return cls(
            method,
            tuple(params),
            solution.job.height,
            solution.nonce,
            solution.job.header_hash.hex(),
            solution.mix_hash.hex(),
            solution.final_hash.hex(),
        )


class BlockStore:
    """The files of blocks for the node at `host`:`port`, in `directory`."""

    def __init__(self, directory: Path, host: str, port: int) -> None:
        self._directory = directory
        self._node = {"host": host, "port": port}
        self._begin = f"{re.sub(r'[^a-z0-9.-]', '_', host.lower())}-{port}-"

    def path(self, found: FoundBlock) -> Path:
        """Return where `found` lies while it is kept."""
        name = f"{self._begin}{found.header_hash[:16]}-{found.nonce:016x}.json"
        return self._directory / name

    def keep(self, found: FoundBlock) -> None:
        """Write `found` down, whole or not at all; raises `OSError`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self.path(found)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(self._node | asdict(found)), encoding="ascii")
        unfinished.replace(path)

    def remove(self, found: FoundBlock) -> None:
        """Forget `found`, now that the node has answered."""
        with suppress(OSError):
            self.path(found).unlink()

    def waiting(self) -> list[FoundBlock]:
        """Return what has no answer yet, by height; files that say something else are left."""
        try:
            paths = sorted(self._directory.glob(f"{self._begin}*.json"))
        except OSError:
            return []
        found = [block for path in paths if (block := self._read(path)) is not None]
        return sorted(found, key=lambda block: block.height)

    def _read(self, path: Path) -> FoundBlock | None:
        try:
            if path.stat().st_size > FILE_LIMIT:
                return None
            values = json.loads(path.read_text(encoding="ascii"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(values, dict) or any(
            values.pop(k, None) != v for k, v in self._node.items()
        ):
            return None
        return _checked(values)


def _checked(values: dict[str, Any]) -> FoundBlock | None:
    """A file is no reason to send a node anything but a found block."""
    try:
        block = FoundBlock(**{**values, "params": tuple(values["params"])})
    except (KeyError, TypeError):
        return None
    hashes = (block.header_hash, block.mix_hash, block.final_hash)
    good = (
        block.method in SUBMITTING
        and all(isinstance(param, str) for param in block.params)
        and all(isinstance(number, int) for number in (block.height, block.nonce))
        and all(isinstance(text, str) and _HASH.fullmatch(text) for text in hashes)
    )
    return block if good else None
