"""Determines the ending of a start from a process of Claude Code: `judge`. Pure.

Neither the exit code nor the result is sufficient, so both must be successful, and the job's requirements must be met.
Every case has a recording of the real CLI in tests/unit/runner/claude_code; add one with each new row.
"""

import errno
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from agentjobs.contract import ErrorClass, Verdict, cut
from agentjobs_runner import provider_errors
from agentjobs_runner.claude_code.command import ClaudeCodeSettings, is_same_model
from agentjobs_runner.claude_code.stream import Began, Concluded, Facts
from agentjobs_runner.endings import Ending, interrupted
from agentjobs_runner.output import Output
from agentjobs_runner.provider_errors import Report
from agentjobs_runner.results import is_blank

_SHOWN_BYTES: Final = 600
_SHOWN_TOOLS: Final = 8
_RAISE_TURNS: Final = "raise budget.maxTurns to let the job continue"
_REPORTED: Final = "Claude Code reported"

# A new session helps: the CLI does not find, or rejects, the given one.
_NO_SESSION: Final = ("No conversation found with session ID", "is already in use", "No deferred tool marker found")
_FULL: Final = ("ENOSPC", "No space left on device", "EDQUOT")
# Startup failures that may be temporary.
_PASSING: Final = frozenset({"worktree_unverified", "org_config_required_unavailable"})
_TOO_LONG: Final = frozenset({"prompt_too_long", "blocking_limit", "image_error", "rapid_refill_breaker"})
_WHOLE: Final = frozenset({"end_turn", "stop_sequence", ""})
_ROOT: Final = "root/sudo"
# For a full context the CLI first requests a summary. The failure of that is only in its message.
_NO_SUMMARY: Final = re.compile(r"compaction failed: API Error: (\d{3}) (.*)", re.DOTALL)
_OF_A_PROMPT: Final = (400, 413)
_OVER_BUDGET: Final = "Budget limit reached"
_NOT_ALLOWED: Final = (126, 127)


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process ended."""

    code: int | None
    """As in subprocess: negative for a signal. None if the process could not be waited for."""
    stderr: str = ""
    """The end of its standard error."""
    stopped: bool = False
    """Whether the runner stopped or killed it."""
    out_of_memory: bool = False
    """Whether the kernel killed a process of this container for lack of memory meanwhile."""

    @property
    def signal(self) -> int | None:
        """The signal that ended it. The CLI itself exits with 128 plus the signal's number."""
        if self.code is None:
            return None
        number = -self.code if self.code < 0 else self.code - 128
        return number if number in _SIGNALS else None


_SIGNALS: Final = frozenset(map(int, signal.Signals))


@dataclass(frozen=True, slots=True)
class Judged:
    """The start's ending; with `new_session`, the next start must not resume this session."""

    ending: Ending
    new_session: bool = False


def judge(
    facts: Facts, ended: Exit, settings: ClaudeCodeSettings, output: Output, usage: Mapping[str, int] | None = None
) -> Judged:
    """Return the ending of a start whose process has ended and whose output was read completely.

    Args:
        usage: for the result; by default the stream's.
    """
    last = facts.last
    if last is None:
        return _without_result(facts, ended)
    if last.subtype == "error_max_turns":
        message = f"Claude Code used up the remaining turns of budget.maxTurns; {_RAISE_TURNS}"
        return _fail(ErrorClass.MAX_TURNS_EXCEEDED, message)
    if last.subtype == "error_max_budget_usd" or _OVER_BUDGET in ended.stderr:
        message = (
            f"Claude Code used up the rest of budget.maxCostUSD: {_reason(last, ended)}; raise it to let it continue"
        )
        return _fail(ErrorClass.BUDGET_EXCEEDED, message)
    if last.subtype == "error_max_structured_output_retries":
        return _invalid(output, [_reason(last, ended)])
    if ended.stopped and ended.signal is not None:
        return Judged(interrupted("Claude Code was stopped"))
    if last.terminal.startswith("aborted_"):
        message = "Claude Code was interrupted, but not by the runner"
        return Judged(
            interrupted(message) if ended.stopped else _ending(Verdict.RETRY, ErrorClass.RUNNER_CRASHED, message)
        )
    if last.subtype != "success":
        return _not_run(last, ended)
    if last.is_error:
        return Judged(_api_error(facts, last))
    has_schema = settings.schema is not None or output.schema is not None
    return _unproven(facts, ended, settings, has_schema=has_schema) or _answer(facts, last, settings, output, usage)


