"""Files that a start keeps for later starts of its job: an engine's session, the changes in a workspace.

They belong to one run of the job, so that an attempt that begins again finds none. Protected by the fence.
"""

from typing import Protocol


class Kept(Protocol):
    """The kept files of one run. Thread-safe.

    The methods block. They raise `errors.Invalid` and `errors.TooLarge` for rejected requests; while the gateway is
    unavailable they do not return, and the supervisor ends the start after all retries.
    """

    def files(self) -> dict[str, int]:
        """Return the names and sizes of all files."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a whole file; None if it does not exist."""
        ...

    def write(self, name: str, content: bytes, *, offset: int = 0) -> None:
        """Truncate a file to `offset`, then append the content, of any length.

        Raises:
            errors.Invalid: the file is shorter than the offset.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        ...
