"""Which headers of a pod's client go to a provider, and how each provider wants its key."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

# Everything else stays here. Headers choose whose project pays, which fields are answered (and usage may not be one of
# them), or another method; and who knows what a host in between makes of the rest.
_PASSED: Final = frozenset(
    {
        "accept",
        "anthropic-beta",
        "anthropic-dangerous-direct-browser-access",
        "anthropic-version",
        "openai-beta",
        "user-agent",
        "x-app",
        "x-claude-code-session-id",
        "x-goog-api-client",
    }
)
_PASSED_PREFIX: Final = "x-stainless-"
# What the pod's token may come in. `x-goog-api-key` and `key` are Gemini's, `api-key` is Azure's.
_KEY_HEADERS: Final = ("x-goog-api-key", "x-api-key", "api-key")


class Auth(StrEnum):
    """How a provider wants its key."""

    GOOGLE = "google"
    BEARER = "bearer"
    """OpenAI and hosts that speak its API, and Vertex AI, whose keys are access tokens."""
    ANTHROPIC = "anthropic"
    AZURE = "azure"


def auth_headers(auth: Auth, key: str) -> dict[str, str]:
    """Return the header that carries a provider's key; none for an empty one, as local hosts have."""
    if not key:
        return {}
    match auth:
        case Auth.GOOGLE:
            return {"x-goog-api-key": key}
        case Auth.BEARER:
            return {"authorization": f"Bearer {key}"}
        case Auth.ANTHROPIC:
            return {"x-api-key": key}
        case Auth.AZURE:
            return {"api-key": key}


def token_of(headers: Mapping[str, str]) -> str:
    """Return the token that a pod's client sent as its key, in whichever header; empty for none.

    Clients that were given two keys send two headers; the token is what both of them are then.
    """
    found = {name.lower(): value for name, value in headers.items()}
    scheme, _, token = found.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return next((value for name in _KEY_HEADERS if (value := found.get(name, "").strip())), "")


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that go to the provider, with lower-case names. Answers must not be compressed: usage is read
    from what passes by."""
    lower = ((name.lower(), value) for name, value in headers.items())
    kept = {name: value for name, value in lower if name in _PASSED or name.startswith(_PASSED_PREFIX)}
    return kept | {"content-type": "application/json", "accept-encoding": "identity"}
