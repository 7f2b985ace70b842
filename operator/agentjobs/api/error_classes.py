"""What each class of errors means, and what becomes of the job without a rule: the reference's table of them.

The classes themselves are the contract's (`contract.ErrorClass`); who raises one also says the verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentjobs.contract import ErrorClass


@dataclass(frozen=True, slots=True)
class Described:
    """A class in words. `verdict` is what happens by default; `charged` whether that costs an attempt."""

    meaning: str
    verdict: str
    charged: str


_RETRY: Final = ("Retry", "yes")
_FAIL: Final = ("Fail", "")
_WAIT: Final = ("Snooze", "no")
_INFRA: Final = ("Snooze 5 s", "no; counts against `retry.maxInfraRestarts` if the start recorded no new step")
_TIMED_OUT: Final = ("Snooze 30 s if the start recorded new steps, else Retry", "when retried")

CLASSES: Final[Mapping[ErrorClass, Described]] = {
    ErrorClass.RESULT_ERROR: Described(
        "The agent ended without an answer, or the model's turn did not end well: no content, a tool call that cannot "
        "be read or that it wrote as a text, arguments that are not a JSON object, an agent that it made up, "
        "an unknown reason to stop.",
        *_RETRY,
    ),
    ErrorClass.MODEL_RATE_LIMITED: Described(
        "The provider says that it is too much at once (429). Waits as long as it asks, else 30 s; for a quota of a "
        "day until that is new, if it says when, else an hour.",
        *_WAIT,
    ),
    ErrorClass.MODEL_UNAVAILABLE: Described(
        "The provider cannot be reached, fails (5xx, 529), breaks off its answer, or sends what cannot be read.",
        *_RETRY,
    ),
    ErrorClass.MODEL_TIMEOUT: Described("The provider did not answer in time (408, 504).", *_RETRY),
    ErrorClass.MODEL_AUTH: Described("The key is missing, wrong, or may not do this (401, 403).", *_FAIL),
    ErrorClass.MODEL_BAD_REQUEST: Described(
        "The provider refuses the request: no such model, a wrong setting.", *_FAIL
    ),
    ErrorClass.MODEL_OUT_OF_CREDIT: Described(
        "The account with the provider is empty or at its spending limit (402, `insufficient_quota`); waiting does not "
        "help, billing does.",
        *_FAIL,
    ),
    ErrorClass.MODEL_OUTPUT_TRUNCATED: Described(
        "A model's answer or tool call was cut at its limit of tokens, in any agent of the run; the same request would "
        "be cut again. Raise `agent.inline.maxOutputTokens`, or in code `generate_content_config.max_output_tokens`.",
        *_FAIL,
    ),
    ErrorClass.CONTENT_BLOCKED: Described(
        "The prompt or the answer was blocked by the provider's rules, or the model refused.", *_FAIL
    ),
    ErrorClass.INVALID_OUTPUT: Described(
        "The answer does not fit `output.schema`, also after its corrections.", "by `output.onInvalid`", "when retried"
    ),
    ErrorClass.CONTEXT_TOO_LONG: Described("The text is longer than the model takes.", *_FAIL),
    ErrorClass.TOOL_ERROR: Described(
        "A tool raised an exception that no callback answered, returned what is not JSON, or cannot be listed.", *_RETRY
    ),
    ErrorClass.AGENT_ERROR: Described(
        "The agent's own code raised: a callback, a plugin, a node, an instruction, the module itself.", *_RETRY
    ),
    ErrorClass.IO: Described("The disk is full, broken or read-only, or too many files are open.", *_RETRY),
    ErrorClass.CONFIG_INVALID: Described(
        "The job's definition or the agent's can never work: a field, a tool that cannot be declared, state that an "
        "instruction reads and that is not there, a pod that the API server refuses.",
        *_FAIL,
    ),
    ErrorClass.MODULE_NOT_FOUND: Described(
        "A module or attribute that the job names, or that its code imports, is not in the image.", *_FAIL
    ),
    ErrorClass.ATTEMPT_TIMEOUT: Described("`timeouts.attempt` was used up.", *_TIMED_OUT),
    ErrorClass.PROGRESS_TIMEOUT: Described("Nothing happened for `timeouts.progress`.", *_TIMED_OUT),
    ErrorClass.DEADLINE_EXCEEDED: Described("`timeouts.running` was used up.", *_FAIL),
    ErrorClass.QUEUE_TIMEOUT: Described("`timeouts.queue` was used up.", *_FAIL),
    ErrorClass.QUEUE_FULL: Described("More jobs waited than the queue's `backlog.max`, and it rejects more.", *_FAIL),
    ErrorClass.BUDGET_EXCEEDED: Described(
        "A limit of `spec.budget` is reached; or `agent.runConfig.max_llm_calls`; or a budget of the queue, which lets "
        "jobs fail.",
        "by `budget.onExceeded`",
        "no",
    ),
    ErrorClass.EVICTED: Described("The pod was evicted from its node.", *_INFRA),
    ErrorClass.PREEMPTED: Described("The pod had to make room for one of higher priority.", *_INFRA),
    ErrorClass.NODE_LOST: Described("The node stopped answering or was shut down.", *_INFRA),
    ErrorClass.RUNNER_LOST: Described("The pod is gone, or was told to stop from outside.", *_INFRA),
    ErrorClass.RUNNER_CRASHED: Described(
        "The container ended without saying why: a crash, an exit, a signal.", *_RETRY
    ),
    ErrorClass.JOURNAL_UNAVAILABLE: Described("The gateway could not be reached for two minutes.", "Snooze 30 s", "no"),
    ErrorClass.OOM_KILLED: Described("The container was killed for memory; raise its limit.", *_RETRY),
    ErrorClass.IMAGE_PULL_FAILED: Described("The image cannot be pulled.", *_FAIL),
    ErrorClass.UNSCHEDULABLE: Described("No node has room for the pod.", *_FAIL),
    ErrorClass.MISSING_REFERENCE: Described("A Secret or ConfigMap that the pod needs is missing.", *_FAIL),
    ErrorClass.INTERRUPTED: Described(
        "The runner was told to stop. The operator finds out by whom and gives the start another class.", *_INFRA
    ),
    ErrorClass.SNOOZED: Described("The agent's code raised `Snooze`.", *_WAIT),
    ErrorClass.CANCELLED: Described("The agent's code raised `Cancel`, or the job was cancelled.", "Cancel", ""),
    ErrorClass.SUSPENDED: Described("`spec.suspend` was set while the pod ran; the job waits to be resumed.", *_WAIT),
    ErrorClass.JOB_DELETED: Described("The job was deleted.", "Cancel", ""),
    ErrorClass.PERMANENT: Described("The agent's code raised `Permanent`.", *_FAIL),
    ErrorClass.TOOL_TIMEOUT: Described("A tool took longer than `steps.tools[].timeout`.", *_RETRY),
    ErrorClass.TOOL_INTERRUPTED: Described(
        "An earlier start began a tool call and recorded no result, and `steps.tools[].onInterrupted` is Fail.", *_FAIL
    ),
    ErrorClass.STEP_TOO_LARGE: Described(
        "A model's answer or a tool's result is larger than 1 MiB, the limit of a recorded step; "
        "let the tool return less, or save an artifact.",
        *_FAIL,
    ),
    ErrorClass.JOURNAL_FULL: Described(
        "The job has recorded as many steps, or bytes of them, as one job may; split the work over several jobs.",
        *_FAIL,
    ),
    ErrorClass.STEP_UNREADABLE: Described(
        "A recorded step cannot be read back; the message names it. A new job, or `retry.resume: FromStart`, helps.",
        *_FAIL,
    ),
    ErrorClass.DIVERGED: Described(
        "A later start asked something other than what was recorded, and `steps.onDivergence` is Fail.", *_FAIL
    ),
    ErrorClass.VERSION_MISMATCH: Described(
        "ADK, the runner or the agent changed since the job's first start, and `retry.onVersionChange` is Fail; "
        "or the recorded steps' keys are of another scheme and it is Continue.",
        *_FAIL,
    ),
    ErrorClass.MODEL_NOT_ALLOWED: Described(
        "The installation does not let this namespace ask for that model; the message names the models that it may.",
        *_FAIL,
    ),
    ErrorClass.UNKNOWN_MODEL_PRICE: Described(
        "The job has a budget in dollars, and the installation knows no price of a model that its code asks for.",
        *_FAIL,
    ),
    ErrorClass.BINARY_NOT_FOUND: Described(
        "The image has no `claude`, or no `git` that the workspace needs; see the how-to about coding agents.", *_FAIL
    ),
    ErrorClass.COMMAND_FAILED: Described(
        "Claude Code ended without a result, or the agent's program without one that can be read.", *_RETRY
    ),
    ErrorClass.MAX_TURNS_EXCEEDED: Described(
        "`budget.maxTurns` is reached, over all starts.", "by `budget.onExceeded`", "no"
    ),
    ErrorClass.REPOSITORY_UNAVAILABLE: Described(
        "The repository of `workspace.git` cannot be reached, or breaks off.", *_RETRY
    ),
    ErrorClass.REPOSITORY_INVALID: Described(
        "The repository refuses the credentials, or has no such ref, commit or submodule.", *_FAIL
    ),
    ErrorClass.PUBLISH_FAILED: Described(
        "The agent succeeded, and the push or the pull request failed. The next start publishes again; the agent does "
        "not run again.",
        *_RETRY,
    ),
    ErrorClass.PUBLISH_REFUSED: Described(
        "The agent succeeded, and what it made must not or cannot be pushed: a secret in it, a branch with other "
        "commits, credentials that may not write.",
        *_FAIL,
    ),
}
