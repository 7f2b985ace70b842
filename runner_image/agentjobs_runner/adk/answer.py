"""The result of a run: its answer, or the error that ADK only reports in events. See docs/decisions/0015.

`engine` passes every event of a run, and reads the result at its end. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.adk.events.event import Event

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.adk.agent_tree import Kind, Part
from agentjobs_runner.adk.answer_checks import NO_CONTENT
from agentjobs_runner.adk.event_content import answer_in, media_of, output_of, text_of
from agentjobs_runner.adk.finish_reasons import unfinished
from agentjobs_runner.endings import Ending, config_invalid
from agentjobs_runner.results import as_text, is_blank


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its position, its value (a text, or a JSON value), and the agent whose model wrote it."""

    at: int
    value: Any
    model_of: str | None = None
    """None for answers of code, a tool or several agents."""


@dataclass(slots=True)
class _Speaker:
    """The state of one part. `last` is its last event in each branch it runs in."""

    last: dict[str, tuple[int, Event]] = field(default_factory=dict)
    answer: Answer | None = None
    beside: Answer | None = None
    """A text next to a tool call: the answer if this tool ends the agent."""
    left: bool = False
    """It ended its loop; no further events are expected."""


class AnswerCollector:
    """Collects the result of one run. `team` is the structure of the root."""

    def __init__(self, team: Part) -> None:
        self._team = team
        self._parts = {part.name: part for part in team.all()}
        self._nodes = {member.name for part in team.all() if part.kind is not Kind.AGENT for member in part.members}
        self._speakers: dict[str, _Speaker] = {}
        self._output: Answer | None = None
        self._calls: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._media: list[str] = []
        self._now = 0

    def see(self, event: Event) -> None:
        """Process one event. Partial ones are repeated by a complete one."""
        if event.partial:
            return
        self._now += 1
        self._wait(event)
        if event.author == "user" or self._is_called(event):
            return
        self._media = media_of(event) or self._media
        if self._team.kind is not Kind.AGENT and any("/" not in path for path in event.node_info.output_for or ()):
            self._output = self._answer_of(event, output_of(event))
        self._read_event(self._speakers.setdefault(self._name(event), _Speaker()), event)

    def failure(self) -> Ending | None:
        """Return the ending if the last events are an error, or a question that no one will answer."""
        if (broken := self._first_broken()) is not None:
            return unfinished(broken)
        if self._waiting:
            return config_invalid("; ".join(sorted(set(self._waiting.values())))).ending
        return None

    def failed_by(self) -> str | None:
        """Return the author of the event that made the run fail."""
        broken = self._first_broken()
        return None if broken is None else broken.author

    def _first_broken(self) -> Event | None:
        return min(self._broken(self._team), key=lambda item: item[0], default=(0, None))[1]

    def answer(self) -> Answer | Ending:
        """Return the answer of a run without a failure, or its ending without one."""
        found = self._answer()
        if found is not None and not is_blank(as_text(found.value)):
            return found
        if self._media:
            held = ", ".join(sorted(set(self._media)))
            message = f"the answer has no text ({held}); a job's answer must be text or JSON"
            return Ending(Verdict.FAIL, ErrorClass.RESULT_ERROR, message)
        if self._team.kind in (Kind.GRAPH, Kind.CODE):
            message = (
                f"{self._team.name!r} ended without an output: return the answer from its last node; "
                "a short text is enough"
            )
            return Ending(Verdict.FAIL, ErrorClass.RESULT_ERROR, message)
        return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, "the agent ended without an answer")

    def _read_event(self, speaker: _Speaker, event: Event) -> None:
        results, text = event.get_function_responses(), text_of(event)
        silent = not (
            text.strip() or event.get_function_calls() or results or event.output is not None or media_of(event)
        )
        branch = event.branch or ""
        if _is_relevant(event, speaker, speaker.last.get(branch), silent=silent):
            speaker.last[branch] = self._now, event
        if not silent:
            speaker.left = bool(results and event.actions.escalate)
        value = answer_in(event)
        if value is not None:
            speaker.answer = self._answer_of(event, value)
        elif results and (event.actions.skip_summarization or event.actions.escalate):
            speaker.answer, speaker.beside = speaker.beside or speaker.answer, None
        elif event.get_function_calls():
            speaker.beside = self._answer_of(event, text) if text.strip() else None

    def _answer_of(self, event: Event, value: Any) -> Answer:
        return Answer(self._now, value, event.author if event.finish_reason is not None else None)

    def _answer(self) -> Answer | None:
        if self._output is not None:
            return self._output
        if self._team.kind is Kind.GRAPH:
            ends = [member for member in self._team.members if member.name in self._team.ends]
            return _joined([self._made(member) for member in ends])
        return self._made(self._team)

    def _made(self, part: Part) -> Answer | None:
        """The newest answer of a part or its members; for parallel members all of them, in order."""
        members = [self._made(member) for member in part.members]
        if part.kind is Kind.PARALLEL:
            members = [_joined(members)]
        own = [speaker.answer for speaker in self._of(part)]
        return max((found for found in (*own, *members) if found), key=lambda found: found.at, default=None)

    def _broken(self, part: Part) -> list[tuple[int, Event]]:
        """The events with which a part failed, and when; an agent handles its members' failures."""
        own = sorted((item for speaker in self._of(part) for item in speaker.last.values()), key=lambda item: item[0])
        if part.kind is not Kind.AGENT:
            members = [item for member in part.members for item in self._broken(member)]
            return [*filter(_is_error, own), *members]
        spoke = max(part.members, key=self._spoke, default=None)
        if spoke is not None and self._spoke(spoke) > (own[-1][0] if own else 0):
            return self._broken(spoke)
        return [*filter(_is_error, own[-1:])]

    def _spoke(self, part: Part) -> int:
        """The position of the last event of a part or its members; 0 for none."""
        times = (at for member in part.all() for speaker in self._of(member) for at, _ in speaker.last.values())
        return max(times, default=0)

    def _of(self, part: Part) -> Iterator[_Speaker]:
        """Yield the authors of a part. The root also has those that belong to no part."""
        for name, speaker in self._speakers.items():
            if name == part.name or (part is self._team and name not in self._parts):
                yield speaker

    def _name(self, event: Event) -> str:
        """The part of an event. A graph is the author of its functions, which have their own names."""
        signed = self._parts.get(event.author)
        node = event.node_info.name
        return node if signed is not None and signed.kind is Kind.GRAPH and node in self._parts else event.author

    def _is_called(self, event: Event) -> bool:
        """Whether an agent or a function called this one and handles its result: a task, run_node, …"""
        inside = [step.partition("@")[0] for step in (event.branch or "").split(".") if "@" in step]
        if any(name not in self._nodes for name in inside):
            return True
        names = [step.partition("@")[0] for step in event.node_info.path.split("/")]
        return any(name in self._parts and self._parts[name].kind is Kind.CODE for name in names[:-1])

    def _wait(self, event: Event) -> None:
        for call in event.get_function_calls():
            if call.id:
                self._calls[call.id] = call.name or "?"
                if call.id in (event.long_running_tool_ids or ()):
                    self._waiting[call.id] = self._external_request(event, call.name or "?", call.args or {})
        for response in event.get_function_responses():
            self._waiting.pop(response.id or "", None)
            self._calls.pop(response.id or "", None)

    def _external_request(self, event: Event, name: str, args: dict[str, Any]) -> str:
        """Return what waits for an external answer, by its author's name, and the cure."""
        match name:
            case "adk_request_confirmation":
                tool = (args.get("originalFunctionCall") or {}).get("name") or "?"
                cure = "remove require_confirmation or request_confirmation"
                return f"tool {tool} requests a confirmation, which a job cannot give; {cure}"
            case "adk_request_credential":
                key = args.get("functionCallId") or args.get("function_call_id") or "?"
                cure = "set a key or a service account in runtime.env"
                return f"tool {self._calls.get(key, key)} requests credentials, which a job cannot give; {cure}"
            case "adk_request_input":
                where = event.node_info.name or event.author
                cure = "put it into input.message or input.state, and read it there"
                return f"node {where} requests input from a person (RequestInput), which a job cannot give; {cure}"
            case _:
                cure = "remove it from the agent"
                return f"tool {name} waits for an external answer, which a job cannot give; {cure}"


def _joined(answers: list[Answer | None]) -> Answer | None:
    """Answers that count together, in order."""
    found = [answer for answer in answers if answer is not None]
    if len(found) < 2:
        return found[0] if found else None
    return Answer(max(answer.at for answer in found), "\n\n".join(as_text(answer.value) for answer in found))


def _is_relevant(event: Event, speaker: _Speaker, last: tuple[int, Event] | None, *, silent: bool) -> bool:
    """Whether an event shows how its part is doing. Events that only update state or mark an end do not.

    Nor do additions of a callback to a model's error: it runs after each answer, and does not see the error.
    """
    if silent:
        return unfinished(event) is not None and not (speaker.left and event.error_code in (None, NO_CONTENT))
    added = not (_by_model(event) or event.get_function_responses() or event.output is not None)
    return not (added and last is not None and _by_model(last[1]) and _is_error(last))


def _by_model(event: Event) -> bool:
    """Whether an event has a model's answer; events of callbacks and code have none of these fields."""
    return any(trace is not None for trace in (event.finish_reason, event.usage_metadata, event.model_version))


def _is_error(item: tuple[int, Event]) -> bool:
    return unfinished(item[1]) is not None
