"""The namespaces of a page: those in its URL, and those that can be chosen. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agentjobs.api.recorded_overview import Namespaces
from agentjobs.dashboard.views.urls import PLACES

MAX_LISTED: Final = 60
"""Of the namespaces that a page offers; any other can be typed."""


@dataclass(frozen=True, slots=True)
class Picker:
    """The choice of namespaces, as a form that loads the same page."""

    chosen: tuple[str, ...]
    """Empty for all that the person may read."""
    offered: tuple[str, ...]
    """Those chosen come first."""
    more: int
    """How many namespaces are not offered."""
    everywhere: bool
    """Whether the person may read all namespaces."""
    kept: tuple[tuple[str, str], ...]
    """The other parameters of the URL, which the choice keeps."""

    @property
    def text(self) -> str:
        """The choice in words."""
        match self.chosen:
            case ():
                return "All namespaces" if self.everywhere else "All that you may read"
            case (namespace,):
                return namespace
            case several:
                return f"{len(several)} namespaces"

    @property
    def is_several(self) -> bool:
        """Whether rows of the page may be of different namespaces."""
        return len(self.chosen) != 1 and len(self.offered) + self.more > 1


def chosen_namespaces(query: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the namespaces in a URL, each once; empty values are ignored."""
    return tuple(dict.fromkeys(value.strip() for name, value in query if name == "namespace" and value.strip()))


def picker(known: Namespaces, query: Iterable[tuple[str, str]]) -> Picker:
    """Return the choice for a page.

    Args:
        known: what the person may read.
        query: the parameters of the page's URL. The place in a list is dropped: it is one among other namespaces.
    """
    given = tuple(query)
    chosen = chosen_namespaces(given)
    all_of_them = dict.fromkeys((*chosen, *known.items))
    return Picker(
        chosen=chosen,
        offered=tuple(all_of_them)[:MAX_LISTED],
        more=max(0, len(all_of_them) - MAX_LISTED),
        everywhere=known.everywhere,
        kept=tuple((name, value) for name, value in given if name != "namespace" and name not in PLACES),
    )
