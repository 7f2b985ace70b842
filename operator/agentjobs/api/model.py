"""The base class of all parts of a spec: frozen models without coercion, with the names of the CRD."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict


class Model(BaseModel):
    """Base class of all parts of a spec: frozen, camelCase aliases, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


Integer = Annotated[int, Strict()]
Boolean = Annotated[bool, Strict()]


def loose(description: str, most: int) -> Any:
    """Return the type of a list of pod objects that are passed on unchanged; the API server validates them."""
    extra: JsonDict = {"items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return Field(default=(), max_length=most, description=description, json_schema_extra=extra)
