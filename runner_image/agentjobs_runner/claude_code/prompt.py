"""The prompt of Claude Code: the job's message and, after an interrupted start, the uncertain calls. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentjobs.contract import cut
from agentjobs_runner.endings import config_invalid

DEFAULT_APPEND: Final = (
    "You are running unattended, as a background job. No one is watching, and no one can answer questions: if "
    "something is unclear, decide based on what you can find out, and state your assumptions in your answer. This is "
    "your only turn: when you end it, the job is over, so finish the work within it. Do not wait for builds, reviews, "
    "notifications or other people, do not poll for them, and leave nothing running in the background. If the work "
    "ends with something that others continue, such as a draft pull request, end there and describe its state."
)
"""The prompt of a batch job with one turn: the default of `appendSystemPrompt`, which replaces it completely."""

_MESSAGE: Final = "The message of this job:"
_SHOWN: Final = 20
_INPUT_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A tool call that an earlier start began, without a recorded end."""

    id: str
    """Its id for the model."""
    name: str
    input: str
    """Shortened."""


def first(message: str) -> str:
    """Return the prompt of a new session.

    A message that begins with a slash would be a command of the CLI, which then calls no model.

    Raises:
        StartEnded: ConfigInvalid for an empty message, which the CLI rejects.
    """
    if not message.strip():
        raise config_invalid("input.message is empty; set the task for Claude Code")
    return f"{_MESSAGE}\n{message}" if message.lstrip().startswith("/") else message


def after_lost_session(message: str, tools: Sequence[str]) -> str:
    """Return the prompt of a new session if an earlier one is lost or must not be continued.

    Args:
        tools: the tool's name of each call that earlier starts made.
    """
    if not tools:
        return first(message)
    counted = ", ".join(f"{name} ×{count}" for name, count in Counter(tools).most_common(_SHOWN))
    return (
        f"{first(message)}\n\nAn earlier start of this job has already worked on it, but its conversation is lost. It "
        f"called these tools: {counted}. Their effects may already exist: check the current state before you repeat "
        "any of them."
    )


def resumed(uncertain: Sequence[Uncertain]) -> str:
    """Return the prompt of a session that continues after its process ended.

    Args:
        uncertain: calls with an unknown outcome, in order.
    """
    begun = (
        "Your process was stopped and has been started again, possibly on another machine. Your files and this "
        "conversation are as they were when it stopped, or a moment earlier. Continue the work from there; do not "
        "start over. No one has read any of this conversation: if the work is done, or you have already given your "
        "answer, give the complete answer again."
    )
    if not uncertain:
        return begun
    calls = [f"- {call.name} ({call.id}): {_short(call.input)}" for call in uncertain[:_SHOWN]]
    if len(uncertain) > _SHOWN:
        calls.append(f"- and {len(uncertain) - _SHOWN} more")
    return (
        f"{begun}\n\nIt is unknown whether these tool calls took effect:\n"
        + "\n".join(calls)
        + "\nFind out before you rely on any of them, and before you repeat any of them."
    )


def _short(text: str) -> str:
    return cut(" ".join(text.split()), _INPUT_BYTES)
