"""Callbacks that get each event or journal entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Subscribers(Generic[T]):
    """Callbacks in the order of their subscription."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[T], None]] = []

    def add(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Call `callback` with each value from now on; return a function that ends that."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def call(self, value: T) -> None:
        """Call each callback; callbacks may subscribe and unsubscribe meanwhile."""
        for callback in tuple(self._callbacks):
            callback(value)
