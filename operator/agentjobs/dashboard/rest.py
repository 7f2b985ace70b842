"""REST with the rights of a person: each method sends one request and parses the answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, ValidationError

from agentjobs.api import (
    recorded,
    recorded_models,
    recorded_notifications,
    recorded_overview,
    recorded_sessions,
    recorded_usage,
)
from agentjobs.api.job_filter import EVERY_JOB, JobFilter
from agentjobs.dashboard.identity import Identity
from agentjobs.problem import Problem

Query = Iterable[tuple[str, str]]
_Model = TypeVar("_Model", bound=BaseModel)

PAGE: Final = 50
"""Rows of a list by default."""


# REST shares answers among pages that request the same; pages are notified of changes.
_MAY_BE_OLD: Final = "max-age=60"


@dataclass(frozen=True, slots=True)
class Log:
    """The last lines of a log."""

    text: str
    is_truncated: bool
    """Whether the log has earlier lines."""


class Rest:
    """REST with the rights of one person. Create one for each request.

    Every method raises the `Problem` that REST answers (401, 403, 404, 429, 503 …), and 503 without an answer.

    Args:
        http: reaches REST; shared by all.
        identity: the person.
    """

    def __init__(self, http: httpx.AsyncClient, identity: Identity) -> None:
        self._http = http
        self._base = str(http.base_url).rstrip("/")
        self._identity = identity

    async def me(self) -> recorded_overview.Me:
        """Return the person as REST sees them."""
        return await self._read(recorded_overview.Me, "/v1/me")

    async def namespaces(self) -> recorded_overview.Namespaces:
        """Return the namespaces that the person may read."""
        return await self._read(recorded_overview.Namespaces, "/v1/namespaces")

    async def jobs(
        self,
        chosen: JobFilter = EVERY_JOB,
        *,
        namespaces: Iterable[str] = (),
        limit: int = PAGE,
        cursor: str | None = None,
    ) -> recorded.RecordedJobs:
        """Return a page of jobs, by default of all namespaces that the person may read."""
        query = [*_named(namespaces), *chosen.query(), ("limit", str(limit)), *_given(cursor=cursor)]
        return await self._read(recorded.RecordedJobs, "/v1/agentjobs", query)

    async def open_jobs(self, namespaces: Iterable[str] = ()) -> recorded_overview.OpenCounts:
        """Return how many jobs run, and how many wait for each reason."""
        return await self._read(recorded_overview.OpenCounts, "/v1/counts", _named(namespaces))

    async def activity(
        self, since: datetime, until: datetime, namespaces: Iterable[str] = ()
    ) -> recorded_overview.Activity:
        """Return what happened in a period, in at most 100 slices."""
        query = [*_named(namespaces), ("since", _text(since)), ("until", _text(until))]
        return await self._read(recorded_overview.Activity, "/v1/activity", query)

    async def usage_series(
        self, by: str, since: datetime, until: datetime, namespaces: Iterable[str] = ()
    ) -> recorded_overview.UsageSeries:
        """Return the usage of model calls in a period; `by` is `queue`, `model` or `partition`."""
        query = [*_named(namespaces), ("by", by), ("since", _text(since)), ("until", _text(until))]
        return await self._read(recorded_overview.UsageSeries, "/v1/usage/series", query)

    async def models(self, namespace: str | None = None) -> recorded_models.ModelsOverview:
        """Return the models and their remaining limits."""
        return await self._read(recorded_models.ModelsOverview, "/v1/models", _given(namespace=namespace))

    async def installation(self) -> recorded_overview.Installation:
        """Return the processes and the database of the installation."""
        return await self._read(recorded_overview.Installation, "/v1/installation")

    async def actions(
        self, namespaces: Iterable[str] = (), *, uid: str | None = None, cursor: str | None = None
    ) -> recorded_overview.RecordedActions:
        """Return actions of people, newest first; with `uid` only those on that job."""
        query = [*_named(namespaces), *_given(uid=uid, cursor=cursor)]
        return await self._read(recorded_overview.RecordedActions, "/v1/actions", query)

    async def job_history(self, namespace: str, name: str) -> recorded.JobHistory:
        """Return a job with its starts and phases."""
        return await self._read(recorded.JobHistory, _job(namespace, name))

    async def steps(
        self, namespace: str, name: str, *, start: int | None = None, limit: int = 200, after: int | None = None
    ) -> recorded.RecordedSteps:
        """Return a page of a job's steps, from the one after number `after`."""
        query = _given(start=start, limit=limit, after=after)
        return await self._read(recorded.RecordedSteps, _job(namespace, name, "steps"), query)

    async def spans(self, namespace: str, name: str) -> recorded.StepSpans:
        """Return begin and end of all steps of a job."""
        return await self._read(recorded.StepSpans, _job(namespace, name, "spans"))

    async def step(self, namespace: str, name: str, number: int) -> recorded.StepContent:
        """Return a step with its result."""
        return await self._read(recorded.StepContent, _job(namespace, name, f"steps/{number}"))

    async def entries(
        self,
        namespace: str,
        name: str,
        *,
        start: int | None = None,
        limit: int = 200,
        cursor: str | None = None,
        after: int | None = None,
        newest: bool = False,
    ) -> recorded.RecordedEntries:
        """Return a page of the entries of a job's starts; with `start`, from the one after number `after`."""
        query = _given(start=start, limit=limit, cursor=cursor, after=after, newest="true" if newest else None)
        return await self._read(recorded.RecordedEntries, _job(namespace, name, "events"), query)

    async def result(self, namespace: str, name: str) -> recorded.RecordedResult | None:
        """Return a job's final result, or None."""
        try:
            return await self._read(recorded.RecordedResult, _job(namespace, name, "result"))
        except Problem as problem:
            if problem.reason == "NoResult":
                return None
            raise

    async def tree(self, namespace: str, name: str) -> recorded.RecordedTree:
        """Return the parents of a job and all their follow-ups."""
        return await self._read(recorded.RecordedTree, _job(namespace, name, "tree"))

    async def spec(self, namespace: str, name: str) -> recorded.RecordedSpec:
        """Return a job's accepted spec; it needs the right to read ConfigMaps."""
        return await self._read(recorded.RecordedSpec, _job(namespace, name, "spec"))

    async def job_models(self, namespace: str, name: str) -> recorded_models.JobModels:
        """Return the usage of a job's model calls."""
        return await self._read(recorded_models.JobModels, _job(namespace, name, "models"))

    async def calls(
        self, namespace: str, name: str, *, step: str | None = None, cursor: str | None = None
    ) -> recorded_usage.RecordedCalls:
        """Return a page of a job's model calls."""
        return await self._read(
            recorded_usage.RecordedCalls, _job(namespace, name, "calls"), _given(step=step, cursor=cursor)
        )

    async def call_content(self, namespace: str, name: str, call: str) -> Mapping[str, Any]:
        """Return request and answer of a model call, where the installation records them."""
        found: Mapping[str, Any] = (
            await self._get(_job(namespace, name, f"calls/{quote(call, safe='')}/content"))
        ).json()
        return found

    async def session_artifacts(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> recorded_sessions.RecordedArtifacts:
        """Return a page of the versions of artifacts of a session and of its user."""
        query = _given(app=app, user=user, session=session, cursor=cursor)
        path = f"/v1/namespaces/{quote(namespace, safe='')}/session/artifacts"
        return await self._read(recorded_sessions.RecordedArtifacts, path, query)

    async def artifact(self, namespace: str, session: tuple[str, str, str], name: str, version: int) -> bytes:
        """Return the bytes of a version of an artifact; `session` is its app, user and id."""
        app, user, id_ = session
        query = _given(app=app, user=user, session=id_, name=name, version=version)
        path = f"/v1/namespaces/{quote(namespace, safe='')}/session/artifacts/content"
        return (await self._get(path, query)).content

    async def notifications(self, namespace: str, job: str) -> recorded_notifications.RecordedNotifications:
        """Return the notifications about a job."""
        path = f"/v1/namespaces/{quote(namespace, safe='')}/notifications"
        return await self._read(recorded_notifications.RecordedNotifications, path, [("job", job)])

    async def object(self, namespace: str, name: str) -> recorded_overview.ClusterObject | None:
        """Return a job's object, None when it was deleted."""
        return await self._found(recorded_overview.ClusterObject, _job(namespace, name, "object"))

    async def kubernetes_events(self, namespace: str, name: str) -> recorded_overview.KubernetesEvents:
        """Return the Events of a job and its pods."""
        return await self._read(recorded_overview.KubernetesEvents, _job(namespace, name, "kubernetes-events"))

    async def logs(
        self, namespace: str, name: str, start: int, *, lines: int = 500, container: str = "", timestamps: bool = False
    ) -> Log:
        """Return the last lines that a start's pod logged, with their times if requested.

        Raises Problem (PodGone) without the pod.
        """
        times = "true" if timestamps else None
        query = _given(start=start, lines=lines, container=container or None, timestamps=times)
        answer = await self._get(_job(namespace, name, "logs"), query)
        return Log(answer.text, answer.headers.get(recorded_overview.LOG_TRUNCATED) == "true")

    async def queues(self, namespace: str | None = None) -> recorded_overview.QueueList:
        """Return the queues of a namespace, or of all, that have an object. Jobs are not counted: see `open_jobs`."""
        query = [("count", "false")] if namespace else []
        return await self._read(recorded_overview.QueueList, _place(namespace, "queues"), query)

    async def queue(self, namespace: str, name: str) -> recorded_overview.QueueItem:
        """Return a queue."""
        return await self._read(recorded_overview.QueueItem, _place(namespace, "queues", name))

    async def schedules(self, namespace: str | None = None) -> recorded_overview.ScheduleList:
        """Return the schedules of a namespace, or of all."""
        return await self._read(recorded_overview.ScheduleList, _place(namespace, "schedules"))

    async def schedule(self, namespace: str, name: str) -> recorded_overview.ScheduleItem:
        """Return a schedule."""
        return await self._read(recorded_overview.ScheduleItem, _place(namespace, "schedules", name))

    async def templates(self, namespace: str | None = None) -> recorded_overview.TemplateList:
        """Return the templates of a namespace, or of all."""
        return await self._read(recorded_overview.TemplateList, _place(namespace, "templates"))

    async def template(self, namespace: str, name: str) -> recorded_overview.TemplateItem:
        """Return a template."""
        return await self._read(recorded_overview.TemplateItem, _place(namespace, "templates", name))

    async def act(
        self, kind: str, namespace: str, name: str, action: str, body: Mapping[str, Any] | None = None
    ) -> recorded_overview.ActionDone:
        """Act on an object.

        Args:
            kind: `agentjobs`, `queues`, `schedules` or `templates`.
            action: `cancel`, `suspend`, `resume`, `rerun`; `pause`, `drain`, `resume`, `scale`; `trigger`, `suspend`,
                `resume`; `run`.
            body: arguments of the action.
        """
        answer = await self._send("POST", f"{_place(namespace, kind, name)}/{action}", json=dict(body or {}))
        return _parsed(recorded_overview.ActionDone, answer)

    async def _read(self, model: type[_Model], path: str, query: Query = ()) -> _Model:
        return _parsed(model, await self._get(path, query))

    async def _found(self, model: type[_Model], path: str) -> _Model | None:
        try:
            return await self._read(model, path)
        except Problem as problem:
            if problem.status == 404:
                return None
            raise

    async def _get(self, path: str, query: Query = ()) -> httpx.Response:
        encoded = urlencode(list(query))
        return await self._send("GET", f"{path}?{encoded}" if encoded else path)

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = httpx.Headers(self._identity.headers)
        headers["Cache-Control"] = _MAY_BE_OLD
        try:
            # Not `http.request`: what that adds to a request takes a sixth of a page's time.
            answer = await self._http.send(httpx.Request(method, f"{self._base}{path}", headers=headers, **more))
        except httpx.HTTPError as error:
            raise Problem(503, "Unavailable", "AgentJobs cannot be reached now.") from error
        if answer.is_success:
            return answer
        raise _refusal(answer)


def _refusal(answer: httpx.Response) -> Problem:
    headers = {"Retry-After": retry_after} if (retry_after := answer.headers.get("retry-after")) else {}
    try:
        body = answer.json()
        return Problem(answer.status_code, str(body["reason"]), str(body["message"]), headers=headers)
    except (ValueError, KeyError, TypeError):
        return Problem(
            answer.status_code, "Unknown", f"The server answered with {answer.status_code}.", headers=headers
        )


def _parsed(model: type[_Model], answer: httpx.Response) -> _Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise Problem(502, "Unreadable", "The answer of REST cannot be read. The log has the reason.") from error


def _place(namespace: str | None, kind: str, name: str = "") -> str:
    path = f"/v1/{kind}" if namespace is None else f"/v1/namespaces/{quote(namespace, safe='')}/{kind}"
    return f"{path}/{quote(name, safe='')}" if name else path


def _job(namespace: str, name: str, below: str = "") -> str:
    path = _place(namespace, "agentjobs", name)
    return f"{path}/{below}" if below else path


def _named(namespaces: Iterable[str]) -> list[tuple[str, str]]:
    return [("namespace", name) for name in namespaces]


def _given(**values: str | int | None) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in values.items() if value is not None]


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
