"""The models of an installation without a models file, from the variables of providers' own clients.

Used by the development cluster and by runs without a cluster.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from agentjobs.errors import Misconfigured
from agentjobs.models.config import BASE_URLS, KeySource, Models, read
from agentjobs.models.models_file import ModelsFile, ProviderEntry
from agentjobs.models.names import Kind


def installed(path: Path | None, environ: Mapping[str, str]) -> Models:
    """Return the models from a file, or without one from the environment.

    Raises like `config.read` and `from_environment`.
    """
    return from_environment(environ) if path is None else read(path)


def from_environment(environ: Mapping[str, str]) -> Models:
    """Return the models from the variables of providers' own clients, such as `GOOGLE_API_KEY` and `OPENAI_BASE_URL`.

    A base URL without a key is a custom host that needs none.

    Raises:
        errors.Misconfigured: an invalid address, or no project for Vertex AI; the message names the variable.
    """
    found: list[ProviderEntry] = []
    keys: dict[str, KeySource] = {}
    for kind, key_names, base_names in _CLIENTS:
        key = _first(environ, key_names)
        base = _first(environ, base_names)
        if kind is Kind.GEMINI and _means_vertex(environ):
            found.append(_vertex(environ))
            if path := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
                keys["vertex"] = KeySource(file=Path(path), place="GOOGLE_APPLICATION_CREDENTIALS")
        elif key is not None or base is not None:
            name = kind.value.lower()
            bearer = key is not None and key[0] == "ANTHROPIC_AUTH_TOKEN"
            address = (base_names[0], BASE_URLS[kind]) if base is None else base
            found.append(_entry(name, kind, address, {"keyHeader": "Authorization"} if bearer else {}))
            if key is not None:
                keys[name] = KeySource(value=key[1], place=key[0])
    return Models(ModelsFile(providers=tuple(found)), "the environment", environment=keys)


def _means_vertex(environ: Mapping[str, str]) -> bool:
    # Google's client prefers the newer name, even if it is false.
    found = _first(environ, ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"))
    return found is not None and found[1].lower() in ("true", "1")


def _vertex(environ: Mapping[str, str]) -> ProviderEntry:
    project = environ.get("GOOGLE_CLOUD_PROJECT", "").strip()
    if not project:
        raise Misconfigured(
            "GOOGLE_CLOUD_PROJECT: is not set, and Vertex AI (GOOGLE_GENAI_USE_VERTEXAI) needs a project"
        )
    location = environ.get("GOOGLE_CLOUD_LOCATION", "").strip() or "global"
    host = "" if location == "global" else f"{location}-"
    address = _first(environ, ("GOOGLE_VERTEX_BASE_URL",)) or (
        "GOOGLE_CLOUD_LOCATION",
        f"https://{host}aiplatform.googleapis.com",
    )
    return _entry("vertex", Kind.VERTEX_AI, address, {"project": project, "location": location})


def _entry(name: str, kind: Kind, address: tuple[str, str], more: Mapping[str, str]) -> ProviderEntry:
    variable, base = address
    try:
        return ProviderEntry.model_validate({"name": name, "kind": kind.value, "baseUrl": base, **more})
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise Misconfigured(f"{variable}: {problem['msg'].removeprefix('Value error, ')}") from None


def _first(environ: Mapping[str, str], names: Iterable[str]) -> tuple[str, str] | None:
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), None)


# The variables of providers' own clients, in the clients' order of precedence.
_CLIENTS: Final = (
    (Kind.GEMINI, ("GOOGLE_API_KEY", "GEMINI_API_KEY"), ("GOOGLE_GEMINI_BASE_URL",)),
    (Kind.OPENAI, ("OPENAI_API_KEY",), ("OPENAI_BASE_URL",)),
    (Kind.ANTHROPIC, ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"), ("ANTHROPIC_BASE_URL",)),
)
