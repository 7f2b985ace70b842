"""Objects that a parent creates, each exactly once, whichever process dies at whichever moment.

    reserve  the child's name is written into the parent's status, on condition that nobody wrote since it was read
    create   the child is created under that name; one that exists already is adopted
    retire   the entry takes the child's uid, and is removed once the child has ended or is gone

An entry without uid is reserved: its child may not exist yet. It is created, again if need be, under the same name, but
only after the parent was read from the API server: the entry may have been retired, and the child deleted, since the
parent was seen. An entry with uid never leads to a child again.

A parent's `decide` asks `next_step` first, and then writes what `retire` says into the new status. Pure:
`reconcile.children` reads and writes.
"""

from collections.abc import Callable, Container, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """A child as its parent's status names it."""

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str:
        """Empty while the child is only reserved."""
        ...


class Child(Protocol):
    """A child that exists, or of which it is known that it existed."""

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
    """An object of the name exists, and this parent does not control it."""
    REFUSED = "Refused"
    """The API server refused it: a quota, a policy, or the child itself."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API server answered when the creation was tried last."""

    reason: RefusalReason
    message: str
    final: bool = False
    """Whether the same child will be refused again: the API server called it invalid."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """Question: is the parent still as it was seen, and do these children exist?"""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Create(Generic[E]):
    """Create the child of a reserved entry. AlreadyExists is adopted if the parent controls the object."""

    entry: E


@dataclass(frozen=True, slots=True)
class Retired(Generic[E, C]):
    """What became of the entries. Those whose child is gone are in none of the lists."""

    active: tuple[tuple[E, C | None], ...]
    """Entries that stay, each with its child if that exists."""
    ended: tuple[C, ...]
    expired: tuple[E, ...]
    """Reserved entries that will get no child."""


@dataclass(frozen=True, slots=True)
class Children(Generic[E, C]):
    """The entries of one parent, and what is known of their children."""

    entries: Sequence[E]
    found: Sequence[C]
    """All children that this very parent controls, by uid, and those that were created and deleted again."""
    absent: Set[str]
    """Names of children that a GET of this pass did not find."""
    refused: Container[str]
    """Names whose creation failed in this pass."""
    is_fresh: bool
    """Whether the parent is the API server's own answer of this pass, and not from a watch."""
    is_expired: Callable[[E], bool]
    """Whether a reserved entry shall get no child any more."""

    def next_step(self) -> Refresh | Create[E] | None:
        """Return what is to be asked or created before the entries can be retired."""
        known = {child.name for child in self.found}
        unknown = [entry for entry in self.entries if entry.name not in known and entry.name not in self.absent]
        # Each of them is about to be given up: once it is certain that there is no child.
        if names := tuple(entry.name for entry in unknown if entry.uid or self.is_expired(entry)):
            return Refresh(names)
        for entry in self.entries:
            if entry.uid or entry.name in known or entry.name in self.refused or self.is_expired(entry):
                continue
            return Create(entry) if self.is_fresh else Refresh()
        return None

    def retire(self) -> Retired[E, C]:
        """Return what became of the entries, once `next_step` asks for nothing."""
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
