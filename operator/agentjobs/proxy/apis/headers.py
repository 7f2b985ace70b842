"""The headers of a pod's client that go to a provider."""

from collections.abc import Mapping
from typing import Final

# All others are removed. Headers can select the project that pays, the fields of the answer (without usage), or another
# method; and their effect on hosts in between is unknown.
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


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that go to the provider, with lower-case names. Answers must not be compressed, because usage
    is read from them."""
    lower = ((name.lower(), value) for name, value in headers.items())
    kept = {name: value for name, value in lower if name in _PASSED or name.startswith(_PASSED_PREFIX)}
    return kept | {"content-type": "application/json", "accept-encoding": "identity"}
