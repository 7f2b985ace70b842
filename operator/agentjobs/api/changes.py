"""When a field of an object may change, declared on the field: `queue: Annotated[str, BEFORE_START] = Field(…)`.

The CRD's rules, what an accepted job ignores, the hash of its work and the reference page are derived from it. Each
top-level field of `spec` declares it for everything below.
"""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Changes(StrEnum):
    """When a field may change after the object was accepted."""

    NEVER = "never"
    """The work. It is stored at acceptance, so an edit would have no effect."""
    BEFORE_START = "before-start"
    """The time of the first start. After that start, an edit would have no effect."""
    ALWAYS = "always"


class OfOneRun:
    """Marks a field that belongs to one run of the work, such as its time: a job that repeats the work does not copy
    it.
    """


NEVER: Final = Changes.NEVER
BEFORE_START: Final = Changes.BEFORE_START
ALWAYS: Final = Changes.ALWAYS
OF_ONE_RUN: Final = OfOneRun()


def changes(field: FieldInfo) -> Changes:
    """Return when a field may change.

    Raises:
        ValueError: the field declares none, or more than one.
    """
    (answer,) = (mark for mark in field.metadata if isinstance(mark, Changes))
    return answer


def aliases(spec: type[BaseModel], *when: Changes) -> tuple[str, ...]:
    """Return the CRD names of the fields that may change then, in their order."""
    return tuple(str(field.alias) for field in spec.model_fields.values() if changes(field) in when)


def attributes(spec: type[BaseModel], *when: Changes) -> tuple[str, ...]:
    """Return the Python names of the fields that may change then, in their order."""
    return tuple(name for name, field in spec.model_fields.items() if changes(field) in when)


def of_one_run(spec: type[BaseModel]) -> tuple[str, ...]:
    """Return the CRD names of the fields that belong to one run."""
    return tuple(str(field.alias) for field in spec.model_fields.values() if OF_ONE_RUN in field.metadata)
