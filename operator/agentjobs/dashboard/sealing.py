"""Seals small values for cookies: encrypted and authenticated (AES-256-GCM) with the installation's keys.

Without the keys, no one can read a value, make one, or use one for another purpose.
"""

import hmac
import logging
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentjobs.errors import Misconfigured

logger = logging.getLogger(__name__)

MIN_KEY_CHARS: Final = 32
MAX_KEYS: Final = 10
_NONCE_BYTES: Final = 12


class Seal:
    """Seals with the first key, opens with all keys.

    Args:
        file: keys, one per line; read again when it changes. None generates a key.

    Raises:
        errors.Misconfigured: the file cannot be read, or has no valid key.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._modified = 0
        self._keys: Sequence[bytes] = ()
        if file is None:
            self._keys = [_derived(secrets.token_hex(MIN_KEY_CHARS))]
        else:
            self._modified = file.stat().st_mtime_ns if file.exists() else 0
            self._keys = _read(file)

    def seal(self, purpose: str, content: bytes) -> bytes:
        """Return the sealed content. It can be opened only for the same purpose."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._current()[0]).encrypt(nonce, content, purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes | None:
        """Return the content; None where the value is invalid, has another key, or another purpose."""
        for key in self._current():
            try:
                return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
            except (InvalidTag, ValueError):
                continue
        return None

    def digest(self, purpose: str, text: str) -> bytes:
        """Return 16 bytes derived from the text, which are secret without the first key."""
        return hmac.digest(self._current()[0], f"{purpose}\0{text}".encode(), sha256)[:16]

    def _current(self) -> Sequence[bytes]:
        if self._file is not None:
            try:
                modified = self._file.stat().st_mtime_ns
                if modified != self._modified:
                    self._keys, self._modified = _read(self._file), modified
                    logger.info("sessions.keys_read", extra={"keys": len(self._keys)})
            except (OSError, Misconfigured) as error:
                # The known keys stay valid: a file that is half written must not end all sessions.
                logger.error("sessions.keys_unusable", extra={"error": str(error)})
        return self._keys


def _read(file: Path) -> list[bytes]:
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"session keys: {file} cannot be read: {error}") from error
    found = [line for line in lines if line]
    if not found or len(found) > MAX_KEYS or min(map(len, found)) < MIN_KEY_CHARS:
        expected = f"expected 1 to {MAX_KEYS} lines of at least {MIN_KEY_CHARS} characters"
        raise Misconfigured(f"session keys: {file}: {expected}; make one with `openssl rand -hex 32`")
    return [_derived(line) for line in found]


def _derived(key: str) -> bytes:
    return HKDF(hashes.SHA256(), length=32, salt=None, info=b"agentjobs dashboard").derive(key.encode())
