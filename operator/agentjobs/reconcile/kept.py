"""Stores of bounded size, for what can be asked again: what was kept the longest ago leaves first."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep(store: OrderedDict[K, V], key: K, value: V, *, most: int) -> None:
    """Put a value into a store that holds at most `most`, or keep it anew."""
    store[key] = value
    store.move_to_end(key)
    if len(store) > most:
        store.popitem(last=False)
