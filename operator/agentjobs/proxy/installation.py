"""What the installation allows, read again when its file changes."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentjobs import errors
from agentjobs.models import config, environment
from agentjobs.models.config import Models

logger = logging.getLogger(__name__)

# A kubelet brings a changed ConfigMap to its volume within a minute or so.
LOOK_SECONDS: Final = 5.0


class Installation:
    """Holds the models of an installation. `watch` must run beside it.

    Args:
        path: the file; None for what the environment says, which does not change.

    Raises:
        errors.Invalid: the file is wrong; the message has every flaw with its line.
        errors.Misconfigured: it cannot be read, or a variable cannot be meant.
    """

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        self._path = path
        self._known = self._text()
        self._models = environment.installed(path, environ)

    @property
    def models(self) -> Models:
        """What the installation allows now."""
        return self._models

    async def watch(self) -> None:
        """Read the file again whenever it changes; what is wrong is logged, and what was right stays. Never returns."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
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
        """Return the file's content, which is small: a volume's links make times of change worth little."""
        try:
            return None if self._path is None else self._path.read_bytes()
        except OSError:
            return None
