"""The current sinks, read again when their file changes; and their secrets, read when needed.

A secret is read from its file at each request: a changed Secret is used as soon as the kubelet has updated the file.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentjobs import errors
from agentjobs.notifier import sinks_file
from agentjobs.notifier.sinks_file import HeaderEntry, SinkEntry

logger = logging.getLogger(__name__)

# A kubelet updates the volume of a changed ConfigMap within about a minute.
POLL_SECONDS: Final = 5.0
MAX_SECRET_BYTES: Final = 16 * 1024
KEY_PREFIX: Final = "whsec_"
_MIN_KEY_BYTES: Final = 16


class Sinks:
    """The sinks of an installation. `watch` must be running.

    Args:
        environ: for `urlEnv` and `env` of headers.

    Raises:
        errors.Misconfigured: the file cannot be read, or is invalid; the message has every problem with its line.
    """

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path, self._environ = path, environ
        self._text = _read(path)
        self.by_name = self._parsed()
        """The current sinks by name."""

    async def watch(self) -> None:
        """Read the file again when it changes; an invalid one is logged, and the previous one stays. Never returns."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.poll()

    def poll(self) -> None:
        """Read the file again if it has changed."""
        try:
            text = _read(self._path)
            if text == self._text:
                return
            self._text = text
            self.by_name = self._parsed()
        except errors.AgentJobsError as error:
            logger.error("sinks.unusable", extra={"error": str(error)})
        else:
            logger.info("sinks.changed", extra={"sinks": len(self.by_name)})

    def url(self, sink: SinkEntry) -> str:
        """Return the address of a sink. Raises `errors.Misconfigured`, without the address."""
        found = self._secret(sink.url, sink.url_file, sink.url_env, "url")
        try:
            return sinks_file.address(found)
        except ValueError as error:
            raise errors.Misconfigured(f"url: {error}") from None

    def headers(self, sink: SinkEntry) -> dict[str, str]:
        """Return the headers of a sink. Raises `errors.Misconfigured`."""
        return {header.name: self._header(header) for header in sink.headers}

    def keys(self, sink: SinkEntry) -> list[bytes]:
        """Return the keys to sign messages for a sink with, one per line of its file or variable.

        Raises `errors.Misconfigured`.
        """
        if sink.signing_key_file is None and sink.signing_key_env is None:
            return []
        what = "signingKeyEnv" if sink.signing_key_file is None else "signingKeyFile"
        lines = self._secret(None, sink.signing_key_file, sink.signing_key_env, what).split()
        return [_key(line) for line in lines]

    def _header(self, header: HeaderEntry) -> str:
        value = self._secret(header.value, header.file, header.env, f"header {header.name}")
        if "\n" in value:
            raise errors.Misconfigured(f"header {header.name}: its value has several lines; use one")
        return value

    def _secret(self, value: str | None, file: Path | None, variable: str | None, what: str) -> str:
        if value is not None:
            return value
        if variable is not None:
            text = self._environ.get(variable, "")
            place = f"the variable {variable}"
        else:
            assert file is not None  # the file's rules require one of the three
            text, place = _secret_in(file, what), str(file)
        text = text.strip()
        if not text or not text.replace("\n", "").isascii() or not text.replace("\n", "").isprintable():
            raise errors.Misconfigured(f"{what}: {place} is empty or has characters other than printable ASCII")
        return text

    def _parsed(self) -> Mapping[str, SinkEntry]:
        found = sinks_file.parse(self._text, str(self._path))
        return {sink.name: sink for sink in found.sinks}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise errors.Misconfigured(f"{path}: cannot read the sinks file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.Misconfigured(f"{path}: the sinks file is not UTF-8") from None


def _secret_in(file: Path, what: str) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_SECRET_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise errors.Misconfigured(f"{what}: cannot read {file}: {error.strerror}") from None


def _key(line: str) -> bytes:
    try:
        key = base64.b64decode(line.removeprefix(KEY_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not line.startswith(KEY_PREFIX) or len(key) < _MIN_KEY_BYTES:
        raise errors.Misconfigured(
            "invalid signing key; use whsec_ followed by at least 16 random bytes in base64, one key per line"
        )
    return key
