"""How nodes lie in a dataset that is split over several buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def pieces(
    buffers: Sequence[Any], nodes_each: int, first: int, count: int
) -> Iterator[tuple[Any, int, slice]]:
    """Yield (buffer, number of its first wanted node, rows) for each buffer that holds some of the
    nodes `first` to `first + count - 1`, `nodes_each` in a buffer; rows count from `first`."""
    done = 0
    while done < count:
        which, node = divmod(first + done, nodes_each)
        rows = slice(done, min(count, done + nodes_each - node))
        yield buffers[which], node, rows
        done = rows.stop
