"""Found blocks that the node has not accepted yet, in memory and on disk."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from miner.solo.node_kinds import SUBMITTING, Flavour, Work
from miner.stratum.session import SentNonces
from miner.work import Outcome, Solution, Verdict

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


KEPT_WORKS = 8
"""Templates whose blocks can still be made; they hold all transactions."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A block that no session could bring so far."""

    solution: Solution
    found: FoundBlock
    reason: str
    """Why not."""
    sent: bool = False
    """An earlier try may have reached the node."""
    told: bool = False
    """A person knows that it waits."""


class Carrier(Protocol):
    """A session with the node, as long as it can bring blocks."""

    def bring(self, one: Waiting) -> None:
        """Submit a block; its verdict, or `Findings.put_off`, follows."""


class Findings:
    """Takes what was found for the node of `store`, whether or not there is a session with it:
    each solution is written down as a block, brought by the session of now or the next one, and
    ends in one verdict, at the latest when `close` is called.

    `on_verdict` is told of those that no session gives, `tell` of what a person should know.
    """

    def __init__(
        self, store: BlockStore, on_verdict: Callable[[Verdict], None], tell: Callable[[str], None]
    ) -> None:
        self.store = store
        self._on_verdict, self._tell = on_verdict, tell
        self._works: dict[bytes, tuple[Flavour, Work]] = {}
        self._flavour: Flavour | None = None
        self._sent = SentNonces()
        self._waiting: dict[FoundBlock, Waiting] = {}
        self._unwritten: set[FoundBlock] = set()
        self._none_wait = asyncio.Event()
        self._none_wait.set()
        self._carrier: Carrier | None = None
        self._closed = False

    def remember(self, flavour: Flavour, work: Work) -> None:
        """Note work that was given out; the oldest of many is forgotten."""
        self._flavour = flavour
        self._works.pop(work.header_hash, None)
        self._works[work.header_hash] = (flavour, work)
        while len(self._works) > KEPT_WORKS:
            del self._works[next(iter(self._works))]

    def take(self, solution: Solution, reason: str) -> None:
        """Take a solution; each (header, nonce) only once. `reason` says why the session that
        issued its job cannot bring it, where no session can."""
        if not self._sent.add(solution.job.header_hash, solution.nonce):
            text = "found again; it was brought to this node before"
            self._on_verdict(Verdict(solution, Outcome.DUPLICATE, text))
            return
        found = self._block_of(solution)
        if found is None:
            text = "the block template that it solves is gone"
            self._on_verdict(Verdict(solution, Outcome.STALE, text))
            return
        self._write(found)
        one = Waiting(solution, found, reason)
        if self._carrier is not None:
            self._carrier.bring(one)
        else:
            self.put_off(one)

    def put_off(self, one: Waiting) -> None:
        """Keep a block for the next session."""
        if self._closed:
            self._lose(one)
            return
        self._waiting[one.found] = replace(one, told=True)
        self._none_wait.clear()
        if one.told:
            return
        path = self.store.path(one.found)
        kept = "" if one.found in self._unwritten else f"is kept in {path} and "
        self._tell(
            f"the block of height {one.found.height} could not be brought to the node yet: it "
            f"{kept}is brought once the node answers again"
        )

    def carried_by(self, carrier: Carrier) -> None:
        """Have `carrier` bring what waits and what comes."""
        self._carrier = carrier
        for one in self._take_waiting():
            carrier.bring(one)

    def uncarried(self) -> None:
        """Note that the session brings no more."""
        self._carrier = None

    def left(self) -> list[FoundBlock]:
        """Return the blocks of earlier runs that lie in files, by height."""
        return [found for found in self.store.waiting() if found not in self._waiting]

    def answered(self, found: FoundBlock) -> None:
        """Forget a block, now that the node has answered."""
        self.store.remove(found)
        self._unwritten.discard(found)

    async def carried(self) -> None:
        """Wait until no block waits for a session."""
        await self._none_wait.wait()

    @property
    def any_waits(self) -> bool:
        """Whether a block waits for a session."""
        return bool(self._waiting)

    def close(self) -> None:
        """Give each block that waits, or is still to come, the verdict that the run ends before
        it could be brought, with the place where it lies."""
        self._closed = True
        for one in self._take_waiting():
            self._lose(one)

    def whereabouts(self, found: FoundBlock) -> str:
        """Return the end of a sentence on a block without an answer."""
        path = self.store.path(found)
        if found in self._unwritten:
            return f"; it could not be kept in {path}"
        return f"; it is kept in {path} and brought to the node at the next start"

    def _take_waiting(self) -> list[Waiting]:
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._none_wait.set()
        return waiting

    def _block_of(self, solution: Solution) -> FoundBlock | None:
        """Return the block that `solution` makes, None where its template is gone."""
        flavour, work = self._works.get(solution.job.header_hash, (self._flavour, None))
        if flavour is None:
            return None
        params = flavour.hand_in(solution, work)
        return FoundBlock.of(solution, flavour.submits, params) if params else None

    def _write(self, found: FoundBlock) -> None:
        try:
            self.store.keep(found)
        except OSError as error:
            self._unwritten.add(found)
            self._tell(
                f"{self.store.path(found)}: a found block cannot be kept there "
                f"({error.strerror}); it is submitted all the same"
            )

    def _lose(self, one: Waiting) -> None:
        text = f"{one.reason}{self.whereabouts(one.found)}"
        self._on_verdict(Verdict(one.solution, Outcome.LOST, text))
