"""Claude Code's output, line by line, as values: `Reader`. Pure.

For any input, reading never raises and its memory is bounded. Unknown lines are ignored; a line that could have been an
incomplete result is remembered, because a cut answer must not pass for a complete one.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agentjobs_runner.claude_code.fields import as_count, as_list, as_much, as_name, as_number, as_object, as_status
from agentjobs_runner.redaction import plain, storable

MAX_LINE_BYTES: Final = 24 * 1024 * 1024
"""Length of one line; a longer one is ignored. The largest answer has 4 MiB, and a result contains it twice."""
MAX_TEXT_BYTES: Final = 256 * 1024
"""Kept part of one answer's or tool result's text."""
MAX_CALLS: Final = 200
"""Kept part of one answer."""

NO_STOP: Final = "none"
"""Stands for a stop reason that the CLI reports as null: the model's answer did not end."""

_SYNTHETIC: Final = "<synthetic>"
_ERROR_CHARS: Final = 4096
_MAX_NAMES: Final = 200
_MAX_IDS: Final = 20_000
# Kept part of one text in a tool's input.
_INPUT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the model, with the model's id of it."""

    id: str
    name: str
    input: dict[str, Any]
    """Texts are cut; for people."""


@dataclass(frozen=True, slots=True)
class Began:
    """The beginning of a turn: the first event of a process, repeated with each turn."""

    session: str
    model: str
    mode: str
    servers: Mapping[str, str]
    """MCP servers by name: `connected`, `failed` and others."""
    version: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's answer as far as known: the CLI sends it in parts, each with the previous ones."""

    id: str
    model: str
    text: str
    calls: tuple[Call, ...]
    usage: Mapping[str, int]
    """By `contract.USAGE`; the output is only complete in the result."""
    main: bool
    """Whether it belongs to the main agent, not to one that a tool started."""


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool call has ended. `name` is empty for an unknown call, as after a resume."""

    id: str
    name: str
    result: str
    is_error: bool
    main: bool
    ran: bool
    """False if it was denied or unknown: the tool itself did nothing."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """The CLI waits before it calls the model again: not progress."""

    attempt: int
    most: int
    delay_seconds: float
    status: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Noise:
    """Anything else."""

    kind: str
    """Its type, for logs."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """A result. The last one of a process counts; there may be several."""

    subtype: str
    is_error: bool
    terminal: str
    """Why it ended: `completed`, `api_error` and others; empty if not reported."""
    stop: str
    """The model's stop reason; empty if the CLI reports none, as old versions do."""
    text: str
    errors: tuple[str, ...]
    status: int | None
    """HTTP status of the API's error."""
    error_type: str
    """The type of the API's error, if it is an identifier."""
    error_code: str
    """`details.error_code` of the API's error, if any: the model proxy's error class."""
    error: str
    """The CLI's name of the API error."""
    startup: str
    """Why it could not start."""
    structured: dict[str, Any] | None
    has_structured: bool
    deferred: str
    """Name of the tool whose call waits for an approval; empty for none."""
    cost: float
    """In dollars, of the session until now."""
    turns: int
    usage: Mapping[str, int]
    models: frozenset[str]
    """The model requested by the CLI in this session. `Answered.model` is the one that answered."""


Seen = Began | Answered | ToolEnded | Retrying | Noise | Concluded


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a process until now that determine its ending."""

    began: Began | None = None
    """The newest one."""
    servers: Mapping[str, str] = field(default_factory=dict)
    """The newest status of each MCP server."""
    models: frozenset[str] = frozenset()
    """The models that answered the main agent."""
    moved_to: str = ""
    """The CLI's own fallback model; empty if it did not use one."""
    last: Concluded | None = None
    structured: dict[str, Any] | None = None
    """The newest of any result."""
    deferred: str = ""
    """Of any result."""
    denied: Mapping[str, int] = field(default_factory=dict)
    """How often each tool was denied."""
    error: str = ""
    """The CLI's name of the newest model error."""
    unfinished: bool = False
    """Whether output followed the last result: a turn began, or a line was incomplete."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Usage of this process, by `contract.USAGE`."""