def refused(began: Began, settings: ClaudeCodeSettings) -> Ending | None:
    """Return the ending of a start that cannot do the job's work, by the CLI's first event; None if it can.

    Stopping it then costs nothing: no model has been called.
    """
    missing = sorted(name for name in settings.servers if began.servers.get(name) != "connected")
    if missing:
        return _no_server(missing[0], began.servers.get(missing[0], ""), settings)
    if not is_same_model(settings.model, began.model):
        return _other_model(settings.model, began.model)
    return None


def not_started(error: OSError, binary: str) -> Ending:
    """Return the ending of a start whose process could not be executed."""
    if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR):
        return _no_binary(f"{binary} cannot be executed ({error.strerror})")
    message = f"{binary} could not be started: {error.strerror}"
    return _ending(Verdict.RETRY, ErrorClass.IO, message)


def _without_result(facts: Facts, ended: Exit) -> Judged:
    detail = f": {_shown(ended.stderr)}" if ended.stderr.strip() else ""
    if ended.stopped:
        return Judged(interrupted("Claude Code was stopped"))
    if ended.out_of_memory and ended.signal == signal.SIGKILL:
        return _retry(ErrorClass.OOM_KILLED, "Claude Code was killed: the container ran out of memory")
    if ended.signal is not None:
        name = signal.Signals(ended.signal).name
        return _retry(ErrorClass.RUNNER_CRASHED, f"Claude Code was killed by {name}, but not by the runner{detail}")
    if any(words in ended.stderr for words in _NO_SESSION):
        return _retry(ErrorClass.COMMAND_FAILED, f"Claude Code rejected its session{detail}", new_session=True)
    if any(words in ended.stderr for words in _FULL):
        return _retry(ErrorClass.IO, f"Claude Code found no space on a disk{detail}")
    if ended.code in _NOT_ALLOWED or "claude native binary not installed" in ended.stderr:
        return Judged(_no_binary(f"Claude Code's CLI cannot be executed{detail}"))
    if ended.code == 1 and facts.began is None:
        return _not_started(detail or ", without a reason")
    code = "in an unknown way" if ended.code is None else f"with exit code {ended.code}"
    return _retry(ErrorClass.COMMAND_FAILED, f"Claude Code ended {code} and without a result{detail}")


def _not_run(last: Concluded, ended: Exit) -> Judged:
    """The ending for a result without any model call."""
    reason = _reason(last, ended)
    if any(words in reason for words in _NO_SESSION):
        return _retry(ErrorClass.COMMAND_FAILED, f"Claude Code rejected its session: {reason}", new_session=True)
    if last.startup and last.startup not in _PASSING:
        return _not_started(f": {reason}")
    if any(words in reason for words in _FULL):
        return _retry(ErrorClass.IO, f"Claude Code found no space on a disk: {reason}")
    return _retry(ErrorClass.COMMAND_FAILED, f"Claude Code failed ({last.subtype[:63] or 'no reason'}): {reason}")


def _api_error(facts: Facts, last: Concluded) -> Ending:
    """The ending for the last error of a model's provider, or of the connection to it."""
    text = last.text.removeprefix("API Error: ")
    message = f"{_REPORTED}: {_shown(text)}"
    code = provider_errors.refusal_of((last.error_code, last.error_type))
    if code is None and (ending := _known_error(facts, last, text, message)) is not None:
        return ending
    words = {last.error_type, _WORDS.get(facts.error, "")} - {""}
    report = Report(
        status=last.status if last.status is not None and last.status >= 400 else None,
        words=frozenset(word.casefold() for word in words),
        text=text,
        wait=None if code is None else code.retry_after,
        refused="" if code is None else code.error_class,
    )
    return provider_errors.judge(report, _REPORTED)


