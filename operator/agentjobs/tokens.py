"""Bearer tokens as text: where a request carries one, and what it says of itself. Pure.

Whose it is the API server says. What a token says of itself counts only once that has taken it: nothing here checks a
signature.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from agentjobs.problem import unauthorized

# The largest token seen in the wild is some 4 KB (many groups); the API server itself takes headers of 1 MB.
MAX_TOKEN_CHARS: Final = 16 * 1024
# Where the clients of the providers put their key, which for a pod is its token.
_KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key", "api-key")
_KEY_QUERY: Final = "key"


def bearer(authorization: str | None) -> str:
    """Return the token of an Authorization header.

    Raises:
        Problem: 401 when there is none, or what there is cannot be one.
    """
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise unauthorized("Send a token: 'Authorization: Bearer …'.")
    return _plausible(token)


def credentials_of(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """Return the token of a request that a provider's client made, from wherever the client puts its key.

    Args:
        headers: by lower-case names, or of a mapping that does not tell cases apart.

    Raises:
        Problem: 401 when there is none, there are two that differ, or what there is cannot be one.
    """
    scheme, _, sent = headers.get("authorization", "").partition(" ")
    found = {sent.strip()} if scheme.lower() == "bearer" else set()
    found |= {headers.get(name, "").strip() for name in _KEY_HEADERS} | {query.get(_KEY_QUERY, "").strip()}
    found.discard("")
    if not found:
        raise unauthorized("Send the pod's token as the provider's API key; the runner's environment has it.")
    if len(found) > 1:
        raise unauthorized("The request carries two different keys; send the pod's token alone.")
    return _plausible(found.pop())


def digest(text: str) -> str:
    """Return what a token, or anything else, is remembered by: its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def audiences_of(token: str) -> frozenset[object]:
    """Return for whom a token says that it is; nothing for one that cannot be read."""
    said = _claims(token).get("aud")
    named = said if isinstance(said, list) else [said]
    return frozenset(each for each in named if isinstance(each, str))


def seconds_left(token: str, now: float) -> float | None:
    """Return until when a token says that it counts, in seconds from `now`; None for one that says nothing."""
    try:
        return max(0.0, float(_claims(token)["exp"]) - now)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _claims(token: str) -> Mapping[str, Any]:
    try:
        claims = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, Mapping) else {}


def _plausible(token: str) -> str:
    if len(token) > MAX_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise unauthorized("What was sent as a token cannot be one.")
    return token
