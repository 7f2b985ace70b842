"""Templates, and what they do to text that models and users wrote: it is data, shown and never obeyed.

Everything is escaped by Jinja2. Marks that turn the writing direction, and control characters, are shown as such.
"""

import functools
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import agentjobs
from agentjobs.readable import CONTROLS

FOLDER: Final = Path(__file__).parent
_CUT: Final = 300
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)


def visible(text: object) -> str:
    """Return text with control characters, and marks that turn the writing direction, replaced by a visible mark."""
    return CONTROLS.sub("\ufffd", "" if text is None else str(text))


def cut(text: object, length: int = _CUT) -> str:
    """Return the first characters of a text, as `visible`, in one line."""
    said = " ".join(visible(str(text or "")[: 4 * length]).split())
    return said if len(said) <= length else said[: length - 1] + "…"


def moment(time: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine(time: datetime) -> str:
    """Return a time for programs: RFC 3339."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def lasting(span: timedelta | float | None) -> str:
    """Return a duration in two units at most: `1h 5m`, `3.2s`, `40ms`."""
    if span is None:
        return ""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds >= 0.0005 else "0s"
    return f"{seconds:.1f}s".replace(".0s", "s") if seconds < 9.95 else _whole(round(seconds))


def ago(since: timedelta | float) -> str:
    """Return how long ago something was, in whole seconds: `1h 5m ago`. What goes on by itself tells no tenths."""
    seconds = since.total_seconds() if isinstance(since, timedelta) else since
    return f"{_whole(max(0, round(seconds)))} ago"


def _whole(whole: int) -> str:
    units = (("d", whole // 86400), ("h", whole % 86400 // 3600), ("m", whole % 3600 // 60), ("s", whole % 60))
    told = [f"{count}{unit}" for unit, count in units if count]
    return " ".join(told[:2]) or "0s"


def dollars(cost: Decimal | None) -> str:
    """Return an amount of US dollars: `$1.84`, of less than one to a hundredth of a cent; empty for none."""
    if cost is None:
        return ""
    if 0 < cost < Decimal("0.0001"):
        return "<$0.0001"
    text = f"{cost:,.2f}" if cost >= 1 else f"{cost:.4f}"
    return "$" + (text[:-2] if cost < 1 and text.endswith("00") else text)


def number(count: float | None) -> str:
    """Return a number with its thousands apart; empty for none."""
    return "" if count is None else f"{count:,}"


def link(*parts: object, **query: object) -> str:
    """Return a path below the dashboard's root from parts that may be anything, with a query."""
    path = "/" + "/".join(quote(str(part), safe="") for part in parts)
    given = [
        (name, one) for name, value in query.items() for one in (value if isinstance(value, list | tuple) else [value])
    ]
    told = urlencode([(name, str(value)) for name, value in given if value not in (None, "")])
    return f"{path}?{told}" if told else path


@functools.cache
def asset(name: str) -> str:
    """Return the address of a static file, which changes with its content: browsers keep it for ever."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


class _Loader(FileSystemLoader):
    """Templates of pages without the indentation of their lines: in a list it is a twentieth of the page."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, file, is_current = super().get_source(environment, template)
        return _INDENTATION.sub("", source) if template.endswith(".html") else source, file, is_current


def environment() -> Environment:
    """Return the templates."""
    made = Environment(
        loader=_Loader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # it would ask the file system for each page
    )
    made.filters |= {
        "visible": visible,
        "cut": cut,
        "moment": moment,
        "machine": machine,
        "lasting": lasting,
        "ago": ago,
        "dollars": dollars,
        "number": number,
    }
    made.globals |= {"link": link, "asset": asset, "version": agentjobs.__version__}
    return made


class Pages:
    """Renders templates for the person who asks."""

    def __init__(self, templates: Environment) -> None:
        self._templates = templates

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page.

        Args:
            values: what the template shows; beside them it has `identity`, `namespaces` (those chosen in the URL),
                `path`, `url` (with its query) and `now`.
        """
        shown = self._values(request) | values
        return HTMLResponse(self._templates.get_template(template).render(shown), status)

    def _values(self, request: Request) -> dict[str, Any]:
        query = request.url.query
        return {
            "identity": getattr(request.state, "identity", None),
            "namespaces": [name for name in request.query_params.getlist("namespace") if name.strip()],
            "path": request.url.path,
            "url": request.url.path + (f"?{query}" if query else ""),
            "now": datetime.now(UTC),
            "live": None,
        }
