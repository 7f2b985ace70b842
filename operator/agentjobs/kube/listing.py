"""The HTTP session that kopf lists and watches with. Its lists leave out the objects that the caches have already.

kopf makes a task, a queue and a lasting memory for each object of its own list and calls our handler with it, although
our list came first: at 10,000 objects that took more CPU than the rest of the start. `kopf_adapter` makes a session at
each login.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import aiohttp

IsCurrent: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
"""Whether a listed object of a kind brings nothing new."""

_SUFFIX = "List"


def listing_session(
    *, headers: Mapping[str, str], connector: aiohttp.BaseConnector, proxy: str | None, is_current: IsCurrent
) -> aiohttp.ClientSession:
    """Return a session whose lists leave out every object that is current."""

    class Answer(aiohttp.ClientResponse):
        async def json(self, **kwargs: Any) -> Any:
            body = await super().json(**kwargs)
            kind = body.get("kind") if isinstance(body, dict) else None
            if isinstance(kind, str) and kind.endswith(_SUFFIX) and isinstance(body.get("items"), list):
                kind = kind.removesuffix(_SUFFIX)
                body["items"] = [item for item in body["items"] if not is_current(kind, item)]
            return body

    return aiohttp.ClientSession(connector=connector, headers=headers, proxy=proxy, response_class=Answer)
