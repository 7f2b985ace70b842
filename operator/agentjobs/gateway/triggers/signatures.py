"""Checks whether a call is signed with a known secret: GitHub, Slack, Standard Webhooks. Pure.

Every secret is tried, and the time of a comparison does not depend on what the caller sent.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from agentjobs.gateway.triggers.file import Signature

TOLERANCE_SECONDS: Final = 300
"""The largest difference between the signed time of a call and our clock."""
# The size of a secret. Shorter ones are mistakes, or can be guessed.
MIN_SECRET_BYTES: Final = 16
MAX_SECRET_BYTES: Final = 4096
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
# A sender that changes its key signs with both keys for a while.
_MAX_SIGNATURES: Final = 16


def secret_of(signature: Signature, content: bytes) -> bytes:
    """Return the key from the content of a secret file.

    Raises:
        ValueError: the content is invalid; the message does not repeat it.
    """
    text = content.strip()
    if signature is Signature.STANDARD_WEBHOOKS and text.startswith(b"whsec_"):
        try:
            text = base64.b64decode(text.removeprefix(b"whsec_"), validate=True)
        except binascii.Error:
            raise ValueError("the text after whsec_ is not base64") from None
    if not MIN_SECRET_BYTES <= len(text) <= MAX_SECRET_BYTES:
        raise ValueError(f"a secret must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return text


def is_signed(
    signature: Signature, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], *, now: float
) -> bool:
    """Whether a call carries a signature of one of these secrets, and is not older or newer than `TOLERANCE_SECONDS`.

    Args:
        headers: by lower-case names, or a case-insensitive mapping.
        body: the raw body.
        now: Unix time.
    """
    match signature:
        case Signature.GITHUB:
            given, signed, timestamp = [headers.get("x-hub-signature-256", "")], body, None
            made = [b"sha256=" + _hex(secret, signed) for secret in secrets]
        case Signature.SLACK:
            timestamp = headers.get("x-slack-request-timestamp", "")
            given, signed = [headers.get("x-slack-signature", "")], b"v0:" + _bytes(timestamp) + b":" + body
            made = [b"v0=" + _hex(secret, signed) for secret in secrets]
        case Signature.STANDARD_WEBHOOKS:
            timestamp = headers.get("webhook-timestamp", "")
            given = headers.get("webhook-signature", "").split(" ")[:_MAX_SIGNATURES]
            signed = b".".join((_bytes(headers.get("webhook-id", "")), _bytes(timestamp), body))
            made = [b"v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")) for secret in secrets]
    equal = [hmac.compare_digest(_bytes(sent), computed) for sent in given for computed in made]
    return any(equal) and (timestamp is None or _is_recent(timestamp, now))


def _hex(secret: bytes, signed: bytes) -> bytes:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest().encode()


def _is_recent(timestamp: str, now: float) -> bool:
    return bool(_SECONDS.fullmatch(timestamp)) and abs(now - int(timestamp)) <= TOLERANCE_SECONDS


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
