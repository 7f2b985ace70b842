"""What each error class means, and what happens to the job without a rule: the table of the reference.

The classes themselves are in `contract.ErrorClass`; the verdict is given where one is raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentjobs.contract import ErrorClass


@dataclass(frozen=True, slots=True)
class Described:
    """A described class. `verdict` is what happens by default; `charged` whether it costs an attempt."""

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
        "The agent ended without an answer, or the model's turn ended badly: no content, a tool call that is "
        "malformed or written as text, arguments that are not a JSON object, an unknown agent, an unknown finish "
        "reason.",
        *_RETRY,
    ),
    ErrorClass.MODEL_RATE_LIMITED: Described(
        "The provider limits the rate (429). Waits as long as the provider asks, else 30 s; for a daily quota until "
        "its reset if the provider names it, else an hour.",
        *_WAIT,
    ),
    ErrorClass.MODEL_UNAVAILABLE: Described(
        "The provider cannot be reached, fails (5xx, 529), breaks off its answer, or sends an unreadable one.",
        *_RETRY,
    ),
    ErrorClass.MODEL_TIMEOUT: Described("The provider did not answer in time (408, 504).", *_RETRY),
    ErrorClass.MODEL_AUTH: Described("The key is missing, wrong, or lacks permission (401, 403).", *_FAIL),
    ErrorClass.MODEL_BAD_REQUEST: Described(
        "The provider rejects the request: an unknown model, a wrong setting.", *_FAIL
    ),
    ErrorClass.MODEL_OUT_OF_CREDIT: Described(
        "The account at the provider is empty or at its spending limit (402, `insufficient_quota`); add credit there.",
        *_FAIL,
    ),
    ErrorClass.MODEL_OUTPUT_TRUNCATED: Described(
        "A model's answer or tool call was cut at its token limit, in any agent of the run; the same request would "
        "be cut again. Raise `agent.inline.maxOutputTokens`, or in code `generate_content_config.max_output_tokens`.",
        *_FAIL,
    ),
    ErrorClass.CONTENT_BLOCKED: Described(
        "The prompt or the answer was blocked by the provider's rules, or the model refused.", *_FAIL
    ),
    ErrorClass.INVALID_OUTPUT: Described(
        "The answer does not match `output.schema`, even after corrections.", "by `output.onInvalid`", "when retried"
    ),
    ErrorClass.CONTEXT_TOO_LONG: Described("The text is too long for the model.", *_FAIL),
    ErrorClass.TOOL_ERROR: Described(
        "A tool raised an exception that no callback handled, returned a value that is not JSON, or cannot be listed.",
        *_RETRY,
    ),
    ErrorClass.AGENT_ERROR: Described(
        "The agent's own code raised an exception: a callback, a plugin, a node, an instruction, the module itself.",
        *_RETRY,
    ),
    ErrorClass.IO: Described("The disk is full, broken or read-only, or too many files are open.", *_RETRY),
    ErrorClass.CONFIG_INVALID: Described(
        "The definition of the job or the agent can never work: a field, a tool that cannot be declared, missing "
        "state that an instruction reads, a pod that the API server rejects.",
        *_FAIL,
    ),
    ErrorClass.MODULE_NOT_FOUND: Described(
        "A module or attribute that the job names, or that its code imports, is not in the image.", *_FAIL
    ),
    ErrorClass.ATTEMPT_TIMEOUT: Described("The start exceeded `timeouts.attempt`.", *_TIMED_OUT),
    ErrorClass.PROGRESS_TIMEOUT: Described("The start made no progress for `timeouts.progress`.", *_TIMED_OUT),
    ErrorClass.DEADLINE_EXCEEDED: Described("The job exceeded `timeouts.running`.", *_FAIL),
    ErrorClass.QUEUE_TIMEOUT: Described("The job waited longer than `timeouts.queue`.", *_FAIL),
    ErrorClass.QUEUE_FULL: Described("The queue's `backlog.max` jobs were waiting, and it rejects more.", *_FAIL),
    ErrorClass.BUDGET_EXCEEDED: Described(
        "A limit of `spec.budget` is reached, or `agent.runConfig.max_llm_calls`, or a budget of the queue whose "
        "action is Fail.",
        "by `budget.onExceeded`",
        "no",
    ),
    ErrorClass.EVICTED: Described("The pod was evicted from its node.", *_INFRA),
    ErrorClass.PREEMPTED: Described("The pod was preempted by one of higher priority.", *_INFRA),
    ErrorClass.NODE_LOST: Described("The node stopped answering or was shut down.", *_INFRA),
    ErrorClass.RUNNER_LOST: Described("The pod was deleted or stopped from outside.", *_INFRA),
    ErrorClass.RUNNER_CRASHED: Described("The container ended without a reason: a crash, an exit, a signal.", *_RETRY),
    ErrorClass.JOURNAL_UNAVAILABLE: Described("The gateway could not be reached for two minutes.", "Snooze 30 s", "no"),
    ErrorClass.OOM_KILLED: Described("The container was killed for memory; raise its limit.", *_RETRY),
    ErrorClass.IMAGE_PULL_FAILED: Described("The image cannot be pulled.", *_FAIL),
    ErrorClass.UNSCHEDULABLE: Described("No node has room for the pod.", *_FAIL),
    ErrorClass.MISSING_REFERENCE: Described("A Secret or ConfigMap that the pod needs is missing.", *_FAIL),
    ErrorClass.INTERRUPTED: Described(
        "The runner was stopped. The operator finds out why and gives the start another class.", *_INFRA
    ),
    ErrorClass.SNOOZED: Described("The agent's code raised `Snooze`.", *_WAIT),
    ErrorClass.CANCELLED: Described("The agent's code raised `Cancel`, or the job was cancelled.", "Cancel", ""),
    ErrorClass.SUSPENDED: Described("`spec.suspend` was set while the pod ran; the job waits to be resumed.", *_WAIT),
    ErrorClass.JOB_DELETED: Described("The job was deleted.", "Cancel", ""),
    ErrorClass.PERMANENT: Described("The agent's code raised `Permanent`.", *_FAIL),
    ErrorClass.TOOL_TIMEOUT: Described("A tool took longer than `steps.tools[].timeout`.", *_RETRY),
    ErrorClass.TOOL_INTERRUPTED: Described(
        "An earlier start began a tool call without recording a result, and `steps.tools[].onInterrupted` is Fail.",
        *_FAIL,
    ),
    ErrorClass.STEP_TOO_LARGE: Described(
        "A model's answer or a tool's result is larger than 1 MiB, the limit of a recorded step; "
        "let the tool return less, or save an artifact.",
        *_FAIL,
    ),
    ErrorClass.JOURNAL_FULL: Described(
        "The job reached the limit of recorded steps, or of their bytes; split the work over several jobs.",
        *_FAIL,
    ),
    ErrorClass.STEP_UNREADABLE: Described(
        "A recorded step cannot be read; the message names it. Use a new job, or `retry.resume: FromStart`.",
        *_FAIL,
    ),
    ErrorClass.DIVERGED: Described(
        "A later start sent a request that differs from the recorded one, and `steps.onDivergence` is Fail.", *_FAIL
    ),
    ErrorClass.VERSION_MISMATCH: Described(
        "ADK, the runner or the agent changed since the job's first start, and `retry.onVersionChange` is Fail; "
        "or it is Continue and the recorded steps have an incompatible format of keys.",
        *_FAIL,
    ),
    ErrorClass.MODEL_NOT_ALLOWED: Described(
        "This namespace may not use that model; the message names the models that it may use.",
        *_FAIL,
    ),
    ErrorClass.UNKNOWN_MODEL_PRICE: Described(
        "The job has a budget in dollars, and the installation has no price for a model that its code uses.",
        *_FAIL,
    ),
    ErrorClass.BINARY_NOT_FOUND: Described(
        "The image lacks `claude`, or `git` for the workspace; see the how-to about coding agents.", *_FAIL
    ),
    ErrorClass.COMMAND_FAILED: Described(
        "Claude Code or the agent's program ended without a readable result.", *_RETRY
    ),
    ErrorClass.MAX_TURNS_EXCEEDED: Described(
        "`budget.maxTurns` is reached, over all starts.", "by `budget.onExceeded`", "no"
    ),
    ErrorClass.REPOSITORY_UNAVAILABLE: Described(
        "The repository of `workspace.git` cannot be reached, or the connection breaks.", *_RETRY
    ),
    ErrorClass.REPOSITORY_INVALID: Described(
        "The repository rejects the credentials, or lacks the ref, commit or submodule.", *_FAIL
    ),
    ErrorClass.PUBLISH_FAILED: Described(
        "The agent succeeded, and the push or the pull request failed. The next start publishes again; the agent does "
        "not run again.",
        *_RETRY,
    ),
    ErrorClass.PUBLISH_REFUSED: Described(
        "The agent succeeded, but its changes must not or cannot be pushed: they contain a secret, the branch has "
        "other commits, or the credentials may not write.",
        *_FAIL,
    ),
}
