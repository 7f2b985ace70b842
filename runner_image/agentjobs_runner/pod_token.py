"""The pod's token, which the kubelet renews in its file. Standard library only."""

from collections.abc import Callable
from pathlib import Path


class PodToken:
    """Reads the token anew each time: reading a small file costs less than being refused. Safe to use from any thread.

    Args:
        renewed: called with the first token, and with each that is another than the one before.
    """

    def __init__(self, file: Path, renewed: Callable[[str], None]) -> None:
        self._file = file
        self._renewed = [renewed]
        self._known = ""

    def on_renewal(self, renewed: Callable[[str], None]) -> None:
        """Call `renewed` as well with each token to come."""
        self._renewed.append(renewed)

    def __call__(self) -> str:
        """Return the token, or the one before where it cannot be read now: user code may have opened all it may.

        Raises:
            OSError: no token could be read yet.
        """
        try:
            token = self._file.read_text().strip()
        except OSError:
            if not self._known:
                raise
            return self._known
        # Without a lock, which a fork of the user's code could leave locked; to be told of a token twice harms nobody.
        is_new, self._known = token != self._known, token
        for renewed in self._renewed if is_new else ():
            renewed(token)
        return token
