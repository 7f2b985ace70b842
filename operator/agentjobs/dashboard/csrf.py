"""The CSRF token of forms. Only a page of the dashboard can read it, so other sites cannot send it.

Each page has it xored with other random bytes, so that the size of a compressed page reveals nothing about it.
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
    """Return a token of 16 bytes as it is put into a form."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _xor(mask, token)).decode()


def is_same(given: str, expected: str) -> bool:
    """Return whether two masked forms have the same token."""
    return hmac.compare_digest(_plain(given), _plain(expected))


def _plain(form: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(form.encode())
    except (binascii.Error, ValueError):
        raw = b""
    return _xor(raw[:_BYTES], raw[_BYTES:]) if len(raw) == 2 * _BYTES else form.encode()


def _xor(first: bytes, second: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(first, second, strict=True))
