"""An agent that reads and writes its session: state of all kinds, artifacts, memory."""

from google.adk.agents import LlmAgent
from google.adk.tools import ToolContext
from google.genai import types


async def note(text: str, tool_context: ToolContext) -> dict[str, object]:
    """Write down a text, count it, and save all that was written."""
    state = tool_context.state
    notes = [*state.get("notes", []), text]
    state["notes"] = notes
    state["user:count"] = state.get("user:count", 0) + 1
    state["app:last"] = text
    version = await tool_context.save_artifact("notes.txt", types.Part(text="\n".join(notes)))
    await tool_context.save_artifact("user:all.txt", types.Part.from_bytes(data=text.encode(), mime_type="text/csv"))
    heard = sum(event.author == "user" for event in tool_context.session.events)
    return {"notes": notes, "version": version, "count": state["user:count"], "heard": heard}


async def recall(query: str, tool_context: ToolContext) -> dict[str, object]:
    """Search memory, and read what the user's other sessions saved."""
    found = await tool_context.search_memory(query)
    saved = await tool_context.load_artifact("user:all.txt")
    texts = ["".join(part.text or "" for part in memory.content.parts or []) for memory in found.memories]
    data = saved.inline_data.data if saved and saved.inline_data else b""
    return {"memories": texts, "saved": (data or b"").decode()}


diary = LlmAgent(name="diary", instruction="Keep the diary.", tools=[note, recall])
