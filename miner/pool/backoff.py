"""How long to wait between two tries of something that keeps failing."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

SHORTEST = 1.0
LONGEST = 60.0


def delays(random: Random) -> Iterator[float]:
    """Yield seconds without end: 1 to 2, then 2 to 4, and so on up to 30 to 60.

    Each is drawn evenly from its span, so that the rigs of a farm that lost their pool at the
    same moment do not come back at the same moment.
    """
    longest = 2 * SHORTEST
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, LONGEST)