class Reader:
    """Reads the standard output of one process."""

    def __init__(self) -> None:
        self._began: Began | None = None
        self._servers: dict[str, str] = {}
        self._models: set[str] = set()
        self._moved_to = ""
        self._last: Concluded | None = None
        self._structured: dict[str, Any] | None = None
        self._deferred = ""
        self._denied: Counter[str] = Counter()
        self._denied_ids: dict[str, None] = {}
        self._error = ""
        self._unfinished = False
        self._answer: Answered | None = None
        self._answers: dict[str, None] = {}
        self._calls: dict[str, str] = {}
        self._usage: Counter[str] = Counter()

    @property
    def facts(self) -> Facts:
        """The facts until now."""
        return Facts(
            began=self._began,
            servers=dict(self._servers),
            models=frozenset(self._models),
            moved_to=self._moved_to,
            last=self._last,
            structured=self._structured,
            deferred=self._deferred,
            denied=dict(self._denied),
            error=self._error,
            unfinished=self._unfinished,
            usage=dict(self._usage),
        )

    def feed(self, line: bytes) -> list[Seen]:
        """Return the event of a line, with or without its line end. Never raises."""
        if not line.strip():
            return []
        event = _event(line)
        if event is None:
            # A line that is not an event was printed by something else; one that began as an event may have been the
            # last result.
            self._unfinished = self._unfinished or line.lstrip()[:1] == b"{" or len(line) > MAX_LINE_BYTES
            return [Noise("")]
        kind = as_name(event.get("type"))
        match kind:
            case "system":
                return [self._system(event)]
            case "assistant":
                return [self._assistant(event)]
            case "user":
                return self._user(event)
            case "result":
                return [self._result(event)]
            case _:
                return [Noise(kind)]

    def _system(self, event: dict[str, Any]) -> Seen:
        subtype = as_name(event.get("subtype"))
        match subtype:
            case "init":
                self._unfinished = True
                self._began = _began(event)
                _remember(self._servers, self._began.servers)
                return self._began
            case "api_retry":
                return Retrying(
                    attempt=as_count(event.get("attempt")),
                    most=as_count(event.get("max_retries")),
                    delay_seconds=as_number(event.get("retry_delay_ms")) / 1000,
                    status=as_status(event.get("error_status")),
                    error=as_name(event.get("error")),
                )
            case "permission_denied":
                self._deny(event)
            case "model_fallback" | "model_refusal_fallback":
                self._moved_to = as_name(event.get("fallback_model")) or as_name(event.get("model")) or "another model"
        return Noise(f"system/{subtype}")

    def _assistant(self, event: dict[str, Any]) -> Seen:
        main, message = _is_main(event), as_object(event.get("message"))
        self._unfinished = self._unfinished or main
        self._error = as_name(event.get("error")) or self._error
        model = as_name(message.get("model"))
        if model == _SYNTHETIC or event.get("is_api_error_message") is True:
            return Noise("assistant/error")
        part = _answer(message, main=main)
        before, self._answer = self._answer, part
        if before is not None and before.id == part.id:
            self._answer = _joined(before, part)
        if main and model and len(self._models) < _MAX_NAMES:
            self._models.add(model)
        for call in part.calls:
            if call.id not in self._calls:
                self._usage["toolCalls"] += 1
                _note(self._calls, call.id, call.name)
        if part.id not in self._answers:
            _note(self._answers, part.id, None)
            self._usage["llmCalls"] += 1
            self._usage["inputTokens"] += part.usage.get("inputTokens", 0)
        return self._answer

    def _user(self, event: dict[str, Any]) -> list[Seen]:
        main = _is_main(event)
        self._unfinished = self._unfinished or main
        content = as_object(event.get("message")).get("content")
        blocks = [block for block in as_list(content) if isinstance(block, dict)]
        unran = {
            as_name(meta.get("id"))
            for meta in as_list(event.get("tool_result_meta"))
            if isinstance(meta, dict) and meta.get("non_execution_kind")
        }
        ended: list[Seen] = []
        for block in blocks[:_MAX_NAMES]:
            if block.get("type") != "tool_result":
                continue
            id_, text = as_name(block.get("tool_use_id")), _shown(block.get("content"))
            name, ran = self._calls.get(id_, ""), id_ not in unran
            ended.append(ToolEnded(id_, name, text, block.get("is_error") is True, main, ran))
        return ended or [Noise("user")]

    def _result(self, event: dict[str, Any]) -> Concluded:
        found = _concluded(event)
        self._last, self._unfinished = found, False
        if found.has_structured:
            self._structured = found.structured
        self._deferred = found.deferred or self._deferred
        for denial in as_list(event.get("permission_denials")):
            if isinstance(denial, dict):
                self._deny(denial)
        self._usage["outputTokens"] += found.usage.get("outputTokens", 0)
        return found

    def _deny(self, denial: dict[str, Any]) -> None:
        id_, name = as_name(denial.get("tool_use_id")), as_name(denial.get("tool_name")) or "a tool"
        if id_ in self._denied_ids or (name not in self._denied and len(self._denied) >= _MAX_NAMES):
            return
        _note(self._denied_ids, id_, None)
        self._denied[name] += 1


