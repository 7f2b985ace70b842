"""Bearer tokens as text: reads them from requests, and decodes their claims. Pure.

The API server decides whose a token is. Its claims are only used after that, because nothing here checks a signature.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from agentjobs.problem import unauthorized

# The largest known tokens have about 4 KB (many groups); the API server itself accepts headers of 1 MB.
MAX_TOKEN_CHARS: Final = 16 * 1024
# Headers in which clients of providers send their API key, which for a pod is its token.
_KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key", "api-key")
_KEY_QUERY: Final = "key"


def bearer(authorization: str | None) -> str:
    """Return the token of an Authorization header.

    Raises:
        Problem: 401 if there is none, or it is malformed.
    """
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise unauthorized("Send a token: 'Authorization: Bearer …'.")
    return _plausible(token)


def credentials_of(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """Return the token of a request by a provider's client, from any of the headers for API keys.

    Args:
        headers: with lower-case names, or a case-insensitive mapping.

    Raises:
        Problem: 401 if there is none, there are two different ones, or it is malformed.
    """
    scheme, _, sent = headers.get("authorization", "").partition(" ")
    found = {sent.strip()} if scheme.lower() == "bearer" else set()
    found |= {headers.get(name, "").strip() for name in _KEY_HEADERS} | {query.get(_KEY_QUERY, "").strip()}
    found.discard("")
    if not found:
        raise unauthorized("Send the pod's token as the provider's API key; the runner's environment has it.")
    if len(found) > 1:
        raise unauthorized("The request has two different keys; send only the pod's token.")
    return _plausible(found.pop())


def digest(text: str) -> str:
    """Return the SHA-256 of a token, as a cache key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def audiences_of(token: str) -> frozenset[object]:
    """Return the audiences in a token; empty if it cannot be decoded."""
    audience = _claims(token).get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    return frozenset(each for each in audiences if isinstance(each, str))


def seconds_left(token: str, now: float) -> float | None:
    """Return the seconds from `now` until a token expires, by its own claim; None without one."""
    try:
        return max(0.0, float(_claims(token)["exp"]) - now)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _claims(token: str) -> Mapping[str, Any]:
    try:
        claims = token.split(".")[1]
        decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, Mapping) else {}


def _plausible(token: str) -> str:
    if len(token) > MAX_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise unauthorized("The token is malformed.")
    return token
