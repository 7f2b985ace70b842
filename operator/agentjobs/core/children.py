"""Objects that a parent creates exactly once, even if processes die at any moment.

reserve  the child's name is written into the parent's status, if the parent did not change since it was read
    create   the child is created under that name; an existing one is adopted
    retire   the entry takes the child's uid, and is removed once the child has ended or is gone

An entry without uid is reserved: its child may not exist yet. It is created, if necessary again, under the same name,
but only after the parent was read from the API server: since the watch event, the entry may have been retired and the
child deleted. An entry with uid never creates a child again.

A parent's `decide` calls `next_step` first, and then writes the result of `retire` into the new status. Pure:
`reconcile.children` reads and writes.
"""

from collections.abc import Callable, Container, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """A child's entry in its parent's status."""

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str:
        """Empty while the child is only reserved."""
        ...


class Child(Protocol):
    """A child that exists or is known to have existed."""

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str: ...

    @property
    def finished(self) -> bool: ...


E = TypeVar("E", bound=Entry)
C = TypeVar("C", bound=Child)


class RefusalReason(StrEnum):
    """Why a child was not created."""

    NAME_TAKEN = "NameTaken"
    """An object with the name exists and is not controlled by this parent."""
    REFUSED = "Refused"
    """The API server refused it: a quota, a policy, or the child itself."""


@dataclass(frozen=True, slots=True)
class ChildRefusal:
    """The API server's response to the last attempt to create the child."""

    reason: RefusalReason
    message: str
    final: bool = False
    """Whether a retry would be refused too, because the API server reported the child as invalid."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """Read the parent and these children from the API server."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Create(Generic[E]):
    """Create the child of a reserved entry. AlreadyExists is adopted if the parent controls the object."""

    entry: E


@dataclass(frozen=True, slots=True)
class Retired(Generic[E, C]):
    """The entries after retirement. Entries whose child is gone are in no list."""

    active: tuple[tuple[E, C | None], ...]
    """Entries that remain, each with its child if that exists."""
    ended: tuple[C, ...]
    expired: tuple[E, ...]
    """Reserved entries whose child will not be created."""


@dataclass(frozen=True, slots=True)
class Children(Generic[E, C]):
    """The entries of one parent, and their known children."""

    entries: Sequence[E]
    found: Sequence[C]
    """All children that this parent controls, by uid, and those that were created and deleted again."""
    absent: Set[str]
    """Names of children that a GET in this pass did not find."""
    refused: Container[str]
    """Names whose creation failed in this pass."""
    is_fresh: bool
    """Whether the parent was read from the API server in this pass, and not from a watch."""
    is_expired: Callable[[E], bool]
    """Returns whether a reserved entry has expired, so that its child is no longer created."""

    def next_step(self) -> Refresh | Create[E] | None:
        """Return what to read or create before the entries can be retired."""
        known = {child.name for child in self.found}
        unknown = [entry for entry in self.entries if entry.name not in known and entry.name not in self.absent]
        # Expired entries are given up once it is certain that they have no child.
        if names := tuple(entry.name for entry in unknown if entry.uid or self.is_expired(entry)):
            return Refresh(names)
        for entry in self.entries:
            if entry.uid or entry.name in known or entry.name in self.refused or self.is_expired(entry):
                continue
            return Create(entry) if self.is_fresh else Refresh()
        return None

    def retire(self) -> Retired[E, C]:
        """Return the entries after retirement; call it once `next_step` returns None."""
        by_name = {child.name: child for child in self.found}
        active: list[tuple[E, C | None]] = []
        ended: list[C] = []
        expired: list[E] = []
        for entry in self.entries:
            child = by_name.get(entry.name)
            if child is not None and entry.uid in ("", child.uid):
                if child.finished:
                    ended.append(child)
                else:
                    active.append((entry, child))
            elif not entry.uid:
                if self.is_expired(entry):
                    expired.append(entry)
                else:
                    active.append((entry, None))
        return Retired(tuple(active), tuple(ended), tuple(expired))
