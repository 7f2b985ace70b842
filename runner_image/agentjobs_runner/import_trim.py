"""Hides installed but unnecessary packages from imports, for a quick start. Called by `__main__` and `engines`.

google-genai and httpx import what they find installed, even if a runner never uses it: aiohttp, and httpx's command
line with rich and pygments, together a fifth of the start. Without aiohttp google-genai uses httpx only, which also
makes no connection attempts of its own.
"""

import sys
from typing import Final

UNUSED: Final = ("aiohttp", "httpx._main")


def hide() -> None:
    """Make imports of `UNUSED` fail until `show`; both importers then treat them as not installed."""
    for name in UNUSED:
        # None in sys.modules is how Python spells "do not find this" (import system reference, 5.3.1).
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # typeshed knows modules only


def show() -> None:
    """Allow user code to import them again."""
    for name in UNUSED:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]
