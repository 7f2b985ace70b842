"""When a field of an object may change. The field says it, once: `queue: Annotated[str, BEFORE_START] = Field(…)`.

The CRD's rules, what an accepted job goes by, the hash of its work and the reference page are derived from there. The
fields of a kind's `spec` answer for all that is below them.
"""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Changes(StrEnum):
    """When a field may change after the object was accepted."""

    NEVER = "never"
    """It is the work. What runs is stored at acceptance, so an edit would only mislead."""
    BEFORE_START = "before-start"
    """It says when the first start is. Once there was one, an edit would only mislead."""
    ALWAYS = "always"


class OfOneRun:
    """Marks a field that belongs to one run of the work, such as its time: a job that repeats the work leaves it."""


NEVER: Final = Changes.NEVER
BEFORE_START: Final = Changes.BEFORE_START
ALWAYS: Final = Changes.ALWAYS
OF_ONE_RUN: Final = OfOneRun()


def changes(field: FieldInfo) -> Changes:
    """Return when a field may change.

    Raises:
        ValueError: the field does not say it, or says it twice.
    """
    (answer,) = (mark for mark in field.metadata if isinstance(mark, Changes))
    return answer


def aliases(spec: type[BaseModel], *when: Changes) -> tuple[str, ...]:
    """Return the names in the CRD of the fields that may change then, in their order."""
    return tuple(str(field.alias) for field in spec.model_fields.values() if changes(field) in when)


def attributes(spec: type[BaseModel], *when: Changes) -> tuple[str, ...]:
    """Return the names in Python of the fields that may change then, in their order."""
    return tuple(name for name, field in spec.model_fields.items() if changes(field) in when)


def of_one_run(spec: type[BaseModel]) -> tuple[str, ...]:
    """Return the names in the CRD of the fields that belong to one run."""
    return tuple(str(field.alias) for field in spec.model_fields.values() if OF_ONE_RUN in field.metadata)