def _known_error(facts: Facts, last: Concluded, text: str, message: str) -> Ending | None:
    """The ending for an error that Claude Code itself names; None for any other."""
    if last.terminal in _TOO_LONG:
        if (why := _NO_SUMMARY.search(text)) is not None and int(why[1]) not in _OF_A_PROMPT:
            return _no_summary(int(why[1]), why[2])
        return _ending(Verdict.FAIL, ErrorClass.CONTEXT_TOO_LONG, f"{message}; give it less text at a time")
    if last.stop == "refusal":
        return _ending(Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, message)
    if last.error == "max_output_tokens":
        is_full = "context window" in text
        kind = ErrorClass.CONTEXT_TOO_LONG if is_full else ErrorClass.MODEL_OUTPUT_TRUNCATED
        return _ending(Verdict.FAIL, kind, message)
    if last.status is None and (facts.error == "authentication_failed" or text.startswith("Not logged in")):
        cure = "it has no credentials; set ANTHROPIC_API_KEY, in a cluster without a model proxy in runtime.env"
        return _ending(Verdict.FAIL, ErrorClass.MODEL_AUTH, f"{message}; {cure}")
    if last.status is None and "malformed response (HTTP 200)" in text:
        cure = "check the address of the API"
        return _ending(Verdict.FAIL, ErrorClass.MODEL_BAD_REQUEST, f"{message}; {cure}")
    if last.status is None and text.startswith("Request timed out"):
        return _ending(Verdict.RETRY, ErrorClass.MODEL_TIMEOUT, message)
    return None


def _no_summary(status: int, words: str) -> Ending:
    """The error of the provider, or of our proxy, for the request to shorten the context."""
    # A budget's error begins with the field; a provider's 402 is about payment.
    is_budget = status == 402 and words.startswith("budget.")
    refused = ErrorClass.BUDGET_EXCEEDED if is_budget else ""
    return provider_errors.judge(Report(status=status, text=words, refused=refused), _REPORTED)


# The CLI's message, if the provider's is not available.
_WORDS: Final = {
    "billing_error": "billing_error",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "authentication_failed": "authentication_error",
}


def _unproven(facts: Facts, ended: Exit, settings: ClaudeCodeSettings, *, has_schema: bool) -> Judged | None:
    """Return what is wrong with a success, None if nothing is."""
    last = facts.last
    assert last is not None
    if facts.deferred:
        message = (
            f"a hook of the image deferred the call of tool {facts.deferred} for approval, which a job cannot give"
        )
        return _fail(ErrorClass.CONFIG_INVALID, message)
    if ended.code != 0:
        return _crashed_after(ended)
    if facts.unfinished:
        message = "Claude Code's output ended within a turn; its earlier output is not its answer"
        return _retry(ErrorClass.RESULT_ERROR, message)
    if last.terminal not in ("completed", ""):
        return _retry(ErrorClass.RESULT_ERROR, f"Claude Code ended without an answer ({last.terminal})")
    if last.stop == "refusal":
        return _fail(ErrorClass.CONTENT_BLOCKED, "the model declined to answer")
    if last.stop in ("max_tokens", "model_context_window_exceeded"):
        message = f"the model's answer was cut ({last.stop})"
        return _fail(ErrorClass.MODEL_OUTPUT_TRUNCATED, message)
    if last.stop not in _WHOLE and not (last.stop == "tool_use" and has_schema and _answers_by_tool(facts, last)):
        return _retry(ErrorClass.RESULT_ERROR, f"the model did not complete its answer ({last.stop})")
    if facts.began is None:
        return _retry(ErrorClass.RESULT_ERROR, "Claude Code answered without having begun")
    if not facts.models:
        message = f"Claude Code called no model; it printed: {_shown(last.text)}"
        return _retry(ErrorClass.RESULT_ERROR, message)
    # Whether a fallback model may answer is decided by the provider or the installation.
    strange = sorted(model for model in facts.models if not is_same_model(settings.model, model))
    others = [model for model in strange if any(is_same_model(own, model) for own in last.models)]
    if facts.moved_to or others:
        return Judged(_other_model(settings.model, facts.moved_to or others[0]))
    found = refused(replace(facts.began, servers=facts.servers), settings)
    return None if found is None else Judged(found)


def _answers_by_tool(facts: Facts, last: Concluded) -> bool:
    """Whether a turn that ended with a tool call called the tool for structured answers.

    After any other call the CLI stopped at work, and its result is the text before that call, or an earlier turn's.
    `_answer` reports a structured answer that never came.
    """
    return last.has_structured or facts.structured is None


