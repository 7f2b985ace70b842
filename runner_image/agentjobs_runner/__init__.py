"""The process in the pod of one start: fetch the attempt, run the agent, report one result.

User code imports three exceptions, which decide what happens to its job, and two functions for durable steps:

    from agentjobs_runner import Cancel, Permanent, Snooze, idempotency_key, step

The process, independent of engines:

    attempt      one start from its first request to its last; begins in __main__
    inbox        events that end a start       termination  message and exit code
    environment  the pod's variables
    engines      loads the engine by name      import_trim  imports to skip, for a quick start
    gateway      requests, with retries        timeline     the start's entries, and their sender
    signals      stop signals                  gate         holds steps back
    usage        what the start used           tracing      its span
    log          the runner's log                 redaction    text that may leave the pod
    budget       the job's remaining budget    descendants  finds and ends descendant processes
    pod_token    the pod's current token       model_access  models through the installation's proxy
    threads      blocking work outside of event loops

Recorded steps:

    steps            the identity of a step       journal         the interface for engines
    gateway_journal  reads and records steps      recorded_steps  steps of earlier starts, by key
    step_sender      sends new steps              version_change  steps of another version
    user_steps       `step`, `idempotency_key`
    sealing          no secrets in steps          json_values     values of user code as JSON

Data that outlives the job:

    stores        the interface for engines    gateway_stores  session, artifacts and memory in the gateway
    kept          files for later starts of the job
    gateway_kept  the same, in the gateway

Shared by engines:

    control          the three exceptions         endings  how a start ended
    classify         the meaning of an error      origins  whose code raised an error
    modules          loads the user's code        frames   the user's lines of a traceback
    output           the job's requirements of the answer
    provider_errors  errors of models' providers
    results          an answer as the job's result

The engines:

    adk          agents of Google ADK
    claude_code  Claude Code

The agent's files:

    workspace    clones a repository before the agent, keeps its changes, publishes them after it
"""

from agentjobs_runner.control import Cancel, Permanent, Snooze
from agentjobs_runner.user_steps import idempotency_key, step

__all__ = ["Cancel", "Permanent", "Snooze", "idempotency_key", "step"]
