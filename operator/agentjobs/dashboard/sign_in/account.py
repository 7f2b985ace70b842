"""The token of this process, used to impersonate people. The kubelet renews its file."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentjobs.errors import Misconfigured

logger = logging.getLogger(__name__)

# The kubelet renews an hour's token after 48 minutes.
AGAIN_SECONDS: Final = 30.0


class Account:
    """Reads the token.

    Raises:
        errors.Misconfigured: the file has no token.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._read_at = clock()
        try:
            self._token = self._read()
        except (OSError, ValueError) as error:
            why = f"{file}: {error}; it is needed to impersonate people who sign in by OpenID Connect or headers"
            raise Misconfigured(f"token of this process: {why}") from error

    def token(self) -> str:
        """Return the token, read from the file at most 30 s ago."""
        if self._clock() >= self._read_at + AGAIN_SECONDS:
            self._read_at = self._clock()
            try:
                self._token = self._read()
            except (OSError, ValueError) as error:
                logger.error("account.token_unreadable", extra={"file": str(self._file), "error": str(error)})
        return self._token

    def _read(self) -> str:
        token = self._file.read_text("ascii").strip()
        if not token or not token.isprintable():
            raise ValueError("it has no token")
        return token