def _event(line: bytes) -> dict[str, Any] | None:
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _began(event: dict[str, Any]) -> Began:
    servers = [server for server in as_list(event.get("mcp_servers")) if isinstance(server, dict)]
    return Began(
        session=as_name(event.get("session_id")),
        model=as_name(event.get("model")),
        mode=as_name(event.get("permissionMode")),
        servers={as_name(server.get("name")): as_name(server.get("status")) for server in servers[:_MAX_NAMES]},
        version=as_name(event.get("claude_code_version")),
    )


def _answer(message: dict[str, Any], *, main: bool) -> Answered:
    blocks = [block for block in as_list(message.get("content")) if isinstance(block, dict)]
    texts = [str(block["text"]) for block in blocks if block.get("type") == "text" and "text" in block]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    return Answered(
        id=as_name(message.get("id")),
        model=as_name(message.get("model")),
        text=as_much("".join(texts), MAX_TEXT_BYTES),
        calls=tuple(map(_call, calls[:MAX_CALLS])),
        usage=_usage(message.get("usage")),
        main=main,
    )


def _call(block: dict[str, Any]) -> Call:
    given = plain(as_object(block.get("input")), text_limit=_INPUT_BYTES)
    return Call(as_name(block.get("id")), as_name(block.get("name")), given if isinstance(given, dict) else {})


def _joined(before: Answered, part: Answered) -> Answered:
    """Combine two parts of one answer. A part may be repeated."""
    known = {call.id for call in before.calls}
    calls = (*before.calls, *(call for call in part.calls if call.id not in known))
    return Answered(
        id=part.id,
        model=part.model,
        text=as_much(before.text + part.text, MAX_TEXT_BYTES),
        calls=calls[:MAX_CALLS],
        usage=part.usage or before.usage,
        main=part.main,
    )


def _concluded(event: dict[str, Any]) -> Concluded:
    structured = event.get("structured_output")
    deferred = event.get("deferred_tool_use")
    terminal = as_name(event.get("terminal_reason"))
    # Versions that report no terminal_reason report null for complete answers too.
    is_broken_off = bool(terminal) and event.get("stop_reason", "") is None
    stop = NO_STOP if is_broken_off else as_name(event.get("stop_reason"))
    is_deferred = deferred is not None or "tool_deferred" in (stop, terminal)
    return Concluded(
        subtype=as_name(event.get("subtype")),
        # Anything except plain false is an error.
        is_error=event.get("is_error") is not False,
        terminal=terminal,
        stop=stop,
        text=storable(event["result"]) if isinstance(event.get("result"), str) else "",
        errors=tuple(str(error)[:_ERROR_CHARS] for error in as_list(event.get("errors"))[:_MAX_NAMES]),
        status=as_status(event.get("api_error_status")),
        error_type=as_name(event.get("api_error_type")),
        error_code=as_name(event.get("api_error_code")),
        error=as_name(event.get("api_error")),
        startup=as_name(event.get("startup_failure_reason")),
        structured=structured if isinstance(structured, dict) else None,
        has_structured=isinstance(structured, dict),
        deferred=(as_name(as_object(deferred).get("name")) or "a tool") if is_deferred else "",
        cost=as_number(event.get("total_cost_usd")),
        turns=as_count(event.get("num_turns")),
        usage=_usage(event.get("usage")),
        models=frozenset(map(as_name, list(as_object(event.get("modelUsage")))[:_MAX_NAMES])),
    )


def _usage(value: object) -> dict[str, int]:
    usage = as_object(value)
    if not usage:
        return {}
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return {
        "inputTokens": sum(as_count(usage.get(name)) for name in read),
        "outputTokens": as_count(usage.get("output_tokens")),
    }


def _shown(content: object) -> str:
    """The text of a tool's result, which is a text or a list of blocks."""
    if isinstance(content, str):
        return as_much(content, MAX_TEXT_BYTES)
    return as_much("\n".join(_block_texts(content)), MAX_TEXT_BYTES)


def _block_texts(content: object) -> Iterator[str]:
    for block in as_list(content)[:_MAX_NAMES]:
        if isinstance(block, dict):
            text = block.get("text")
            yield text if isinstance(text, str) else f"<{as_name(block.get('type')) or 'content'}>"


def _is_main(event: dict[str, Any]) -> bool:
    return event.get("parent_tool_use_id") is None


def _remember(into: dict[str, str], names: Mapping[str, str]) -> None:
    for name, value in names.items():
        if name in into or len(into) < _MAX_NAMES:
            into[name] = value


def _note(into: dict[str, Any], key: str, value: str | None) -> None:
    """Add an entry; the oldest is dropped if there are too many."""
    into[key] = value
    if len(into) > _MAX_IDS:
        del into[next(iter(into))]
