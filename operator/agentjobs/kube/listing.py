"""The HTTP session that kopf lists and watches with: its lists leave out what the caches hold already.

kopf makes a task, a queue and a lasting memory for each object of its own list and calls our handler with it, though
our list came first: at 10,000 objects that was more CPU than all else of a start. Made by `kopf_adapter` at each login.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import aiohttp

Known: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
"""Whether an object of a kind, as a list has it, is no news."""

_SUFFIX = "List"


def listing_session(
    *, headers: Mapping[str, str], connector: aiohttp.BaseConnector, proxy: str | None, known: Known
) -> aiohttp.ClientSession:
    """Return a session whose JSON answers have no item that `known` knows."""

    class Answer(aiohttp.ClientResponse):
        async def json(self, **kwargs: Any) -> Any:
            body = await super().json(**kwargs)
            kind = body.get("kind") if isinstance(body, dict) else None
            if isinstance(kind, str) and kind.endswith(_SUFFIX) and isinstance(body.get("items"), list):
                kind = kind.removesuffix(_SUFFIX)
                body["items"] = [item for item in body["items"] if not known(kind, item)]
            return body

    return aiohttp.ClientSession(connector=connector, headers=headers, proxy=proxy, response_class=Answer)
