"""The OpenAPI document, with what FastAPI cannot know: bodies that are read by hand, refusals, and who may ask."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from agentjobs.gateway import action_bodies, session_bodies
from agentjobs.gateway.bodies import schemas

_REFUSAL: Final[dict[str, Any]] = {
    "title": "Refusal",
    "type": "object",
    "required": ["reason", "message"],
    "properties": {
        "reason": {"type": "string", "description": "In CamelCase; the same for the same cause."},
        "message": {"type": "string", "description": "A sentence, with what to do."},
    },
}
_REFUSED: Final[dict[str, Any]] = {
    "description": "Refused; the gateway's page lists the reasons.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
}
_BEARER: Final[dict[str, Any]] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the API server; of runners that of their pod.",
}
# Parameters that mean the same wherever a route says no more of them.
_PARAMETERS: Final = {
    "namespace": "The namespace.",
    "name": "The object's name; of an artifact its file name.",
    "template": "The AgentTemplate's name.",
    "call": "The number of the model call.",
    "limit": "At most so many items on the page.",
}
# What FastAPI says of each route, and no route does.
_NEVER: Final = ("HTTPValidationError", "ValidationError")


def complete_openapi(app: FastAPI) -> None:
    """Have an application answer with the whole document."""

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
    components["securitySchemes"] = {"bearer": _BEARER}
    for each in document["paths"].values():
        for operation in each.values():
            _complete(operation)
    return document


def _complete(operation: dict[str, Any]) -> None:
    tags = operation.get("tags", ())
    # Calls of triggers may have a signature instead.
    operation["security"] = [] if "health" in tags else [{"bearer": []}, *([{}] if "triggers" in tags else [])]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _PARAMETERS:
            parameter.setdefault("description", _PARAMETERS[parameter["name"]])
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    responses["default"] = _REFUSED
    # A stream is no text, as FastAPI has it, but events.
    events = responses.get("200", {}).get("content", {}).get("text/event-stream", {})
    events.pop("schema", None)
