"""Heaps with lazy deletion: removing from the middle of a heap is too expensive."""

from abc import ABC, abstractmethod
from heapq import heapify, heappop, heappush
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

# A heap this small is not worth compacting.
_SMALL: Final = 64


class Heap(ABC, Generic[T]):
    """Objects ordered by place. Stale entries stay until they come first, or until most are stale."""

    __slots__ = ("_clear_at", "_items")

    def __init__(self) -> None:
        # Tuples of place, number and object. The number prevents comparing objects with equal places.
        self._items: list[tuple[Any, ...]] = []
        self._clear_at = _SMALL

    def __bool__(self) -> bool:
        return bool(self._items)

    @abstractmethod
    def counts(self, item: tuple[Any, ...]) -> bool:
        """Whether a pushed entry is not stale."""

    def push(self, *item: Any) -> None:
        """Add an object (last argument) at a place; the argument before it is a unique number."""
        if len(self._items) >= self._clear_at:
            self._items = [item for item in self._items if self.counts(item)]
            heapify(self._items)
            self._clear_at = 2 * len(self._items) + _SMALL
        heappush(self._items, item)

    def first(self) -> T | None:
        """Return the first object that is not stale, without removing it."""
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
