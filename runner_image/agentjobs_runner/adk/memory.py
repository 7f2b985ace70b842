"""ADK's memory: a search in what was said in other sessions of the job's user.

Nothing is added by hand: each session that a job names is kept when the job succeeds, and found from then on.
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
from agentjobs_runner.adk.asked_once import asked_once
from agentjobs_runner.log import logger
from agentjobs_runner.stores import Stores
from agentjobs_runner.user_steps import place

# What stands in a request; a text may have several thousand characters.
HITS: Final = 10


class Memory(BaseMemoryService):
    """The memory of the job's app and user.

    Args:
        app, user: of the job; there are no others here.
    """

    def __init__(self, stores: Stores, app: str, user: str) -> None:
        self._stores = stores
        self._own = (app, user)
        self._lock = asyncio.Lock()

    async def add_session_to_memory(self, session: Session) -> None:
        """Do nothing: the session is kept with the job's success, and is not searched before."""
        logger.info("memory.kept_at_end", extra={"session": session.id})

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Return what was said in other sessions that has a word of `query`, best first."""
        if (app_name, user_id) != self._own:
            raise ValueError(f"the memory of {(app_name, user_id)} is not that of this job's user")
        text = query[: contract.MAX_QUERY_CHARS]
        if not text.strip():
            return SearchMemoryResponse()

        async def search() -> list[Any]:
            return list(await asyncio.to_thread(self._stores.search_memory, text, HITS))

        if (
            place.get().within_call
        ):  # in a thread's event loop, perhaps, where the lock of this one cannot be waited for
            found = await search()
        else:
            # A tool may search for the same before each model call; the answer is then recorded once.
            async with self._lock:
                found = await asked_once("memory", search, key=sha256(text.encode("utf-8", "replace")).hexdigest()[:16])
        return SearchMemoryResponse(memories=[_entry(hit) for hit in found])


def _entry(hit: Mapping[str, Any]) -> MemoryEntry:
    role = "user" if hit["author"] == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=hit["text"])])
    return MemoryEntry(id=hit["id"] or None, author=hit["author"], timestamp=hit["time"], content=content)
