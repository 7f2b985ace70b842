"""Queues, schedules, templates and jobs as REST answers them; a test spells only what it is about."""

from datetime import UTC, datetime

from tests.dashboardsamples import a_page

from agentjobs.api.recorded_models import LimitLeft, ModelKey, ModelProvider, ModelsOverview
from agentjobs.api.recorded_overview import (
    Installation,
    OpenCounts,
    Process,
    QueueItem,
    QueueList,
    RecordedAction,
    ScheduleItem,
    TemplateItem,
    UsageSeries,
)
from tests import dashboardsamples

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday."""
SHOP = {"items": ["shop"], "everywhere": False}
"""The namespaces of somebody who may read one."""
PAGES = [
    "/queues",
    "/queues/shop/agents",
    "/queues/shop/agents/drain",
    "/schedules",
    "/schedules/shop/brief",
    "/templates",
    "/templates/shop/review",
    "/models",
    "/installation",
    "/actions",
]
"""All of these, with the objects that are named so by default."""
HOSTILE = "<script>alert(1)</script>\u202e<img src=x onerror=alert(2)>"


def condition(type_, status, reason, message=""):
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-25T11:00:00Z",
        "observedGeneration": 1,
    }


def a_queue(name="agents", *, spec=None, conditions=None, phases=None, namespace="shop", **status):
    """A queue with an object; `spec=False` for one of the installation."""
    conditions = [condition("Open", "True", "Open")] if conditions is None else conditions
    body = {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentQueue",
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": spec or {},
        "status": {"observedGeneration": 1, "conditions": conditions, "max": 10, **status},
    }
    return QueueItem(namespace=namespace, name=name, object=None if spec is False else body, phases=phases or {})


def a_job(name="job", **more):
    """A job of the shop that waits."""
    fields = {
        "namespace": "shop",
        "phase": "Queued",
        "reason": "WaitingForSlot",
        "created": NOON,
        "changed": NOON,
        "finished": None,
        "attempts": 0,
        "starts": 0,
    }
    return dashboardsamples.a_job(name, **{**fields, **more})


def serve_queue(answers, queue, *items):
    """Let REST answer a queue and its jobs, each list by the phases and in the order that were asked for."""

    def listed(request):
        asked = request.url.params
        found = [one for one in items if one.phase in asked.get_list("phase")]
        oldest_first = asked.get("order") == "oldest"
        return a_page(*sorted(found, key=lambda one: one.finished or one.created, reverse=not oldest_first))

    answers[f"/v1/namespaces/{queue.namespace}/queues/{queue.name}"] = queue
    answers["/v1/agentjobs"] = listed


def serve_queues(answers, *queues):
    answers["/v1/counts"] = OpenCounts(items=[])
    answers["/v1/namespaces"] = SHOP
    answers["/v1/namespaces/shop/queues"] = QueueList(items=list(queues))


def a_schedule(name="brief", *, conditions=None, following=(), namespace="shop", status=None, **spec):
    conditions = [condition("Active", "True", "Scheduled")] if conditions is None else conditions
    body = {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentSchedule",
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": {
            "schedule": "30 6 * * 1-5",
            "timeZone": "Europe/Berlin",
            "jobTemplate": {"spec": {"templateRef": {"name": "review"}}},
            **spec,
        },
        "status": {"observedGeneration": 1, "conditions": conditions, **(status or {})},
    }
    return ScheduleItem(namespace=namespace, name=name, object=body, next=list(following))


def serve_schedule(answers, schedule, *items, cursor=None):
    answers[f"/v1/namespaces/{schedule.namespace}/schedules/{schedule.name}"] = schedule
    answers["/v1/agentjobs"] = a_page(*items, cursor=cursor)


def a_template(name="review", *, conditions=None, namespace="shop", **spec):
    conditions = [condition("Valid", "True", "Valid")] if conditions is None else conditions
    body = {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentTemplate",
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": {
            "description": "Reviews the last change of a repository.",
            "agent": {"model": "gemini-flash-latest", "inline": {"name": "reviewer", "instruction": "You review."}},
            "input": {"message": "Review $(params.repository)."},
            **spec,
        },
        "status": {"observedGeneration": 1, "conditions": conditions},
    }
    return TemplateItem(namespace=namespace, name=name, object=body)


REPOSITORY = {"name": "repository", "required": True, "description": "Which repository."}
DEPTH = {"name": "depth", "default": "quick", "enum": ["quick", "thorough"]}


def serve_template(answers, template, *items):
    answers[f"/v1/namespaces/{template.namespace}/templates/{template.name}"] = template
    answers["/v1/agentjobs"] = a_page(*items)


def a_limit(bucket, counts, most, *, left=None, window=60):
    return LimitLeft(bucket=bucket, counts=counts, most=most, window=window, left=most if left is None else left)


def a_key(name="gemini/first", *, limits=(), closed=()):
    return ModelKey(name=name, limits=list(limits), closed=list(closed))


def a_provider(*keys, name="gemini"):
    return ModelProvider(name=name, kind="Gemini", base_url="https://models", models=["gemini-*"], keys=list(keys))


def models_seen(*providers, **more):
    return ModelsOverview(providers=list(providers), **more)


def serve_models(answers, seen):
    answers["/v1/namespaces"] = SHOP
    answers["/v1/models"] = seen
    answers["/v1/usage/series"] = UsageSeries(since=NOON, until=NOON, seconds=86400, by="queue", items=[], keys=[])


def a_process(kind, *, name="", version="0.1.0", leads=False):
    return Process(kind=kind, id=name or f"{kind}-a", version=version, leads=leads, since=NOON, seen=NOON)


def an_installation(*processes, clock_skew_seconds=0.01):
    return Installation(
        version="0.1.0",
        cluster="7d1f",
        processes=list(processes),
        database_version="17.2",
        schema_version="0012",
        database_bytes=312 * 2**20,
        jobs=100_000,
        clock_skew_seconds=clock_skew_seconds,
    )


def an_action(kind, action, name, *, status=200, message="", uid=""):
    return RecordedAction(
        time=NOON,
        user="ada",
        namespace="shop",
        kind=kind,
        name=name,
        uid=uid,
        action=action,
        status=status,
        message=message,
    )
