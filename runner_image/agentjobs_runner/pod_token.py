"""The pod's token, which the kubelet renews in its file. Standard library only."""

from collections.abc import Callable
from pathlib import Path


class PodToken:
    """Reads the token each time: reading a small file is cheaper than a rejected request. Thread-safe.

    Args:
        renewed: called with the first token, and with each new one.
    """

    def __init__(self, file: Path, renewed: Callable[[str], None]) -> None:
        self._file = file
        self._renewed = [renewed]
        self._known = ""

    def on_renewal(self, renewed: Callable[[str], None]) -> None:
        """Also call `renewed` with each future token."""
        self._renewed.append(renewed)

    def __call__(self) -> str:
        """Return the token, or the previous one if it cannot be read now: user code may have opened too many files.

        Raises:
            OSError: no token could be read until now.
        """
        try:
            token = self._file.read_text().strip()
        except OSError:
            if not self._known:
                raise
            return self._known
        # Without a lock, which a fork of user code could leave locked; a duplicate call is harmless.
        is_new, self._known = token != self._known, token
        for renewed in self._renewed if is_new else ():
            renewed(token)
        return token
