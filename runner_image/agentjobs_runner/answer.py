"""What a run amounts to: the answer's text, its structure, and the errors ADK only mentions.

`engine` shows it every event of a run and asks for the ending when the run is over. Pure.
"""

import json
from collections.abc import Sequence
from typing import Any

from google.adk.events.event import Event

from agentjobs.contract import MAX_RESULT_BYTES, ErrorClass, Result, Verdict, cut
from agentjobs_runner.classify import is_blocked, soft
from agentjobs_runner.endings import Ending
from agentjobs_runner.wording import plain, size_of, storable

# The result travels in a document with verdict, reason and message around it.
_ROOM = 16 * 1024


class Answer:
    """Collects the answer of one run.

    Args:
        strands: names of the root's sub-agents when the root is a ParallelAgent: their answers arrive in any order and
            are put together in this one. Empty for every other root: the last answer counts.
    """

    def __init__(self, strands: Sequence[str] = ()) -> None:
        self._strands = tuple(strands)
        self._texts: dict[str, str] = {}
        self._output: Any = None
        self._last: dict[tuple[str, str], Event] = {}
        self._waiting: dict[str, str] = {}

    def see(self, event: Event) -> None:
        """Take in one event. Partial ones repeat what a later one says whole."""
        if event.partial:
            return
        self._wait(event)
        self._last[event.branch or "", event.author] = event
        if event.output is not None:
            self._output = event.output
        text = text_of(event)
        if text.strip() and event.author != "user" and event.is_final_response():
            self._texts[self._strand(event)] = text

    def ending(self, usage: dict[str, int]) -> Ending:
        """Say how the run ended, now that ADK has nothing more to say; `usage` goes with an answer."""
        for event in self._last.values():
            if event.error_code:
                return soft(str(event.error_code), event.error_message or "")
            if is_blocked(event.finish_reason):
                return soft(str(event.finish_reason), "")
        if self._waiting:
            tools = ", ".join(sorted(set(self._waiting.values())))
            message = (
                f"tool {tools} waits for an answer from outside, which a job cannot give; remove it from the agent"
            )
            return Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message)
        text = self._text()
        if not text.strip():
            return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, "the agent ended without an answer")
        return Ending(Verdict.SUCCEED, "ResultAccepted", "the agent answered", result=self._result(text, usage))

    def _text(self) -> str:
        texts = [self._texts[strand] for strand in self._strands if strand in self._texts]
        if not texts:
            texts = list(self._texts.values())[-1:]
        if not texts and self._output is not None:
            return json.dumps(plain(self._output), ensure_ascii=False)
        return "\n\n".join(texts)

    def _result(self, text: str, usage: dict[str, int]) -> Result:
        text = storable(text)
        result = Result(text=text, structured=_structured(text), outcome=None, usage=usage)
        if size_of(result) > MAX_RESULT_BYTES - _ROOM:
            # JSON's escapes make a text up to six times longer, so what remains is measured, not computed.
            result["structured"] = None
            limit = MAX_RESULT_BYTES - _ROOM
            while size_of(result) > MAX_RESULT_BYTES - _ROOM:
                result["text"] = cut(text, limit)
                limit = limit * 3 // 4
        return result

    def _strand(self, event: Event) -> str:
        for part in (event.branch or "").split("."):
            if part in self._strands:
                return part
        # The newest answer goes last, wherever its author spoke before.
        self._texts.pop(event.author, None)
        return event.author

    def _wait(self, event: Event) -> None:
        for call in event.get_function_calls():
            if call.id and call.id in (event.long_running_tool_ids or ()):
                self._waiting[call.id] = call.name or "?"
        for response in event.get_function_responses():
            self._waiting.pop(response.id or "", None)


def text_of(event: Event) -> str:
    """The text of an event, thoughts left out."""
    parts = (event.content.parts if event.content else None) or []
    return "".join(part.text for part in parts if part.text and not part.thought)


def _structured(text: str) -> dict[str, Any] | None:
    """The answer as a JSON object, also out of a Markdown code block, which models like to put around one."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        stripped = stripped[3:-3].removeprefix("json").strip()
    if not stripped.startswith("{"):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    found = plain(value)
    return found if isinstance(found, dict) else None
