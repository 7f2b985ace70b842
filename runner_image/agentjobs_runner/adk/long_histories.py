"""Keeps the cost of a model call independent of the history's length. Installed by `engine`, once per start.

ADK processes the whole history for every request: a run of a thousand steps spends most of a minute on it, even in
replay. Here ADK's code processes only new events, and its earlier results are reused. Models and callbacks get the same
contents as from ADK.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import is_
from typing import Any, Final

from google.adk.events.event import Event
from google.adk.flows.llm_flows.context import _contents
from google.adk.telemetry import tracing
from google.adk.telemetry.context import ContentCapturingMode
from google.genai import types

# Up to this number of events ADK's own way is fast enough.
SHORT: Final = 32
# Number of cached agents in branches.
_KEPT: Final = 64
_ADKS_CONTENTS: Final = _contents._get_contents
_ADKS_SPAN: Final = tracing._use_native_generate_content_span


def install() -> None:
    """Make ADK build requests incrementally, and skip unused descriptions of contents; may be called again."""
    _contents._get_contents = Histories().contents
    tracing._use_native_generate_content_span = _span  # type: ignore[assignment]  # any context manager will do


class Histories:
    """ADK's results for the histories of each agent in each branch."""

    def __init__(self) -> None:
        self._processed: dict[tuple[Any, ...], _Processed] = {}

    def contents(
        self, current_branch: str | None, events: list[Event], agent_name: str = "", **options: Any
    ) -> list[types.Content]:
        """Return the result of ADK's function of the same name."""
        if len(events) <= SHORT or options.get("isolation_scope") is not None:
            # A task's request begins with the delegating call, which may be anywhere in the history.
            return _ADKS_CONTENTS(current_branch, events, agent_name, **options)
        processed = self._of((current_branch, agent_name, *sorted(_hashable(options))), events)
        rest = events[len(processed.events) :]
        end = processed.reach(rest)
        made = None if end is None else _made(current_branch, rest[:end], agent_name, **options)
        if end is None or made is None:
            return _ADKS_CONTENTS(current_branch, events, agent_name, **options)
        processed.add(rest[:end], made)
        newest = _ADKS_CONTENTS(current_branch, rest[end:], agent_name, **options)
        if not newest:  # then the agent's last visible event is among the processed ones
            return _ADKS_CONTENTS(current_branch, events, agent_name, **options)
        return processed.contents() + newest

    def _of(self, key: tuple[Any, ...], events: Sequence[Event]) -> "_Processed":
        processed = self._processed.pop(key, None)
        if processed is None or not processed.begins(events):
            processed = _Processed()
        self._processed[key] = processed
        if len(self._processed) > _KEPT:
            self._processed.pop(next(iter(self._processed)), None)
        return processed


def _hashable(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in options.items() if name != "user_content")  # of tasks only


def _made(branch: str | None, events: list[Event], agent_name: str, **options: Any) -> list[types.Content] | None:
    """ADK's contents for events with successors; None if unknown."""
    if not events:
        return []
    # ADK treats the last event differently.
    text = types.Part(text="(what follows)")
    after = Event(author="user", branch=branch, content=types.Content(role="user", parts=[text]))
    made = _ADKS_CONTENTS(branch, [*events, after], agent_name, **options)
    return made if made and made.pop() == after.content else None


