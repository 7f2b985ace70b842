"""Templates. Jinja2 escapes all text; texts.py makes control characters and bidirectional marks visible."""

import functools
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import agentjobs
from agentjobs.amounts import dollars
from agentjobs.dashboard.texts import ago, cut, lasting, link, machine, moment, number, visible
from agentjobs.dashboard.views.reasons import MEANINGS

FOLDER: Final = Path(__file__).parent
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)


@functools.cache
def asset(name: str) -> str:
    """Return the address of a static file. It changes with the content, so browsers may cache it forever."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


class _Loader(FileSystemLoader):
    """Loads templates without indentation, which would be a twentieth of a page with a list."""

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
        auto_reload=False,  # it would read the file system for each page
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
    made.tests["documented"] = MEANINGS.__contains__
    made.globals |= {"link": link, "asset": asset, "version": agentjobs.__version__}
    return made


class Pages:
    """Renders templates for the signed-in person."""

    def __init__(self, templates: Environment) -> None:
        self._templates = templates

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page.

        Args:
            values: variables of the template. It also has `identity`, `namespaces` (those chosen in the URL), `path`,
                `url` (with its query), `now` and `live`.
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
