"""Completes the OpenAPI document with what FastAPI does not know: request bodies, refusals, authentication."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from agentjobs.api.recorded import Recorded
from agentjobs.gateway import action_bodies, session_bodies
from agentjobs.gateway.bodies import BODIES, schemas
from agentjobs.gateway.field_docs import describe_fields

_REFUSAL: Final[dict[str, Any]] = {
    "title": "Refusal",
    "type": "object",
    "required": ["reason", "message"],
    "properties": {
        "reason": {"type": "string", "description": "The cause in CamelCase; programs may depend on it."},
        "message": {"type": "string", "description": "A sentence for people that says what to do."},
    },
}
_REFUSED: Final[dict[str, Any]] = {
    "description": "Refused. The page of the gateway lists the reasons.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
}
_BEARER: Final[dict[str, Any]] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the API server; runners use the token of their pod.",
}
# Parameters that mean the same wherever a route has no description of its own.
_PARAMETERS: Final = {
    "namespace": "The namespace.",
    "name": "The name of the object; the file name of an artifact.",
    "template": "The name of the AgentTemplate.",
    "call": "The number of the model call.",
    "limit": "The largest number of items on the page.",
}
# FastAPI adds these to each route, but no route returns them.
_NEVER: Final = ("HTTPValidationError", "ValidationError")


def complete_openapi(app: FastAPI) -> None:
    """Make an application return the completed document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(get_openapi(title=app.title, version=app.version, routes=app.routes))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    models = components.setdefault("schemas", {})
    for name in _NEVER:
        models.pop(name, None)
    models |= {**schemas(*session_bodies.MODELS, *action_bodies.MODELS), "Refusal": _REFUSAL}
    describe_fields(models, _classes())
    components["securitySchemes"] = {"bearer": _BEARER}
    for each in document["paths"].values():
        for operation in each.values():
            _complete(operation)
    return document


def _classes() -> dict[str, type]:
    """Return the models of answers and bodies by the names of their schemas."""
    found: list[type[Any]] = [*_subclasses(Recorded), *BODIES, *session_bodies.MODELS, *action_bodies.MODELS]
    return {each.__name__: each for each in found}


def _subclasses(model: type[Any]) -> Iterator[type[Any]]:
    below: list[type[Any]] = model.__subclasses__()
    for each in below:
        yield each
        yield from _subclasses(each)


def _complete(operation: dict[str, Any]) -> None:
    tags = operation.get("tags", ())
    # Calls of triggers may use a signature instead.
    operation["security"] = [] if "health" in tags else [{"bearer": []}, *([{}] if "triggers" in tags else [])]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _PARAMETERS:
            parameter.setdefault("description", _PARAMETERS[parameter["name"]])
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    responses["default"] = _REFUSED
    # FastAPI describes a stream as text.
    events = responses.get("200", {}).get("content", {}).get("text/event-stream", {})
    events.pop("schema", None)
