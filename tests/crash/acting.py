"""Models and tools with effects, from which the teams of `teams` are made. Runs in the runner's process.

What a model answers depends on its request alone, as with a real one: a start that asks something else than the start
before it shows it by other effects.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.apps.app import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.genai import types
from tests.crash.effects import FINAL, effect, mark, marks, unmarked

Turn = str | Sequence[tuple[str, dict[str, Any]]]
"""What a model answers: a text, or calls of tools."""

TOPIC_CHARS = 24


class Model(BaseLlm):
    """Answers with the turn whose number is the number of its agent's answers in the request, round and round."""

    turns: list[Turn]
    seconds: float = 0.005

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Answer, in pieces where they are asked for."""
        spoken = sum(content.role == "model" for content in llm_request.contents)
        said = " ".join(part.text or "" for part in (llm_request.contents[0].parts or []))
        topic = unmarked(said)[:TOPIC_CHARS]
        seen = [content.model_dump(mode="json", exclude_none=True) for content in llm_request.contents]
        with effect(f"model {self.model}({topic})/{spoken + 1}", marks(seen)) as outcome:
            await asyncio.sleep(self.seconds)
            parts = _parts(self.turns[spoken % len(self.turns)], outcome)
        usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=10, candidates_token_count=2)
        if stream and parts[0].text:
            for piece in parts[0].text.partition(" "):
                yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=piece)]), partial=True)
        content = types.Content(role="model", parts=parts)
        yield LlmResponse(content=content, finish_reason=types.FinishReason.STOP, usage_metadata=usage)


def _parts(turn: Turn, outcome: str) -> list[types.Part]:
    if isinstance(turn, str):
        return [types.Part(text=turn if turn.startswith(("{", "no")) else f"{turn} {outcome}")]
    calls = [types.FunctionCall(name=name, args=_passed_on(args, outcome)) for name, args in turn]
    return [types.Part(function_call=call) for call in calls]


def _passed_on(args: dict[str, Any], outcome: str) -> dict[str, Any]:
    """Let a tool see which answer it follows, where its arguments are texts of its own."""
    return {name: f"{value} {outcome}" if name in ("item", "request") else value for name, value in args.items()}


def agent(name: str, *turns: Turn, **more: Any) -> LlmAgent:
    """An agent that answers so, and in the end with a text."""
    return LlmAgent(name=name, model=Model(model=name, turns=[*turns, f"{name} is done."]), **more)


def tool(name: str, *, seconds: float = 0.005, gives: Callable[[str], Any] = str) -> Callable[..., Any]:
    """A tool with an effect, by that name."""

    async def act(item: str) -> dict[str, Any]:
        """Act on an item."""
        with effect(f"tool {name}({unmarked(item)})", marks(item)) as outcome:
            await asyncio.sleep(seconds)
        return {"ok": gives(unmarked(item)), "by": outcome}

    act.__name__ = name
    return act


def calls(name: str, *items: str) -> list[tuple[str, dict[str, Any]]]:
    """A turn that calls one tool for each item."""
    return [(name, {"item": item}) for item in items]


def python(name: str, saw: Any = ()) -> str:
    """Plain code with an effect; returns its mark."""
    with effect(f"code {name}", marks(saw)):
        return mark(f"code {name}")


class Final(BasePlugin):
    """Writes the session down when the run has ended: what is there for the next turn."""

    def __init__(self) -> None:
        super().__init__(name="final")

    async def after_run_callback(self, *, invocation_context: Any) -> None:
        """Write state, events and artifacts; the outermost run writes last."""
        context = invocation_context
        found = {
            "state": {key: value for key, value in context.session.state.items() if not key.startswith("temp:")},
            # What failed and was tried again is not a step: a later start finds only how it ended.
            "events": [_told(one) for one in context.session.events if not one.partial and not one.error_code],
            "artifacts": await _artifacts(context),
        }
        # Half a character is `?` wherever text has to be UTF-8.
        Path(os.environ[FINAL]).write_bytes(
            json.dumps(found, default=str, ensure_ascii=False).encode("utf-8", "replace")
        )


def _told(event: Any) -> dict[str, Any]:
    """An event without what differs from run to run: ids and instants."""
    parts = (event.content.parts if event.content else None) or []
    return {
        "author": event.author,
        "branch": event.branch or "",
        "texts": [part.text for part in parts if part.text],
        "calls": [[part.function_call.name, part.function_call.args] for part in parts if part.function_call],
        "answers": [
            [part.function_response.name, part.function_response.response] for part in parts if part.function_response
        ],
        "state": dict(event.actions.state_delta),
        "artifacts": dict(event.actions.artifact_delta),
        "summary": event.actions.compaction is not None,
    }


async def _artifacts(context: Any) -> dict[str, Any]:
    service, session = context.artifact_service, context.session
    place = {"app_name": context.app_name, "user_id": context.user_id, "session_id": session.id}
    found = {}
    for name in await service.list_artifact_keys(**place) if service else ():
        versions = await service.list_versions(**place, filename=name)
        newest = await service.load_artifact(**place, filename=name)
        found[name] = [len(versions), newest.text if newest else None]
    return found


def app(root: Any, **more: Any) -> App:
    """The App of a team."""
    plugins = [*more.pop("plugins", ()), Final()]
    return App(name="crash", root_agent=root, plugins=plugins, **more)
