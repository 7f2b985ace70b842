"""Records each action of a user, including refused ones: a row in history and a line in the log.

The row is written after the action and before the response. While history is unavailable, and when a user is refused
too often, only the log has it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from agentjobs import contract, errors
from agentjobs.auth import User
from agentjobs.gateway.problems import crash, from_error
from agentjobs.gateway.services import services_of
from agentjobs.history.action_records import MAX_MESSAGE_BYTES, Action, ActionKind
from agentjobs.problem import Problem

logger = logging.getLogger(__name__)

# The action is done; its caller must not wait long for a database that hangs.
_WRITE_SECONDS: Final = 2.0


@dataclass(slots=True)
class PendingAction:
    """An action in progress. The code that runs it fills in the rest."""

    kind: ActionKind
    namespace: str
    name: str
    action: str
    uid: str = ""
    message: str = ""
    """Its result."""


@asynccontextmanager
async def audited(request: Request, user: User, pending: PendingAction) -> AsyncIterator[PendingAction]:
    """Record the action of a `with` block, however it ends."""
    try:
        yield pending
    except Exception as error:
        problem = _problem_of(error)
        await _keep(request, user, pending, problem.status, problem.message)
        raise
    await _keep(request, user, pending, 200, pending.message)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    return from_error(error) if isinstance(error, errors.AgentJobsError) else crash()


async def _keep(request: Request, user: User, pending: PendingAction, status: int, message: str) -> None:
    action = Action(
        user=user.name,
        impersonated_by=user.impersonated_by,
        namespace=pending.namespace,
        kind=pending.kind,
        name=pending.name,
        uid=pending.uid,
        action=pending.action,
        status=status,
        message=message,
    )
    logger.info(
        "action.done",
        extra={
            "user": action.user,
            "impersonated_by": action.impersonated_by,
            "namespace": action.namespace,
            "kind": action.kind,
            "object": action.name,
            "uid": action.uid,
            "action": action.action,
            "status": status,
            "detail": contract.cut(message, MAX_MESSAGE_BYTES),
        },
    )
    try:
        if status != 200:
            services_of(request).refusals.count(user.name)
        async with asyncio.timeout(_WRITE_SECONDS):
            await (await services_of(request).history()).actions.record(action)
    except (errors.AgentJobsError, TimeoutError, Problem) as error:
        logger.warning("action.not_recorded", extra={"action": action.action, "error": str(error) or "timed out"})
