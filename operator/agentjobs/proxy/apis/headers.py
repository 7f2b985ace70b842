"""Which headers of a pod's client go to a provider."""

from collections.abc import Mapping
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


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that go to the provider, with lower-case names. Answers must not be compressed: usage is read
    from what passes by."""
    lower = ((name.lower(), value) for name, value in headers.items())
    kept = {name: value for name, value in lower if name in _PASSED or name.startswith(_PASSED_PREFIX)}
    return kept | {"content-type": "application/json", "accept-encoding": "identity"}
