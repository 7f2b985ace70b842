"""The client's operations, shared by both clients: each is a generator of effects (effects.py).

They do no I/O and read no clock. Every request may be retried (`requests`); for `submit` that is safe because the name
is chosen here.
"""

import json
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import ValidationError

from agentjobs import errors
from agentjobs.api.conditions import ConditionType, SuspendedReason, find_condition
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.job_filter import EVERY_JOB, JobFilter
from agentjobs.api.recorded import (
    JobHistory,
    RecordedEntries,
    RecordedEntry,
    RecordedJob,
    RecordedJobs,
    RecordedResult,
    RecordedSpec,
    RecordedStep,
    RecordedSteps,
    RecordedTree,
    Result,
    StepContent,
)
from agentjobs.client.effects import MERGE_PATCH, Emit, Listen, NextLine, Now, Operation, Send, Server, Sleep, Stream
from agentjobs.client.job import Job, Spec, differences
from agentjobs.client.lineage import Tree, tree_of
from agentjobs.client.object import plain_spec
from agentjobs.client.recorded_end import recorded_end
from agentjobs.client.requests import FIRST_PAUSE_SECONDS, PAGE, KindOperations, paged, segment
from agentjobs.client.rerunning import (
    NO_EDITS,
    Edits,
    actual_edits,
    copied_labels,
    edited,
    not_skipped,
    rerun_labels,
    to_repeat,
)
from agentjobs.contract import (
    ANNOTATION_PREVIOUS_TIME,
    ANNOTATION_RESUME,
    ANNOTATION_SCHEDULED_TIME,
)

if TYPE_CHECKING:
    from agentjobs.api.template.read import Template

# A watch is reopened after this long without an event, in case a proxy dropped it silently.
WATCH_SECONDS: Final = 300.0
# If a server ends every watch immediately, do not reconnect in a tight loop.
REOPEN_SECONDS: Final = 0.5
# Polling interval for new events; the runner sends them about as often.
EVENTS_SECONDS: Final = 1.0
_SUBMIT_TRIES: Final = 3
# A conflict with a status update is rare, since a job's status changes only a few times.
_ORDER_TRIES: Final = 8
_TIMES: Final = (ANNOTATION_SCHEDULED_TIME, ANNOTATION_PREVIOUS_TIME)

States = Generator[Any, Any, Job]
"""Emits a job's states, if requested, and returns the last: both a stream and an operation."""


