"""What all parts of a spec are built on: frozen models that coerce nothing and use the names of the CRD."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict


class Model(BaseModel):
    """Base of all parts of a spec: frozen, camelCase aliases, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


Integer = Annotated[int, Strict()]
Boolean = Annotated[bool, Strict()]


def loose(description: str, most: int) -> Any:
    """A list of objects of a pod that are handed on as they are; the API server judges them."""
    extra: JsonDict = {"items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return Field(default=(), max_length=most, description=description, json_schema_extra=extra)
