"""The table of dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from miner.errors import Cause, PoolError, WrongDialect
from miner.stratum.dialect import Dialect
from miner.stratum.epic import EPIC
from miner.stratum.ethproxy import ETHPROXY, SERO, ZANO
from miner.stratum.ethstratum1 import ETHSTRATUM1
from miner.stratum.ethstratum2 import ETHSTRATUM2
from miner.stratum.kawpow import KAWPOW

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            KAWPOW,
            ETHSTRATUM1,
            ETHPROXY,
            ETHSTRATUM2,
            SERO,
            ZANO,
            EPIC,
        )
    }
)
"""By name, in the order in which detection tries them on a pool."""


UNRELATED_CAUSES = frozenset({Cause.BANNED, Cause.NO_TLS})
"""Causes of failures that say nothing about the dialect of a pool."""

BUSY_ANSWERS = 10
"""Answers of a busy pool after which other dialects are tried as well: the text of one that refuses
a dialect may be taken for that of a busy one."""


def recognise(method: str, params: object) -> Dialect | None:
    """Return the dialect of a client whose first message this is, None if unknown."""
    version = params[1] if isinstance(params, list) and len(params) > 1 else None
    matching = [
        dialect
        for dialect in DIALECTS.values()
        if dialect.first_method == method and dialect.version in (None, version)
    ]
    return max(matching, key=lambda dialect: dialect.version is not None, default=None)


class Detection:
    """Finds the protocol of one pool by trying those of `order` in turn, repeatedly if need be; a
    single one is named and needs no confirmation."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = list(order)
        self._at = 0
        self._failures: dict[str, PoolError] = {}
        """Newest failure of each protocol since detection began."""
        self._busy = 0
        """Answers of a busy pool since then."""
        self.named = len(self._order) == 1
        self.found = self.named
        """Whether `current` is known to fit, or was named."""

    @property
    def current(self) -> str:
        """The protocol to use for the next connection."""
        return self._order[self._at]

    @property
    def is_first_try(self) -> bool:
        """Whether `current` was not tried yet."""
        return self.current not in self._failures

    @property
    def is_uncertain(self) -> bool:
        """Whether a protocol that was tried before may fit better than `current`: the pool refused
        neither of them yet."""
        refused = {n for n, failure in self._failures.items() if failure.cause is Cause.DIALECT}
        return (
            bool(self._failures.keys() - refused - {self.current}) and self.current not in refused
        )

    def confirm(self) -> bool:
        """Record that the pool accepted `current`; return whether this is new."""
        news, self.found = not self.found, True
        self._failures.clear()
        self._busy = 0
        return news

    def doubt(self) -> None:
        """Record that the pool refused `current` after accepting it earlier: it may have to be
        detected again."""
        self.found = self.named

    def move_on(self, failure: PoolError) -> PoolError | None:
        """Move on after a failure that `current` may have caused: to the protocol that the pool
        showed to speak, else to the next one, but not at the first answers of a busy pool.

        Return the error for a pool that refused each of them; its refusal of a login is one, unless
        it was busy or had an internal error as well. None: one of them may still fit.
        """
        if failure.cause is Cause.LOGIN_LATER:
            self._busy += 1
            if self._busy < BUSY_ANSWERS:
                return None
        causes = {one.cause for one in self._failures.values()}
        if failure.cause is Cause.LOGIN and Cause.LOGIN not in causes:
            # The pool may have been down when it answered nothing before: ask it again.
            heard = {n: one for n, one in self._failures.items() if one.cause is not Cause.LOST}
            self._failures = heard
        self._failures[self.current] = failure
        self.found = self.named
        self._at = self._following(failure)
        if refusal := self._refusal_of_all():
            self._failures.clear()
        return refusal

    def _following(self, failure: PoolError) -> int:
        spoken = failure.spoken if isinstance(failure, WrongDialect) else ""
        titles = [DIALECTS[name].title for name in self._order]
        return titles.index(spoken) if spoken in titles else (self._at + 1) % len(self._order)

    def _refusal_of_all(self) -> PoolError | None:
        if len(self._failures) < len(self._order):
            return None
        by_cause = {failure.cause: failure for failure in self._failures.values()}
        if by_cause.keys() == {Cause.DIALECT}:
            return WrongDialect("the pool accepts none of the known protocols")
        if by_cause.keys() & {Cause.POOL_FAULT, Cause.LOGIN_LATER}:
            return None
        return by_cause.get(Cause.LOGIN)
