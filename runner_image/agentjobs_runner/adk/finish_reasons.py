"""How a model's turn ended: the table of finish reasons and of the error codes that stand in their place.

Asked by `answer` for what ADK only mentions in events, and by `step_plugin` for every answer of a model. Pure.
"""

import json
from typing import Any, Final

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded, malformed_call
from agentjobs_runner.provider_errors import Report, judge

# Tools by which ADK has models give structured answers; a person knows them as the answer.
_ANSWERS: Final = frozenset({"set_model_response", "structured_output"})
_WHOLE: Final = frozenset({"", "STOP"})
_CUT: Final = "MAX_TOKENS"
_RAISE: Final = (
    "raise agent.inline.maxOutputTokens (in code: generate_content_config.max_output_tokens), or ask for less at once"
)
# What stopped a model that its provider's rules stopped.
_BLOCKED: Final = {
    "SAFETY": "by the provider's safety rules",
    "RECITATION": "because it recites what it was trained on",
    "BLOCKLIST": "by a list of blocked words",
    "PROHIBITED_CONTENT": "as prohibited content",
    "SPII": "because it holds sensitive personal data",
    "IMAGE_SAFETY": "by the provider's safety rules for images",
    "IMAGE_PROHIBITED_CONTENT": "as a prohibited image",
    "IMAGE_RECITATION": "because its image recites what it was trained on",
    "MODEL_ARMOR": "by Model Armor",
    "JAILBREAK": "as a jailbreak",
}
_UNFINISHED: Final = {
    "MALFORMED_FUNCTION_CALL": "the model wrote a tool call that cannot be read",
    "UNEXPECTED_TOOL_CALL": "the model called a tool although it has none",
    "TOO_MANY_TOOL_CALLS": "the model called too many tools in a row",
    "LANGUAGE": "the model stopped at a language that it does not support",
    "NO_IMAGE": "the model was asked for an image and made none",
    "MODEL_RETURNED_NO_CONTENT": "the model gave an empty answer",
}
# Codes of ADK and of providers that stand where Gemini would block a prompt; OTHER is a finish reason as well.
_PROMPT: Final = frozenset({*_BLOCKED, "OTHER", "BLOCKED_REASON_UNSPECIFIED"})


def reason_word(code: object) -> str:
    """A finish reason or error code as one upper-case word; ADK gives strings and members of enums."""
    return str(getattr(code, "value", code) or "").rpartition(".")[2].upper()


def is_whole(finish_reason: object) -> bool:
    """Whether a model's answer is complete; providers that give no reason are believed."""
    return reason_word(finish_reason) in _WHOLE


def is_blocked(finish_reason: object) -> bool:
    """Whether a model's answer was stopped by its provider's rules, though a part of it may have come."""
    return reason_word(finish_reason) in _BLOCKED


def is_cut(finish_reason: object) -> bool:
    """Whether a model's answer was cut at its limit of tokens."""
    return reason_word(finish_reason) == _CUT


def unfinished_ending(code: object, message: str) -> Ending:
    """Say how a start ends whose model answered with an error code, or finished for another reason than its end."""
    name = reason_word(code)
    said = f": {message}" if message and reason_word(message) != name else ""
    if name.isdigit() and 400 <= int(name) <= 599:
        return judge(
            Report(status=int(name), text=message or "no reason given"), f"the model's answer ended with {name}"
        )
    if name == _CUT:
        return truncated("the model's answer", message)
    if name in _BLOCKED:
        return Ending(
            Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, f"the answer was blocked {_BLOCKED[name]}{said} ({name})"
        )
    what = _UNFINISHED.get(name, "the model's answer is not finished")
    return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, f"{what}{said} ({name})")


def blocked_prompt(code: object, message: str) -> Ending | None:
    """Say how a start ends whose prompt was blocked before the model answered; None when `code` does not say that."""
    name = reason_word(code)
    if name not in _PROMPT:
        return None
    why = _BLOCKED.get(name, "by the provider's rules")
    said = f": {message}" if message else ""
    return Ending(Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, f"the prompt was blocked {why}{said} ({name})")


def unfinished(answer: Any) -> Ending | None:
    """Say how a start ends whose last answer of a model is `answer`; None when that is whole.

    Args:
        answer: an event or a response of ADK's.
    """
    code, reason, message = answer.error_code, answer.finish_reason, answer.error_message or ""
    if code and reason is None and (blocked := blocked_prompt(code, message)) is not None:
        return blocked
    if code:
        return unfinished_ending(code, message)
    return None if is_whole(reason) else unfinished_ending(reason, message)


def truncated(what: str, detail: str = "", *, after: int | None = None, limit: int | None = None) -> Ending:
    """The model's output reached its limit of tokens: the same request would be cut again.

    Args:
        what: what was cut, e.g. `the model's answer`.
        detail: the provider's own words.
        after: how many tokens the model had written, thoughts included.
        limit: the limit that the agent sets; None when it leaves that to ADK or the provider.
    """
    named = f"limit of {limit} output tokens" if limit else "limit of output tokens"
    told = f", {after} written" if after and not limit else ""
    said = f": {detail}" if detail and "Maximum tokens reached" not in detail and "no content" not in detail else ""
    message = f"{what} was cut at its {named} (MAX_TOKENS{told}){said}; {_RAISE}"
    return Ending(Verdict.FAIL, ErrorClass.MODEL_OUTPUT_TRUNCATED, message)


def truncated_call(tool: str, *, after: int | None = None, limit: int | None = None) -> StartEnded:
    """The call of a tool reached the limit of tokens; the tool must not run on what has come of its arguments."""
    what = "the model's answer" if tool in _ANSWERS else f"the model's call of tool {tool}"
    return StartEnded(truncated(what, after=after, limit=limit))


def arguments(tool: str, written: Any) -> str:
    """Return the arguments of a call as the JSON object that they must be, `{}` for none.

    Args:
        tool: the tool's name.
        written: what the model wrote; some hosts send an object instead of its text.

    Raises:
        StartEnded: ResultError for anything else, which ADK would take for no arguments at all.
    """
    try:
        value = json.loads(written) if isinstance(written, str) and written.strip() else written or None
    except (ValueError, RecursionError):
        raise malformed_call(tool, str(written)) from None
    if value is not None and not isinstance(value, dict):
        raise malformed_call(tool, str(written))
    return written if isinstance(written, str) and value is not None else json.dumps(value or {})
