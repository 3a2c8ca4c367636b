"""Files of found blocks that their node has not answered yet."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from miner.solo.node_kinds import SUBMIT_METHODS
from miner.work import Solution

BLOCKS = "blocks"
"""Name of the folder of found blocks in the state directory."""

FILE_LIMIT = 64 * 2**20
"""Bytes; a larger file is not read."""

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block as it is submitted; hashes are 64 lower-case hex digits in display order."""

    method: str
    params: tuple[str, ...]
    height: int
    nonce: int
    header_hash: str
    mix_hash: str
    final_hash: str

    @classmethod
    def of(cls, solution: Solution, method: str, params: list[str]) -> FoundBlock:
        """Return the block of `solution`, submitted by `method` with `params`."""
        return cls(
            method, tuple(params), solution.job.height, solution.nonce,
            solution.job.header_hash.hex(), solution.mix_hash.hex(), solution.final_hash.hex(),
        )  # fmt: skip


def move_blocks(old: Path, new: Path) -> None:
    """Move the files of found blocks from the folder `old` to the folder `new`.

    Raises `OSError`; what was not moved by then stays in `old`.
    """
    if not old.is_dir() or old.resolve() == new.resolve():
        return
    new.mkdir(parents=True, exist_ok=True)
    for path in sorted(old.glob("*.json")):
        shutil.move(path, new / path.name)
    with suppress(OSError):
        old.rmdir()


class BlockStore:
    """The files of blocks for the node at `host`:`port`, in `directory`."""

    def __init__(self, directory: Path, host: str, port: int) -> None:
        self._directory = directory
        self._node = {"host": host, "port": port}
        self._prefix = f"{re.sub(r'[^a-z0-9.-]', '_', host.lower())}-{port}-"

    def path(self, block: FoundBlock) -> Path:
        name = f"{self._prefix}{block.header_hash[:16]}-{block.nonce:016x}.json"
        return self._directory / name

    def write(self, block: FoundBlock) -> None:
        """Write the file of `block`, completely or not at all; raises `OSError`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self.path(block)
        unfinished = path.with_suffix(".part")
        try:
            with unfinished.open("w", encoding="ascii") as file:
                json.dump(self._node | asdict(block), file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise

    def remove(self, block: FoundBlock) -> None:
        with suppress(OSError):
            self.path(block).unlink()

    def read_all(self) -> list[FoundBlock]:
        """Return the blocks in the files, by height; files with other content are skipped."""
        try:
            paths = sorted(self._directory.glob(f"{self._prefix}*.json"))
        except OSError:
            return []
        blocks = [block for path in paths if (block := self._read(path)) is not None]
        return sorted(blocks, key=lambda block: block.height)

    def _read(self, path: Path) -> FoundBlock | None:
        try:
            if not path.is_file() or path.stat().st_size > FILE_LIMIT:  # a FIFO would block
                return None
            values = json.loads(path.read_text(encoding="ascii"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(values, dict) or any(
            values.pop(key, None) != value for key, value in self._node.items()
        ):
            return None
        return _validated(values)


def _validated(values: dict[str, Any]) -> FoundBlock | None:
    # A changed file must not make the miner call another method of the node, such as a payment.
    try:
        block = FoundBlock(**{**values, "params": tuple(values["params"])})
    except (KeyError, TypeError):
        return None
    hashes = (block.header_hash, block.mix_hash, block.final_hash)
    valid = (
        block.method in SUBMIT_METHODS
        and all(isinstance(param, str) for param in block.params)
        and all(type(n) is int and 0 <= n < 2**64 for n in (block.height, block.nonce))
        and all(isinstance(text, str) and _HASH.fullmatch(text) for text in hashes)
    )
    return block if valid else None
