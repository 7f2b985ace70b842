"""Where people go after signing in: to the page that they requested, if it is one of the dashboard. Pure."""

from typing import Final

MAX_CHARS: Final = 2000
HOME: Final = "/"


def own_path(wanted: str | None) -> str:
    """Return a path of the dashboard with its query, and `/` for anything else."""
    if not wanted or len(wanted) > MAX_CHARS or not wanted.isascii() or not wanted.isprintable():
        return HOME
    # Browsers treat a backslash as a slash, and `//` begins a host.
    if "\\" in wanted or not wanted.startswith("/") or wanted.startswith("//"):
        return HOME
    return HOME if wanted.startswith(("/sign-in", "/sign-out")) else wanted