def _crashed_after(ended: Exit) -> Judged:
    """The process reported a result but did not end normally: its other effects are unknown."""
    detail = f": {_shown(ended.stderr)}" if ended.stderr.strip() else ""
    if ended.out_of_memory and ended.signal == signal.SIGKILL:
        return _retry(ErrorClass.OOM_KILLED, "Claude Code was killed: the container ran out of memory")
    if ended.signal is not None:
        name = signal.Signals(ended.signal).name
        return _retry(ErrorClass.RUNNER_CRASHED, f"Claude Code was killed by {name} before it had ended{detail}")
    return _retry(
        ErrorClass.COMMAND_FAILED, f"Claude Code reported success, but ended with exit code {ended.code}{detail}"
    )


def _answer(
    facts: Facts, last: Concluded, settings: ClaudeCodeSettings, output: Output, usage: Mapping[str, int] | None
) -> Judged:
    counted = dict(facts.usage if usage is None else usage)
    if settings.schema is not None or output.schema is not None:
        if facts.structured is None:
            return _invalid(output, ["it gave no structured answer, although one was requested"])
        found = output.judge(facts.structured, None, counted)
    elif is_blank(last.text):
        return _retry(ErrorClass.RESULT_ERROR, "Claude Code ended without an answer")
    else:
        found = output.judge(last.text, None, counted)
    if isinstance(found, list):
        return _invalid(output, found)
    if found.verdict is not Verdict.SUCCEED:
        return Judged(found)
    notes = [found.message]
    if stand_ins := sorted(model for model in facts.models if not is_same_model(settings.model, model)):
        notes.append(f"{stand_ins[0]} answered instead of {settings.model}")
    if facts.denied:
        notes.append(_denials(facts.denied))
    return Judged(replace(found, message="; ".join(notes)))


def _denials(denied: Mapping[str, int]) -> str:
    named = [f"{name} ×{count}" if count > 1 else name for name, count in sorted(denied.items())]
    more = ["…"] if len(named) > _SHOWN_TOOLS else []
    total = sum(denied.values())
    calls = "call of a tool was" if total == 1 else "calls of tools were"
    return f"{total} {calls} denied: {', '.join([*named[:_SHOWN_TOOLS], *more])}"


def _invalid(output: Output, problems: list[str]) -> Judged:
    """The CLI has already requested corrections, up to its limit; only a new attempt can help."""
    return Judged(replace(output, repairs=0).invalid(problems), new_session=True)


def _no_server(name: str, status: str, settings: ClaudeCodeSettings) -> Ending:
    state = f"is {status}" if status else "was left out"
    message = f"MCP server {name[:63]!r} of agent.claudeCode.mcpConfig {state}, but the job needs it"
    if status == "pending":
        message += ". It was not ready in time: MCP_TIMEOUT in runtime.env, in milliseconds, gives it longer"
    if status == "pending" or (name in settings.remote_servers and status):
        return _ending(Verdict.RETRY, ErrorClass.TOOL_ERROR, message)
    return _ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message)


def _other_model(requested: str, ran: str) -> Ending:
    message = f"Claude Code used model {ran[:100]!r}, but the job has {requested[:100]!r}"
    return _ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message)


def _no_binary(message: str) -> Ending:
    cure = "runtime.image must have Claude Code's CLI as `claude` in PATH"
    return _ending(Verdict.FAIL, ErrorClass.BINARY_NOT_FOUND, f"{message}; {cure}")


def _not_started(detail: str) -> Judged:
    # It rejects BypassPermissions as root. Where pods are processes, as in `agentjobs dev`, they may be root's.
    cure = (
        ". Set runtime.runAsUser to a user other than root, or IS_SANDBOX=1 in runtime.env" if _ROOT in detail else ""
    )
    return _fail(ErrorClass.CONFIG_INVALID, f"Claude Code did not start{detail}{cure}")


def _reason(last: Concluded, ended: Exit) -> str:
    return _shown("; ".join(last.errors) or last.text or ended.stderr or last.terminal or "no reason given")


def _shown(text: str) -> str:
    return cut(" ".join(text.split()), _SHOWN_BYTES)


def _ending(verdict: Verdict, kind: ErrorClass, message: str) -> Ending:
    return Ending(verdict, kind, message)


def _fail(kind: ErrorClass, message: str) -> Judged:
    return Judged(_ending(Verdict.FAIL, kind, message))


def _retry(kind: ErrorClass, message: str, *, new_session: bool = False) -> Judged:
    return Judged(_ending(Verdict.RETRY, kind, message), new_session)
