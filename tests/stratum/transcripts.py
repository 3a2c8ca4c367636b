"""Transcripts of real and specified sessions, and their replay with our client."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Variant
from miner.stratum.dialect import Dialect
from miner.stratum.opening import Opening
from miner.stratum.pool_events import PoolEvent, ShareAnswer
from miner.work import Job, Outcome, Solution
from tests.stratum.dialogue import jobs, line, parsed

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
HASHRATE = 20_000_000
RIG = bytes.fromhex("ab" * 32)
UNKNOWN_ID = 10**6

Entry = tuple[str, dict[str, Any]]


def transcript(name: str) -> list[Entry]:
    """Return the messages of a transcript, each with its direction, "c2s" or "s2c"."""
    lines = (TRANSCRIPTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(entry) for entry in lines if entry.strip()]
    return [(entry["dir"], entry["msg"]) for entry in entries]


def sent_by_pool(name: str) -> list[bytes]:
    """Return the pool's lines of a transcript."""
    return [line(message) for direction, message in transcript(name) if direction == "s2c"]


def opening(variant: Variant, user: str = "user.rig") -> Opening:
    return Opening(user, "x", "ours/0", variant, 7, "pool.example", 3338, seed_of=seed_hash)


@dataclass
class Replay:
    """A transcript replayed with our client in place of the recorded one.

    A subclass reads the recorded shares of its dialect.
    """

    dialect: Dialect
    variant: Variant
    events: list[PoolEvent] = field(default_factory=list)
    differing: list[dict[str, Any]] = field(default_factory=list)
    """Recorded requests that ours differ from."""
    submitted: int = 0

    def solution(self, params: list[Any]) -> Solution:
        """Return the solution of a recorded share, a similar one if its job is unknown."""
        raise NotImplementedError

    def run(self, name: str) -> Replay:
        entries = transcript(name)
        first_method = entries[0][1]["method"]
        client = self.dialect.connect(opening(self.variant))
        numbers: dict[Any, int] = {}
        pending: list[dict[str, Any]] = []
        for index, (direction, message) in enumerate(entries):
            if direction == "s2c":
                if message.get("id") is not None:
                    message = {**message, "id": numbers.get(message["id"], UNKNOWN_ID)}
                self.events += client.receive(line(message))
                pending += parsed(client.data_to_send())
                continue
            method = message["method"]
            if method == "mining.ping":
                continue  # our client sends none
            if method == first_method:  # a new connection
                user = self._user(entry for _, entry in entries[index:])
                client = self.dialect.connect(opening(self.variant, user))
                pending, numbers = parsed(client.start()), {}
            elif method in self.dialect.hashrate_reports:
                pending += parsed(client.report_hashrate(HASHRATE, RIG))
            elif method in self.dialect.shares:
                pending += parsed(client.submit(self.solution(message["params"])))
                self.submitted += 1
            elif method == "mining.noop":
                pending += parsed(client.keepalive())
            ours = next(request for request in pending if request["method"] == method)
            pending.remove(ours)
            numbers[message["id"]] = ours["id"]
            if self._compared(ours) != self._compared(message):
                self.differing.append(message)
        return self

    @property
    def reproduced(self) -> int:
        """How many of the recorded shares ours are equal to."""
        different = [request["method"] for request in self.differing]
        return self.submitted - sum(method in self.dialect.shares for method in different)

    def jobs(self) -> list[Job]:
        return jobs(self.events)

    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.events if isinstance(event, ShareAnswer)]

    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ShareAnswer)]

    def _user(self, messages: Iterable[dict[str, Any]]) -> str:
        for message in messages:
            if message.get("method") in self.dialect.logins:
                user, worker = message["params"][0], message.get("worker")
                return f"{user}.{worker}" if worker else str(user)
        return "user"

    def _compared(self, message: dict[str, Any]) -> Any:
        """Return the parameters that must be equal, without agent and user."""
        params = message.get("params")
        match message["method"]:
            case "mining.subscribe" if params:
                return params[1:]
            case "mining.hello":
                return {key: value for key, value in params.items() if key != "agent"}
            case method if method in self.dialect.logins:
                return params[1:]
        return params
