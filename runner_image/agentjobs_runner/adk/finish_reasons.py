"""How a model's turn ended: the table of finish reasons and of the error codes used instead.

Used by `answer` for events, and by `step_plugin` for every answer of a model. Pure.
"""

import json
from typing import Any, Final

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded, malformed_call
from agentjobs_runner.provider_errors import Report, judge

# ADK's tools for structured answers; to the user they are the answer.
_ANSWERS: Final = frozenset({"set_model_response", "structured_output"})
_WHOLE: Final = frozenset({"", "STOP"})
_CUT: Final = "MAX_TOKENS"
_RAISE: Final = (
    "raise agent.inline.maxOutputTokens (in code: generate_content_config.max_output_tokens), or request less at a time"
)
# Why a provider blocked an answer.
_BLOCKED: Final = {
    "SAFETY": "by the provider's safety rules",
    "RECITATION": "because it recites training data",
    "BLOCKLIST": "by a blocklist",
    "PROHIBITED_CONTENT": "as prohibited content",
    "SPII": "because it contains sensitive personal data",
    "IMAGE_SAFETY": "by the provider's safety rules for images",
    "IMAGE_PROHIBITED_CONTENT": "as a prohibited image",
    "IMAGE_RECITATION": "because its image recites training data",
    "MODEL_ARMOR": "by Model Armor",
    "JAILBREAK": "as a jailbreak",
}
_UNFINISHED: Final = {
    "MALFORMED_FUNCTION_CALL": "the model wrote an invalid tool call",
    "UNEXPECTED_TOOL_CALL": "the model called a tool although it has none",
    "TOO_MANY_TOOL_CALLS": "the model called too many tools in a row",
    "LANGUAGE": "the model stopped because of an unsupported language",
    "NO_IMAGE": "the model did not create the requested image",
    "MODEL_RETURNED_NO_CONTENT": "the model gave an empty answer",
}
# Codes of ADK and of providers for a blocked prompt, like Gemini's; OTHER is a finish reason as well.
_PROMPT: Final = frozenset({*_BLOCKED, "OTHER", "BLOCKED_REASON_UNSPECIFIED"})


def reason_word(code: object) -> str:
    """A finish reason or error code as one upper-case word; ADK gives strings and members of enums."""
    return str(getattr(code, "value", code) or "").rpartition(".")[2].upper()


def is_whole(finish_reason: object) -> bool:
    """Whether a model's answer is complete; without a finish reason it counts as complete."""
    return reason_word(finish_reason) in _WHOLE


def is_blocked(finish_reason: object) -> bool:
    """Whether a model's answer was blocked by its provider's rules, even if a part was sent."""
    return reason_word(finish_reason) in _BLOCKED


def is_cut(finish_reason: object) -> bool:
    """Whether a model's answer was cut at its token limit."""
    return reason_word(finish_reason) == _CUT


def unfinished_ending(code: object, message: str) -> Ending:
    """Return the ending for an answer with an error code, or with a finish reason other than a normal end."""
    name = reason_word(code)
    detail = f": {message}" if message and reason_word(message) != name else ""
    if name.isdigit() and 400 <= int(name) <= 599:
        return judge(
            Report(status=int(name), text=message or "no reason given"), f"the model's answer ended with {name}"
        )
    if name == _CUT:
        return truncated("the model's answer", message)
    if name in _BLOCKED:
        return Ending(
            Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, f"the answer was blocked {_BLOCKED[name]}{detail} ({name})"
        )
    what = _UNFINISHED.get(name, "the model's answer is not finished")
    return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, f"{what}{detail} ({name})")


def blocked_prompt(code: object, message: str) -> Ending | None:
    """Return the ending for a prompt that was blocked before the model answered; None if `code` is not about that."""
    name = reason_word(code)
    if name not in _PROMPT:
        return None
    why = _BLOCKED.get(name, "by the provider's rules")
    detail = f": {message}" if message else ""
    return Ending(Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, f"the prompt was blocked {why}{detail} ({name})")


def unfinished(answer: Any) -> Ending | None:
    """Return the ending if the run's last model answer is incomplete; None if it is complete.

    Args:
        answer: ADK's event or response.
    """
    code, reason, message = answer.error_code, answer.finish_reason, answer.error_message or ""
    if code and reason is None and (blocked := blocked_prompt(code, message)) is not None:
        return blocked
    if code:
        return unfinished_ending(code, message)
    return None if is_whole(reason) else unfinished_ending(reason, message)


def truncated(what: str, detail: str = "", *, after: int | None = None, limit: int | None = None) -> Ending:
    """The answer reached its token limit: the same request would be cut again.

    Args:
        what: what was cut, e.g. `the model's answer`.
        detail: the provider's own words.
        after: tokens that the model had written, including thoughts.
        limit: the agent's limit; None if ADK or the provider sets it.
    """
    named = f"limit of {limit} output tokens" if limit else "limit of output tokens"
    written = f", {after} written" if after and not limit else ""
    appended = f": {detail}" if detail and "Maximum tokens reached" not in detail and "no content" not in detail else ""
    message = f"{what} was cut at its {named} (MAX_TOKENS{written}){appended}; {_RAISE}"
    return Ending(Verdict.FAIL, ErrorClass.MODEL_OUTPUT_TRUNCATED, message)


def truncated_call(tool: str, *, after: int | None = None, limit: int | None = None) -> StartEnded:
    """A tool call reached the token limit; the tool must not run with incomplete arguments."""
    what = "the model's answer" if tool in _ANSWERS else f"the model's call of tool {tool}"
    return StartEnded(truncated(what, after=after, limit=limit))


def arguments(tool: str, written: Any) -> str:
    """Return the arguments of a call as a JSON object, `{}` for none.

    Args:
        tool: the tool's name.
        written: the model's output; some hosts send an object instead of a text.

    Raises:
        StartEnded: ResultError for anything else, which ADK would treat as no arguments.
    """
    try:
        value = json.loads(written) if isinstance(written, str) and written.strip() else written or None
    except (ValueError, RecursionError):
        raise malformed_call(tool, str(written)) from None
    if value is not None and not isinstance(value, dict):
        raise malformed_call(tool, str(written))
    return written if isinstance(written, str) and value is not None else json.dumps(value or {})
