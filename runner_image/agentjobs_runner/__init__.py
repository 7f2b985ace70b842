"""What runs in the pod of one start: fetch the attempt, run the agent, report one result.

User code imports three exceptions from here, to say what shall happen to its job, and two functions, to be durable:

    from agentjobs_runner import Cancel, Permanent, Snooze, idempotency_key, step

The process, which knows no engine:

    attempt      one start from its first request to its last; begins in __main__
    inbox        what ends it                     leaving      its last word, and its exit code
    environment  the pod's variables
    engines      the engine, by its name          import_trim  what is not imported, to start quickly
    gateway      its calls, with retries          timeline     the start's entries, and who sends them
    signals      orders to stop                   gate         holds steps back
    usage        what the start used              tracing      its span
    log          the runner's log                 redaction    text that may leave the pod
    budget       what the job may still spend     descendants  processes that it started, and their end
    pod_token    the newest one                   model_access models through the installation's proxy

Steps that later starts find again:

    steps           the identity of a step        journal         what engines use
    gateway_journal reads and records steps       recorded_steps  those of earlier starts, by key
    step_sender     sends new ones                version_change  steps of another version
    user_steps      `step`, `idempotency_key`
    sealing         no secrets in steps           json_values     values of user code as JSON

What outlives the job:

    stores       what engines use                 gateway_stores  session, artifacts and memory, which the gateway keeps
    kept         files for later starts of the job
    gateway_kept the same, which the gateway keeps

What engines share:

    control      the three exceptions             endings      how a start ended
    classify     what an error means              origins      whose code raised an error
    modules      loads the user's code            frames       which lines of a stack are the user's
    output       what the job wants of its answer
    provider_errors what a model's provider reported
    results      an answer as the job's result

The engines:

    adk          agents of Google ADK
    claude_code  Claude Code

The agent's files:

    workspace    clones a repository before the agent, keeps its changes, publishes them after it
"""

from agentjobs_runner.control import Cancel, Permanent, Snooze
from agentjobs_runner.user_steps import idempotency_key, step

__all__ = ["Cancel", "Permanent", "Snooze", "idempotency_key", "step"]
