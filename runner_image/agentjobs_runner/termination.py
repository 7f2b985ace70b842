"""How our containers end: termination message and exit code."""

import os

from agentjobs import contract
from agentjobs.contract import ErrorClass, Published, TerminationMessage, Verdict
from agentjobs.errors import AgentJobsError, Fenced, Invalid
from agentjobs_runner.endings import Ending, interrupted, journal_unavailable
from agentjobs_runner.environment import Environment
from agentjobs_runner.log import logger
from agentjobs_runner.redaction import Redactor


def leave(
    environment: Environment, redactor: Redactor, ending: Ending, *, uid: str = "", published: Published | None = None
) -> int:
    """Write the termination message and return the exit code.

    Args:
        uid: of the job; empty if the attempt was never fetched.
        published: the publishing container's success.
    """
    message = TerminationMessage(
        verdict=ending.verdict,
        reason=ending.reason,
        message=redactor.message(ending.message, contract.MAX_MESSAGE_BYTES),
        start=environment.start,
        uid=uid,
        delay_seconds=ending.delay_seconds,
        summary=ending.result["text"] if ending.result is not None else "",
        outcome=ending.result.get("outcome") if ending.result is not None else None,
        published=published,
    )
    try:
        environment.termination_file.write_text(message.dump(), encoding="utf-8")
    except OSError as error:
        logger.error("termination.not_written", extra={"error": os.strerror(error.errno or 0)})
    logger.info(
        "attempt.ended", extra={"verdict": message.verdict, "reason": message.reason, "detail": message.message}
    )
    return contract.EXIT_CODES[ending.verdict]


def leave_fenced(error: Fenced) -> int:
    """Return the exit code if another pod holds this start: a message would apply to its work."""
    logger.error("attempt.fenced", extra={"error": str(error)})
    return contract.EXIT_FENCED


def unfetched(error: AgentJobsError, *, stopping: bool) -> Ending:
    """Return the ending of a container that could not fetch its attempt."""
    if stopping:
        return interrupted("stopped before the attempt was fetched")
    if isinstance(error, Invalid):
        return Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, f"the gateway rejected the runner's request: {error}")
    return journal_unavailable(f"the gateway cannot be reached: {error}")