def new_name(stem: str = "job") -> str:
    """Return a name that is almost certainly free: the stem and eight random digits."""
    return f"{stem[: MAX_JOB_NAME - 9].rstrip('-.')}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Operations(KindOperations):
    """The operations on the AgentJobs of one namespace."""

    plural: ClassVar[str] = "agentjobs"

    def submit(
        self, spec: Spec, *, name: str | None, labels: Mapping[str, str] | None, annotations: Mapping[str, str] | None
    ) -> Operation[Job]:
        """Create a job, or return the existing one of that name with the same work."""
        name, wanted = name or new_name(), plain_spec(spec)
        metadata = {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
        for _ in range(_SUBMIT_TRIES):
            try:
                return Job.parse((yield from self._created("AgentJob", metadata, wanted)))
            except errors.AlreadyExists:
                with suppress(errors.NotFound):  # it was deleted; the name is free
                    return _the_same((yield from self.get(name)), wanted)
        raise errors.Conflict(
            f"AgentJob {name!r} is created and deleted repeatedly: another program uses the name; choose another."
        )

    def get(self, name: str) -> Operation[Job]:
        """Read a job."""
        return Job.parse((yield from self._sent(Send("GET", self.path(name)))))

    def list(self, *, selector: str) -> "Operation[Sequence[Job]]":
        """List the existing jobs, sorted by name."""
        found, _ = yield from self.listed(selector)
        return tuple(map(Job.parse, found))

    def set_config_map(self, name: str, data: Mapping[str, str]) -> Operation[None]:
        """Create a ConfigMap, or set these keys of an existing one."""
        path = f"/api/v1/namespaces/{segment(self.namespace)}/configmaps"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}
        try:
            yield from self._sent(Send("POST", path, body))
        except errors.AlreadyExists:
            change = {"data": dict(data)}
            yield from self._sent(Send("PATCH", f"{path}/{segment(name)}", change, content_type=MERGE_PATCH))

    def cancel(self, name: str, *, uid: str | None = None) -> Operation[Job]:
        """Cancel a job; a finished one is returned unchanged.

        Here and below: with `uid` only that job, never a new one with its name.
        """
        return (yield from self._ordered(name, uid, lambda _: {"spec": {"cancel": True}}))

    def suspend(self, name: str, *, uid: str | None = None) -> Operation[Job]:
        """Suspend a job; one that is finished or cancelled is returned unchanged."""
        return (yield from self._ordered(name, uid, lambda _: {"spec": {"suspend": True}}))

    def resume(self, name: str, *, uid: str | None = None) -> Operation[Job]:
        """Let a job continue that was suspended by its spec, or by a rule of its resultPolicy.

        One that is finished or cancelled is returned unchanged.
        """
        return (yield from self._ordered(name, uid, _resumption))

    def rerun(
        self, name: str, *, new_name_: str | None, uid: str | None = None, edits: Edits = NO_EDITS
    ) -> Operation[Job]:
        """Submit the work of a job under another name, with the same spec except its time, its orders and `edits`."""
        if name == new_name_:
            raise errors.AlreadyExists(f"AgentJob {name!r} cannot run again under its own name; choose another.")
        try:
            job = yield from self._own(name, uid)
        except errors.NotFound as absent:
            return (yield from self._rerun_recorded(uid or name, new_name_, absent, edits=edits))
        labels, edits = copied_labels(job.labels), actual_edits(job.spec, edits)
        if job.status.resolved is not None and job.status.resolved.template and not edits:
            # The accepted spec, not the template's current content. With changes the template merges them, as in a new
            # job: in the accepted spec the parameters are already replaced with their values.
            return (yield from self._rerun_recorded(job.uid, new_name_, None, labels))
        # The work may contain the time of its schedule.
        times = {name: job.annotations[name] for name in _TIMES if name in job.annotations}
        template = (yield from self._template_of(job.spec)) if edits else None
        return (yield from self._repeated(job, to_repeat(job.spec), new_name_, edits, labels, times, template))

    def _rerun_recorded(
        self,
        name: str,
        new_name_: str | None,
        absent: errors.NotFound | None,
        labels: Mapping[str, str] | None = None,
        edits: Edits = NO_EDITS,
    ) -> Operation[Job]:
        """Submit the work of a job from history. The labels of a deleted job are lost."""
        from agentjobs.api.job.resolve import (
            unresolved,  # imports jsonschema and the whole spec, which no other operation needs
        )

        try:
            answer = yield from self._read(f"/{segment(name)}/spec")
        except errors.AgentJobsError as error:
            cause = absent or "its work, merged with the template, is only in history"
            raise type(error)(f"{cause}; and from history: {error}") from error
        recorded = RecordedSpec.model_validate(answer)
        spec = unresolved(recorded.spec, name=recorded.name, uid=recorded.uid, parameters=recorded.parameters)
        merged = to_repeat(spec)
        return (yield from self._repeated(recorded, merged, new_name_, edits, labels or {}, {}, is_merged=True))

    def _repeated(
        self,
        old: Job | RecordedSpec,
        spec: Mapping[str, Any],
        new_name_: str | None,
        edits: Edits,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        template: "Template | None" = None,
        *,
        is_merged: bool = False,
    ) -> Operation[Job]:
        again, new = new_name_ or new_name(old.name), dict(spec)
        if edits:
            metadata = {"name": again, "annotations": annotations}
            spec = spec if template is None else not_skipped(spec, template)
            new = edited(spec, edits, metadata=metadata, template=template, is_merged=is_merged)
        labels = {**labels, **rerun_labels(old.name, old.uid, spec, new)}
        return (yield from self.submit(new, name=again, labels=labels, annotations=annotations))

    def _template_of(self, spec: Mapping[str, Any]) -> "Operation[Template | None]":
        """Read a job's template; None if it has none, or the caller may not read it: then only the operator checks.

        Raises:
            errors.Unchangeable: the template is gone or invalid, so the new job would wait for it.
        """
        from agentjobs.api.template.read import template_of  # imports jsonschema, which no other operation needs

        name = (spec.get("templateRef") or {}).get("name")
        if not name:
            return None
        path = f"{self.path().removesuffix(self.plural)}agenttemplates/{segment(name)}"
        try:
            return template_of(name, 0, (yield from self._sent(Send("GET", path)))["spec"])
        except errors.Denied:
            return None
        except (errors.NotFound, ValidationError) as error:
            state = "does not exist" if isinstance(error, errors.NotFound) else "is invalid"
            raise errors.Unchangeable(
                f"spec.templateRef.name: template {name} {state}; run the job again without changes"
            ) from error

    def wait(self, name: str, *, timeout: float | None) -> Operation[Job]:
        """Return the job when it has ended."""
        return (yield from self._states(name, timeout=timeout, emit=False))

    def watch(self, name: str, *, timeout: float | None) -> Stream[Job]:
        """Emit the current job and each change, until it has ended."""
        yield from self._states(name, timeout=timeout, emit=True)

    def result(self, name: str) -> Operation[Result]:
        """Read the final result."""
        answer = yield from self._read(f"/{segment(name)}/result")
        return RecordedResult.model_validate(answer).result

    def job_history(self, name: str) -> Operation[JobHistory]:
        """Read a job from history."""
        return JobHistory.model_validate((yield from self._read(f"/{segment(name)}")))

    def tree(self, name: str) -> Operation[Tree]:
        """Read the jobs before a job and its follow-ups, from the cluster and from history."""
        return (yield from tree_of(self, name))

    def recorded_tree(self, name: str) -> Operation[RecordedTree]:
        """Read the same from history only."""
        return RecordedTree.model_validate((yield from self._read(f"/{segment(name)}/tree")))

    def history(self, chosen: JobFilter = EVERY_JOB, *, everywhere: bool = False) -> Stream[RecordedJob]:
        """Emit the jobs of history that match a filter, in its order; optionally of all namespaces."""
        params: dict[str, Any] = {"limit": str(PAGE)}
        for parameter, value in chosen.query():
            params.setdefault(parameter, []).append(value)
        path = "/v1/agentjobs" if everywhere else f"/v1/namespaces/{segment(self.namespace)}/agentjobs"

        def page(parameters: Mapping[str, Any]) -> Operation[Mapping[str, Any]]:
            return (yield from self._sent(Send("GET", path, params=parameters, server=Server.GATEWAY)))

        return paged(page, RecordedJobs.model_validate, params)

    def events(self, name: str, *, start: int | None, follow: bool) -> Stream[RecordedEntry]:
        """Emit the entries of a job's timelines; with `follow` continue until the job has ended."""
        below = f"/{segment(name)}/events"
        params = {"limit": str(PAGE)} | ({"start": str(start)} if start else {})
        last = (0, -1)
        while True:
            ended = not follow or (yield from self._has_ended(name))
            try:
                page = RecordedEntries.model_validate((yield from self._read(below, **params)))
            except errors.NotFound:
                if ended:
                    raise
                page = RecordedEntries(items=[], cursor=None)
            for event in page.items:
                if (event.start, event.seq) > last:
                    last = event.start, event.seq
                    yield Emit(event)
            if page.cursor is not None:
                params = params | {"cursor": page.cursor}
            elif ended:
                return
            else:
                yield Sleep(EVENTS_SECONDS)

    def steps(self, name: str, *, start: int | None) -> Stream[RecordedStep]:
        """Emit the recorded steps of a job in recording order."""
        params = {"limit": str(PAGE)} | ({"start": str(start)} if start else {})
        below = f"/{segment(name)}/steps"
        return paged(lambda page: self._read(below, **page), RecordedSteps.model_validate, params)

    def step(self, name: str, number: int) -> Operation[StepContent]:
        """Read one recorded step of a job with its result."""
        return StepContent.model_validate((yield from self._read(f"/{segment(name)}/steps/{number}")))

    def newest_events(self, name: str, *, start: int, count: int) -> "Operation[Sequence[RecordedEntry]]":
        """Read the last entries of a start's timeline, in order; `count` is at most a page's length."""
        params = {"limit": str(count), "start": str(start), "newest": "true"}
        page = RecordedEntries.model_validate((yield from self._read(f"/{segment(name)}/events", **params)))
        return sorted(page.items, key=lambda event: event.seq)

    def _own(self, name: str, uid: str | None) -> Operation[Job]:
        """Read a job; if it has another uid it is treated as deleted."""
        job = yield from self.get(name)
        if uid not in (None, job.uid):
            raise deleted(name)
        return job

    def _ordered(self, name: str, uid: str | None, order: Callable[[Job], Mapping[str, Any]]) -> Operation[Job]:
        """Change a job, unless the order has no effect, but would make its status look outdated.

        No order has an effect on a job that has ended, and only `cancel` on one that is cancelled.
        """
        for _ in range(_ORDER_TRIES):
            job = yield from self._own(name, uid)
            change = order(job)
            if job.finished or (job.cancelled and "cancel" not in change["spec"]):
                return job
            precondition = {"resourceVersion": job.version, **change.get("metadata", {})}
            try:
                return Job.parse((yield from self._patched(name, {**change, "metadata": precondition})))
            except errors.Conflict:
                yield Sleep(FIRST_PAUSE_SECONDS)
        raise errors.Conflict(f"AgentJob {name!r} changes too often; try again.")

    def _has_ended(self, name: str) -> Operation[bool]:
        """Whether no more events can follow. A job that is not in history yet must still be in the cluster."""
        try:
            job = (yield from self.job_history(name)).job
        except errors.NotFound:
            return (yield from self.get(name)).finished
        return job.finished is not None or job.deleted is not None

    def _states(self, name: str, *, timeout: float | None, emit: bool) -> States:
        deadline = None if timeout is None else (yield Now()) + timeout
        job = yield from self.get(name)
        if emit:
            yield Emit(job)
        while not job.finished:
            began = yield Now()
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - began)
            if left <= 0:
                raise TimeoutError(f"AgentJob {name!r} did not end within {timeout:g} s; it is {job.phase}.")
            # After a broken watch the job is read again below.
            with suppress(errors.Unavailable, errors.Gone):
                job = yield from self._changes(job, left, deadline, emit=emit)
            if not job.finished:
                if (yield Now()) - began < min(REOPEN_SECONDS, left):
                    yield Sleep(min(REOPEN_SECONDS, left))
                before, job = job, (yield from self.again(job))
                if emit and (job.finished or job.version != before.version):
                    yield Emit(job)
        return job

    def _changes(self, job: Job, seconds: float, deadline: float | None, *, emit: bool) -> States:
        """Watch the job until it, the watch or the time ends; return it as last seen."""
        params = {
            "watch": "true",
            "fieldSelector": f"metadata.name={job.name}",
            "resourceVersion": job.version,
            # The read timeout restarts with each event, so the server gets a timeout as well.
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        yield Listen(self.path(), params, seconds)
        while not job.finished and (line := (yield NextLine())) is not None:
            change = json.loads(line) if line.strip() else {}
            if change.get("type") in {"ADDED", "MODIFIED", "DELETED"}:
                job = _same_object(job, Job.parse(change["object"]))
                if change["type"] == "DELETED" and not job.finished:
                    raise deleted(job.name)
                if emit:
                    yield Emit(job)
            if change.get("type") == "ERROR" or (deadline is not None and (yield Now()) >= deadline):
                break
        return job

    def again(self, job: Job) -> Operation[Job]:
        """Read the job again, from history if its object is deleted or another one has its name.

        Raises:
            errors.NotFound: it was deleted before its end, or history cannot be read.
        """
        try:
            return _same_object(job, (yield from self.get(job.name)))
        except errors.NotFound:
            if (ended := (yield from recorded_end(self, job))) is not None:
                return ended
            raise deleted(job.name) from None

    def _read(self, below: str, **params: str) -> Operation[Mapping[str, Any]]:
        path = f"/v1/namespaces/{segment(self.namespace)}/agentjobs{below}"
        return (yield from self._sent(Send("GET", path, params=params, server=Server.GATEWAY)))


def of_template(
    template: str, parameters: Mapping[str, str] | None, *, message: str | None, spec: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the spec of a job of a template; omitted fields are the template's."""
    whole = {**(spec or {}), "templateRef": {"name": template}}
    if parameters:
        whole["parameters"] = {**whole.get("parameters", {}), **parameters}
    if message is not None:
        given = {key: value for key, value in (whole.get("input") or {}).items() if key != "messageFrom"}
        whole["input"] = {**given, "message": message}
    return whole


def _resumption(job: Job) -> dict[str, Any]:
    body: dict[str, Any] = {"spec": {"suspend": False}}
    suspended = find_condition(job.status.conditions, ConditionType.SUSPENDED)
    if suspended and suspended.is_true and suspended.reason == SuspendedReason.RULE:
        # Only then: otherwise the value would immediately resume the next suspension by a rule.
        body["metadata"] = {"annotations": {ANNOTATION_RESUME: secrets.token_hex(8)}}
    return body


def _the_same(found: Job, wanted: Mapping[str, Any]) -> Job:
    if found.deleting:
        raise errors.AlreadyExists(f"AgentJob {found.name!r} is being deleted; submit again after that.")
    if other := differences(wanted, found.spec):
        raise errors.AlreadyExists(
            f"AgentJob {found.name!r} already exists with other work: {', '.join(other[:5])} "
            f"{'differs' if len(other) == 1 else 'differ'}. Choose another name, or delete it first."
        )
    return found


def _same_object(before: Job, after: Job) -> Job:
    if after.uid != before.uid:
        raise deleted(before.name)
    return after


def deleted(name: str) -> errors.NotFound:
    """Return the error for a job that was deleted before its end."""
    return errors.NotFound(f"{name} was deleted; `agentjobs history {name}` shows how far it got.")
