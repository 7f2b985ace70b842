"""Descriptions of fields for the OpenAPI document: the docstrings below the fields of models.

Python does not keep these docstrings, so they are read from the source, once, when the document is requested.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final

_OURS: Final = "agentjobs"
# Fields that mean the same wherever their model has no docstring for them.
_COMMON: Final = {
    "action": "The action.",
    "app": "The app of the session.",
    "attempt": "The number of the attempt, from 1.",
    "began": "When it began.",
    "bytes": "The size in bytes.",
    "costUSD": "The cost in US dollars.",
    "created": "When it was created.",
    "cursor": "The `cursor` parameter of the next page; null on the last page.",
    "inputTokens": "The number of input tokens.",
    "items": "The items of the page.",
    "job": "The job.",
    "message": "A sentence for people.",
    "model": "The model, by its canonical name.",
    "name": "The name.",
    "namespace": "The namespace.",
    "outputTokens": "The number of output tokens.",
    "phase": "The phase of the job.",
    "queue": "The queue.",
    "reason": "The reason, in CamelCase.",
    "result": "The result.",
    "session": "The session.",
    "state": "The state.",
    "step": "The step.",
    "time": "When it happened.",
    "uid": "The uid of the job.",
    "user": "The user.",
}


def describe_fields(schemas: Mapping[str, Any], models: Mapping[str, type]) -> None:
    """Add descriptions to the fields in `schemas` that have none; `models` are the classes by the schemas' names."""
    for name, schema in schemas.items():
        docs = _docs(models[name]) if name in models else {}
        for field, field_schema in schema.get("properties", {}).items():
            if description := docs.get(_folded(field)) or _COMMON.get(field):
                field_schema.setdefault("description", description)


def _docs(model: type) -> dict[str, str]:
    """Return the docstrings of a model's fields, including those of its base classes."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each.__module__.partition(".")[0] == _OURS:
            found |= _in_module(each.__module__).get(each.__qualname__, {})
    return found


@cache
def _in_module(name: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[name]))
    return {node.name: dict(_in_class(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _in_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield _folded(name), inspect.cleandoc(text).replace("\n", " ")


def _folded(name: str) -> str:
    """Return the same key for `cost_usd` and `costUSD`."""
    return name.replace("_", "").lower()
