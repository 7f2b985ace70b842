"""Definitions that can never work: ADK or a client rejects them before any provider is called.

They fail immediately, with the tool, the parameter and the cure, without retries. Called by `classify`.
"""

import re
from typing import Final

from pydantic import PydanticUserError, ValidationError

from agentjobs.contract import ErrorClass, Verdict, cut
from agentjobs_runner.endings import Ending
from agentjobs_runner.frames import Frame, frames_of, own_frame
from agentjobs_runner.modules import first_problems
from agentjobs_runner.origins import Cause, Source
from agentjobs_runner.redaction import safe_str

# Raised by ADK while it builds a request from an agent, a tool or a schema; other errors may be temporary.
_REFUSALS: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NameError,
    NotImplementedError,
    PydanticUserError,
)
# Servers of tools or of memory are called in between, and may be unavailable.
_CLIENTS: Final = (
    "aiohttp.", "anyio.", "google.adk.tools.mcp_tool.", "google.api_core.", "google.auth.", "grpc.",
    "httpcore", "httpx", "mcp.", "requests.", "urllib3.",
)  # fmt: skip
_GRAPHS: Final = ("GraphValidationError", "WorkflowConfigurationError")
_TEXT_BYTES: Final = 300
_LOOP: Final = re.compile(r"cannot be called from a running event loop|This event loop is already running")
_REQUEST: Final = re.compile(r"_to_(?:mldev|vertex)$")


def invalid_definition(cause: Cause) -> Ending | None:
    """Return the ending if `cause` is about an invalid definition; None otherwise."""
    error = cause.error
    if isinstance(error, ImportError) and cause.is_explicit:
        return _not_there(error, cause)
    text = safe_str(error)
    if isinstance(error, RuntimeError) and cause.is_explicit and _LOOP.search(text):
        return _second_loop(error, cause)
    if cause.origin.source is Source.TOOL or not isinstance(error, _REFUSALS):
        return None
    if type(error).__name__ in _GRAPHS and type(error).__module__.startswith("google.adk."):
        return _invalid(f"ADK rejects the graph: {_first_line(error)}")
    if isinstance(error, ValueError) and re.match(r"Model \S+ not found", text):
        return _invalid(f"{type(error).__name__}: {text}")
    if isinstance(error, KeyError) and (missing := re.search(r"Context variable not found: `([^`]*)`", text)):
        name = missing[1]
        cure = f"set it in input.state, or write {{{name}?}} if it may be missing"
        return _invalid(f"an instruction reads state {name!r}, which is not set; {cure}")
    if cause.origin.source is Source.MODEL:
        return _unsendable(error)
    return _refused_by_adk(error)


def _invalid(message: str) -> Ending:
    return Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message)


def _second_loop(error: BaseException, cause: Cause) -> Ending:
    """Code that starts an event loop always does so."""
    frame = own_frame(error)
    part = f"tool {cause.origin.name}" if cause.origin.source is Source.TOOL else "the agent's code"
    cure = "make the function async, and await instead of running a loop"
    return _invalid(f"{part} starts an event loop{f' ({frame})' if frame else ''}, but one is already running; {cure}")


def _not_there(error: ImportError, cause: Cause) -> Ending:
    """An import that failed during the run will fail again: the image does not change."""
    frame = own_frame(error)
    where = f" ({frame})" if frame else ""
    part = f"tool {cause.origin.name}" if cause.origin.source is Source.TOOL else "the agent's code"
    missing = isinstance(error, ModuleNotFoundError) and error.name
    cure = f"; install {error.name} in runtime.image, or put it on PYTHONPATH" if missing else ""
    return Ending(
        Verdict.FAIL,
        ErrorClass.MODULE_NOT_FOUND,
        f"{part} has a failing import: {cut(safe_str(error), _TEXT_BYTES)}{where}{cure}",
    )


def _unsendable(error: BaseException) -> Ending | None:
    """A request that the provider's client cannot serialize."""
    passed = frames_of(error)
    if isinstance(error, NotImplementedError) or any(_REQUEST.search(frame.function) for frame in passed):
        return _invalid(f"the model's client cannot serialize the agent's request: {_first_line(error)}")
    return None


def _refused_by_adk(error: BaseException) -> Ending | None:
    passed = frames_of(error)
    depth = next((index for index, frame in enumerate(passed) if _is_preparation(frame)), None)
    if depth is None or any(frame.is_own or f"{frame.module}.".startswith(_CLIENTS) for frame in passed[depth:]):
        # User code that ADK calls for an instruction or a toolset may succeed the next time.
        return None
    below = passed[depth:]
    tool = next((name for frame in reversed(below) if (name := _tool(frame))), "")
    parameter = next((name for frame in below if (name := _parameter(frame))), "")
    what = ", ".join(
        part for part in (f"tool {tool}" if tool else "", f"parameter {parameter}" if parameter else "") if part
    )
    return _invalid(f"{what or 'the agent'} cannot be declared to the model: {_first_line(error)}{_cure(error, tool)}")


def _is_preparation(frame: Frame) -> bool:
    return frame.function == "_preprocess_async" and frame.module.startswith("google.adk.flows.")


def _tool(frame: Frame) -> str:
    from google.adk.tools.base_tool import BaseTool  # already loaded when an agent runs

    tool = frame.local("self")
    if isinstance(tool, BaseTool):
        return str(tool.name)
    function = frame.local("func") if frame.module.startswith("google.adk.tools.") else None
    return str(getattr(function, "__name__", ""))


def _parameter(frame: Frame) -> str:
    """The parameter that was being declared: pydantic makes a field of each."""
    is_field = frame.module.startswith("pydantic.") and frame.function == "_common_field_schema"
    return str(frame.local("name") or "") if is_field else ""


def _first_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return f"{error.title}: {first_problems(error)}"
    # The first sentence: pydantic adds advice for the type's author.
    text = re.split(r"\n|(?<=[.>])\s+(?=Set )", safe_str(error).strip())[0]
    return f"{type(error).__name__}: {cut(text or 'no reason given', _TEXT_BYTES)}"


def _cure(error: BaseException, tool: str) -> str:
    text = safe_str(error).casefold()
    if "not supported for model" in text or "only supported" in text:
        return f"; {tool or 'it'} only works with gemini-… models: change agent.model, or remove the tool"
    if "schema" in text or "parameter" in text or "annotation" in text or isinstance(error, NameError):
        return "; use JSON types: str, int, float, bool, list, dict, or a pydantic model"
    return ""
