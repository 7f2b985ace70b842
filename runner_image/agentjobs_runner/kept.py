"""Files that a start keeps for the later starts of its job: the session of an engine, the changes in a workspace.

They are of one run of the job, so that an attempt which begins anew finds none. Kept behind the fence.
"""

from typing import Protocol


class Kept(Protocol):
    """The kept files of one run. Safe to use from any thread.

    The methods block until they are answered. They raise `errors.Invalid` and `errors.TooLarge` where a request is
    refused; while what keeps the files is away they do not return, and the supervisor ends the start when patience has
    run out.
    """

    def files(self) -> dict[str, int]:
        """Return the names of all files, with the bytes of each."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a whole file; None where there is none."""
        ...

    def write(self, name: str, content: bytes, *, offset: int = 0) -> None:
        """Make a file what it was up to `offset`, and then the content, however long it is.

        Raises:
            errors.Invalid: the file is shorter than the offset.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""
        ...
