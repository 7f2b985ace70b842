"""Where people go after they have signed in: to the page that they asked for, if it is one of ours. Pure."""

from typing import Final

MAX_CHARS: Final = 2000
HOME: Final = "/"


def own_path(wanted: str | None) -> str:
    """Return a path of ours with its query, and the first page for anything else: no address leads elsewhere."""
    if not wanted or len(wanted) > MAX_CHARS or not wanted.isascii() or not wanted.isprintable():
        return HOME
    # Browsers take a backslash for a slash, and `//` begins another host.
    if "\\" in wanted or not wanted.startswith("/") or wanted.startswith("//"):
        return HOME
    return HOME if wanted.startswith(("/sign-in", "/sign-out")) else wanted