class _Processed:
    """The first events of a history and their contents, which later events do not change.

    This holds while each tool result is processed together with its call, no call id is used twice, and no event
    changes earlier contents (`reach`).
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._made: list[types.Content] = []
        """ADK's contents; used nowhere else."""
        self._given: list[types.Content] = []
        """Copies of them, used by one request after the other until one is modified."""
        self._of_events = _Watch()
        self._of_given = _Watch()
        self._calls: set[str] = set()
        self._branch_ids: set[str] = set()

    def begins(self, events: Sequence[Event]) -> bool:
        """Whether `events` begins with the processed events, unmodified."""
        same = len(events) >= len(self.events) and all(map(is_, self.events, events))
        return same and self._of_events.unchanged()

    def reach(self, rest: Sequence[Event]) -> int | None:
        """Return how many of the following events can be processed; None if ADK must process all events."""
        called: set[str] = set()
        open_calls: set[str] = set()
        end = 0
        for index, event in enumerate(rest):
            if not open_calls and _is_visible_to_all(event):
                end = index
            calls, answers = _ids(event.get_function_calls()), _ids(event.get_function_responses())
            if calls is None or answers is None or (calls and answers) or _looks_back(event):
                return None
            if not answers <= called or calls & called or calls & self._calls or calls & self._branch_ids:
                return None
            if not self._calls.isdisjoint(_ids_in(event.branch)):
                return None
            called |= calls
            open_calls = (open_calls | calls) - answers
        return end

    def add(self, events: Sequence[Event], contents: Sequence[types.Content]) -> None:
        """Add processed events; `contents` are ADK's."""
        self.events += events
        for event in events:
            self._calls |= _ids(event.get_function_calls()) or set()
            self._branch_ids.update(_ids_in(event.branch))
            self._of_events.add(_read(event))
        self._made += contents
        self._give(contents)

    def contents(self) -> list[types.Content]:
        """Return the contents; those modified since the last request are restored."""
        if not self._of_given.unchanged():
            self._given, self._of_given = [], _Watch()
            self._give(self._made)
        return self._given.copy()

    def _give(self, contents: Sequence[types.Content]) -> None:
        for content in contents:
            copy = _copy(content)
            self._given.append(copy)
            self._of_given.add(_parts(copy))


class _Watch:
    """Dicts and lists, and whether they are unmodified: user code may change them in place."""

    def __init__(self) -> None:
        self._now: list[Any] = []
        self._then: list[Any] = []

    def add(self, read: Iterable[Any]) -> None:
        """Watch more dicts and lists."""
        for container in read:
            self._now.append(container)
            self._then.append(container.copy())

    def unchanged(self) -> bool:
        """Whether all are unmodified; values are compared by identity first, so it is fast."""
        return self._now == self._then


def _copy(content: types.Content) -> types.Content:
    """A copy whose parts, calls and results may be replaced without changing the original."""
    return content.model_copy(update={"parts": [_copy_of_part(part) for part in content.parts or ()]})


def _copy_of_part(part: types.Part) -> types.Part:
    call, response = part.function_call, part.function_response
    return part.model_copy(
        update={
            "function_call": call and call.model_copy(),
            "function_response": response and response.model_copy(),
        }
    )


def _ids(called: Sequence[types.FunctionCall] | Sequence[types.FunctionResponse]) -> set[str] | None:
    """The ids of calls or answers; None if one is missing or duplicate: then positions identify them."""
    ids = {call.id for call in called if call.id}
    return ids if len(ids) == len(called) else None


def _is_visible_to_all(event: Event) -> bool:
    """Whether every agent in its branch sees the event."""
    parts = (event.content.parts if event.content else None) or []
    return any(part.function_call or (part.text and not part.thought) for part in parts)


def _looks_back(event: Event) -> bool:
    """Whether an event changes the contents of earlier events: a rewind, a summary, a part of spoken text."""
    actions = event.actions
    return bool(
        actions.rewind_before_invocation_id
        or actions.compaction
        or (not event.content and (event.input_transcription or event.output_transcription))
    )


def _ids_in(branch: str | None) -> Iterator[str]:
    """The ids in a branch; ADK hides events in a tool call's branch from the calling agent."""
    if branch and "@" in branch:
        yield from (segment.rpartition("@")[2] for segment in branch.split("."))


def _read(event: Event) -> Iterator[Any]:
    """The dicts and lists of an event that ADK uses for contents."""
    yield event.__dict__
    if event.content is not None:
        yield from _parts(event.content)


def _parts(content: types.Content) -> Iterator[Any]:
    """The dicts and lists of a content that ADK's requests share with events."""
    yield content.__dict__
    yield content.parts if content.parts is not None else []
    for part in content.parts or ():
        yield part.__dict__
        if part.function_call is not None:
            yield part.function_call.__dict__
        if part.function_response is not None:
            yield part.function_response.__dict__


def _span(
    llm_request: Any, common_attributes: Any, telemetry_config: Any, *args: Any, **more: Any
) -> AbstractContextManager[Any]:
    """Enter ADK's span of a model call; without contents if neither spans nor logs include them.

    ADK would first describe the whole request, and then discard it.
    """
    if (
        telemetry_config.should_use_experimental_genai_semconv
        and telemetry_config.resolved_content_capturing_mode is ContentCapturingMode.NO_CONTENT
    ):
        llm_request = llm_request.model_copy(update={"contents": []})
    return _ADKS_SPAN(llm_request, common_attributes, telemetry_config, *args, **more)
