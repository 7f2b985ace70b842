"""ADK's memory: a search in other sessions of the job's user.

Nothing is added explicitly: a job's named session is stored when the job succeeds, and found from then on.
"""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions.session import Session
from google.genai import types

from agentjobs import contract
from agentjobs_runner.adk.call_once import call_once
from agentjobs_runner.log import logger
from agentjobs_runner.stores import Stores
from agentjobs_runner.threads import in_thread
from agentjobs_runner.user_steps import place

# Length of the query in a request; a text may have several thousand characters.
HITS: Final = 10


class Memory(BaseMemoryService):
    """The memory of the job's app and user.

    Args:
        app, user: the job's; others are not accessible.
    """

    def __init__(self, stores: Stores, app: str, user: str) -> None:
        self._stores = stores
        self._own = (app, user)
        self._lock = asyncio.Lock()

    async def add_session_to_memory(self, session: Session) -> None:
        """Do nothing: the session is stored when the job succeeds, and is not searched before."""
        logger.info("memory.stored_at_end", extra={"session": session.id})

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Return texts of other sessions that contain a word of `query`, best first."""
        if (app_name, user_id) != self._own:
            raise ValueError(f"the memory of {(app_name, user_id)} does not belong to this job's user")
        text = query[: contract.MAX_QUERY_CHARS]
        if not text.strip():
            return SearchMemoryResponse()

        async def search() -> list[Any]:
            return list(await in_thread(self._stores.search_memory, text, HITS))

        if place.get().within_call:  # the code may run in another event loop, which cannot wait for this loop's lock
            found = await search()
        else:
            # A tool may repeat a search before each model call; its result is then recorded once.
            async with self._lock:
                found = await call_once("memory", search, key=sha256(text.encode("utf-8", "replace")).hexdigest()[:16])
        return SearchMemoryResponse(memories=[_entry(hit) for hit in found])


def _entry(hit: Mapping[str, Any]) -> MemoryEntry:
    role = "user" if hit["author"] == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=hit["text"])])
    return MemoryEntry(id=hit["id"] or None, author=hit["author"], timestamp=hit["time"], content=content)
