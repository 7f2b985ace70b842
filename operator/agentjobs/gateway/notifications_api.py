"""Routes of users about notifications: what was sent to which sink, why not, and how to try again.

Reading takes the right to list AgentJobs; trying again takes `patch agentjobs`. Only the notifier has the addresses and
keys of sinks.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request

from agentjobs.api.recorded_notifications import RecordedNotifications, Retried
from agentjobs.auth import User
from agentjobs.gateway.audit import PendingAction, audited
from agentjobs.gateway.paths import COLLECTION, PLACE, Cursor, Limit, Name, Namespace
from agentjobs.gateway.rights import Person, authorize
from agentjobs.gateway.services import History, Notified, ReadBudget
from agentjobs.history.pages import DEFAULT_LIMIT

NOTIFICATIONS: Final = PLACE + "/notifications"

router = APIRouter(tags=["notifications"])


async def _may_list(request: Request, namespace: Namespace) -> User:
    return await authorize(request, "list", namespace=namespace)


@router.get(NOTIFICATIONS, dependencies=[Depends(_may_list)])
async def list_notifications(
    namespace: Namespace,
    notified: Notified,
    history: History,
    budget: ReadBudget,
    job: Annotated[
        str | None,
        Query(max_length=253, pattern="^[-a-z0-9.]*$", description="Only notifications of this job, by name or uid."),
    ] = None,
    stuck: Annotated[bool, Query(description="Only notifications that failed and were not sent.")] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RecordedNotifications:
    """List the notifications of a namespace, newest first."""
    async with budget.taken():
        uid = (await history.job(namespace, job)).uid if job else None
        page = await notified.notifications(namespace, uid=uid, stuck=stuck, limit=limit, cursor=cursor)
    return RecordedNotifications(items=page.items, cursor=page.cursor)


@router.post(COLLECTION + "/{name}/notifications/retry")
async def retry_notifications(
    request: Request,
    person: Person,
    namespace: Namespace,
    name: Name,
    notified: Notified,
    history: History,
    budget: ReadBudget,
    sink: Annotated[
        str | None, Query(max_length=63, pattern="^[-a-z0-9]*$", description="Only notifications to this sink.")
    ] = None,
) -> Retried:
    """Try again all notifications of a job that failed or were given up."""
    async with audited(request, person, PendingAction("AgentJob", namespace, name, "retry-notifications")) as pending:
        await authorize(request, "patch", namespace=namespace, name=name)
        async with budget.taken():
            job = await history.job(namespace, name)
            pending.name, pending.uid = job.name, job.uid
            retried = await notified.retry(job.uid, sink or None)
        pending.message = f"{retried} will be tried again"
    return Retried(retried=retried)
