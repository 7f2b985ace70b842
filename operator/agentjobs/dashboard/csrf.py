"""The token that forms carry: who reads our pages can send it, and no other site can.

Each page has it in another form, xored with random bytes, so that the size of compressed pages tells nothing of it.
"""

import base64
import binascii
import hmac
import secrets
from typing import Final

FIELD: Final = "csrf"
HEADER: Final = "x-csrf-token"
_BYTES: Final = 16


def masked(token: bytes) -> str:
    """Return a token of 16 bytes as a form carries it."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _xor(mask, token)).decode()


def is_same(given: str, expected: str) -> bool:
    """Return whether two forms are of one token."""
    return hmac.compare_digest(_plain(given), _plain(expected))


def _plain(form: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(form.encode())
    except (binascii.Error, ValueError):
        raw = b""
    return _xor(raw[:_BYTES], raw[_BYTES:]) if len(raw) == 2 * _BYTES else form.encode()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
