"""What is not imported, and importing beside the wait for the gateway: the habits that keep the start short.

Called by `__main__` and `attempt`. google-genai and httpx load what they find installed though a runner never uses it:
aiohttp, and httpx's command line with rich and pygments, together a fifth of the start. Without aiohttp google-genai
uses httpx alone, which besides makes no connection attempts of its own accord.
"""

import importlib
import sys
import threading
from types import ModuleType
from typing import Any, Final

UNUSED: Final = ("aiohttp", "httpx._main")


def hide() -> None:
    """Make imports of `UNUSED` fail until `show`; both importers take that for not installed."""
    for name in UNUSED:
        # None in sys.modules is how Python spells "do not find this" (import system reference, 5.3.1).
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # typeshed knows modules only


def show() -> None:
    """Let user code import them again."""
    for name in UNUSED:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]


class Preload:
    """Imports a module in a thread of its own, from the moment it is made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = threading.Thread(target=self._import, name="preload", daemon=True)
        self._thread.start()

    def _import(self) -> None:
        try:
            importlib.import_module(self._name)
        except BaseException:  # noqa: S110  wait() imports again, in the thread that can report it
            pass
        finally:
            show()

    def wait(self) -> Any:
        """Return the module, or raise what its import raises."""
        self._thread.join()
        module: ModuleType = importlib.import_module(self._name)
        return module
