"""The installation's models and rules, read again when their file changes."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentjobs import errors
from agentjobs.models import config, environment
from agentjobs.models.config import Models

logger = logging.getLogger(__name__)

# A kubelet updates the volume of a changed ConfigMap within about a minute.
POLL_SECONDS: Final = 5.0


class Installation:
    """The models of an installation. `watch` must be running.

    Args:
        path: the file; None for the environment's variables, which do not change.

    Raises:
        errors.Misconfigured: the file is invalid or cannot be read, or a variable is invalid.
    """

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        self._path = path
        self._known = self._text()
        self._models = environment.installed(path, environ)

    @property
    def models(self) -> Models:
        """The current models and rules."""
        return self._models

    async def watch(self) -> None:
        """Read the file again when it changes; an invalid one is logged, and the previous one stays. Never returns."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._poll()

    def _poll(self) -> None:
        found = self._text()
        if self._path is None or found == self._known:
            return
        self._known = found
        try:
            self._models = config.read(self._path)
        except errors.AgentJobsError as error:
            logger.error("models.unusable", extra={"error": str(error)})
        else:
            logger.info("models.changed", extra={"file": str(self._path)})

    def _text(self) -> bytes | None:
        """Return the file's content. It is small; modification times are unreliable for the links of a volume."""
        try:
            return None if self._path is None else self._path.read_bytes()
        except OSError:
            return None
