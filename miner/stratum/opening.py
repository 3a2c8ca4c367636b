"""What a connection to a pool begins with: the login, and the variant of its jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import dataclass

from miner.progpow.variant import Variant
from miner.wallets import SHORTEST_ADDRESS

_TOP_LEVEL = re.compile(r"[a-z]{2}|com|net|org|edu|info", re.IGNORECASE)
"""Top-level domains; a worker's name is rarely one of them."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Parameters of one connection."""

    user: str
    """As sent: account, or account.worker."""
    password: str
    agent: str
    variant: Variant
    session: int
    """Session number of the jobs."""
    host: str = ""
    port: int = 0
    diff1: int | None = None
    """The coin's own target of difficulty 1; None: the dialect's."""
    seed_of: Callable[[int], bytes] | None = None
    """Index in the keccak256 chain -> 32 bytes in display order. Only used to check the pool's
    seed hashes."""
    resume: str | None = None
    """Name of an earlier session with this pool, for dialects that can resume one."""
    is_uncertain: bool = False
    """Another dialect, which was tried before, may fit the pool better."""
    left_out: Set[str] = frozenset()
    """Optional methods that are not sent to this pool; may grow."""

    @property
    def worker(self) -> str:
        """The worker's name in the user, or an empty string.

        It follows the last dot of the account, which a slash may separate from an e-mail address,
        or is the part after the slash. The end of an e-mail address's domain is not a worker. After
        a wallet's address it may contain dots, as a host name does; a number before it is a
        difficulty.
        """
        login, _, rest = self.user.partition("/")
        wallet, _, name = login.partition(".")
        if name and len(wallet) >= SHORTEST_ADDRESS and wallet.isalnum():
            number, _, after_number = name.partition(".")
            return after_number if after_number and number.isdecimal() else name
        _, at, domain = login.rpartition("@")
        labels = domain.split(".")
        ends_in_worker = len(labels) > (2 if at else 1)
        if ends_in_worker and not (at and _TOP_LEVEL.fullmatch(labels[-1])):
            return labels[-1]
        name = rest.partition("/")[0]
        return "" if "@" in name else name

    @property
    def account(self) -> str:
        """The user without the worker after a dot; what follows a slash stays."""
        login, slash, rest = self.user.partition("/")
        return login.removesuffix(f".{self.worker}") + slash + rest if self.worker else self.user
