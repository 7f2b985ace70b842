"""Heaps of which most of what leaves stays until it comes up: removing from the middle of a heap costs too much."""

from abc import ABC, abstractmethod
from heapq import heapify, heappop, heappush
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

# A heap this small is not worth clearing.
_SMALL: Final = 64


class Heap(ABC, Generic[T]):
    """Objects in order of their places. A stale one stays until it is the first, or until most are stale."""

    __slots__ = ("_clear_at", "_items")

    def __init__(self) -> None:
        # Each is a place, a number and the object. The number keeps equal places from comparing objects.
        self._items: list[tuple[Any, ...]] = []
        self._clear_at = _SMALL

    def __bool__(self) -> bool:
        return bool(self._items)

    @abstractmethod
    def counts(self, item: tuple[Any, ...]) -> bool:
        """Whether what was pushed is not stale."""

    def push(self, *item: Any) -> None:
        """Add an object, the last argument, by the place before it. The one but last is a number used once."""
        if len(self._items) >= self._clear_at:
            self._items = [one for one in self._items if self.counts(one)]
            heapify(self._items)
            self._clear_at = 2 * len(self._items) + _SMALL
        heappush(self._items, item)

    def first(self) -> T | None:
        """Return the best object that is not stale, and leave it in the heap."""
        while self._items:
            item = self._items[0]
            if self.counts(item):
                found: T = item[-1]
                return found
            heappop(self._items)
        return None

    def clear(self) -> None:
        """Remove all."""
        self._items.clear()
        self._clear_at = _SMALL
