"""The follow-up jobs of a finished job.

The write that ends a job lists its matching follow-ups (`requested`). Then `planned` returns the jobs of each, under
names that depend only on the parent, so that a repetition creates the same. The parent's answer is only inserted as
text: it cannot choose template, queue or image, and names in it are not replaced. Pure.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Raw
from pydantic import TypeAdapter, ValidationError

from agentjobs.api.answers import Missing, Reader, Whole, as_text, whole
from agentjobs.api.composition import Unusable, ValueOf, composed, escaped, filled
from agentjobs.api.conditions import FollowUpReason
from agentjobs.api.job.follow_up_rules import FOR_EACH
from agentjobs.api.job.relations import MAX_AFTER, MAX_ITEMS, MAX_PARAMETER, FollowUp
from agentjobs.api.job.resolve import template_of
from agentjobs.api.job.spec import MAX_JOB_NAME, MAX_SPEC_BYTES
from agentjobs.api.job.status import AgentJobStatus, FollowUpStatus
from agentjobs.api.job.workspace import Workspace
from agentjobs.api.substitution import names_of
from agentjobs.contract import (
    ANNOTATION_DEPTH,
    ANNOTATION_PARENT_UID,
    ANNOTATION_ROOT,
    GROUP,
    LABEL_FOLLOW_UP,
    LABEL_PARENT,
    LABEL_TEMPLATE,
    MANAGED_BY,
    VERSION,
    Resolved,
)
from agentjobs.core.job.observation import Job, ParentRecord
from agentjobs.core.pods.volume_claims import worktree_claim

MAX_MESSAGE_BYTES: Final = 64 * 1024
TTL_SECONDS: Final = 24 * 60 * 60
_HASH_CHARS: Final = 8
_LIST: Final = TypeAdapter(tuple[FollowUp, ...])
_AFTER: Final = "after."
_NO_ITEM: Final = Reader(Raw(b"null"))


@dataclass(frozen=True, slots=True)
class Unmade:
    """Why the jobs of a follow-up cannot be created."""

    reason: FollowUpReason
    message: str


class _Stop(Exception):
    def __init__(self, reason: FollowUpReason, message: str) -> None:
        super().__init__(message)
        self.unmade = Unmade(reason, message)


def accepted_follow_ups(resolved: Resolved) -> tuple[FollowUp, ...] | None:
    """Return the accepted follow-ups of a job; None if this version cannot read them."""
    try:
        return _LIST.validate_python(resolved["spec"].get("followUps") or (), extra="ignore")
    except ValidationError:
        return None


def requested(follow_ups: Iterable[FollowUp], status: AgentJobStatus) -> tuple[FollowUpStatus, ...]:
    """Return the follow-ups that match the end of a job, by phase and outcome."""
    phase, outcome = status.phase, status.result.outcome if status.result else None
    return tuple(
        FollowUpStatus(follow_up.name)
        for follow_up in follow_ups
        if phase in (follow_up.when or ("Succeeded",)) and (not follow_up.outcomes or outcome in follow_up.outcomes)
    )


def child_name(job: str, uid: str, follow_up: str, index: int | None = None) -> str:
    """Return the name of a follow-up's job: `<job>-<follow-up>-<8 hexadecimal digits>`.

    The job's name is cut to fit; name, uid and item number are hashed into the digits. Dots are replaced, because they
    would separate parts of a path in texts of other jobs.
    """
    named = "\n".join((uid, job, follow_up, "" if index is None else str(index)))
    digits = hashlib.sha256(named.encode()).hexdigest()[:_HASH_CHARS]
    head = job[: MAX_JOB_NAME - _HASH_CHARS - 2 - len(follow_up)].rstrip(".-")
    return f"{head.replace('.', '-')}-{follow_up}-{digits}"


class Plans:
    """The follow-up jobs of one job, by follow-up.

    Args:
        follow_ups: the accepted ones.
        depth: the maximum number of jobs before one in a chain.
    """

    def __init__(self, job: Job, record: ParentRecord, follow_ups: Sequence[FollowUp], *, depth: int) -> None:
        self._job = job
        self._record = record
        self._follow_ups = {follow_up.name: follow_up for follow_up in follow_ups}
        self._requested = {follow_up.name for follow_up in job.status.follow_ups or requested(follow_ups, job.status)}
        self._depth = depth
        self._answer: tuple[Whole, Reader] | None = None
        template = template_of(record.resolved) if record.resolved else None
        self._names = names_of(job.object["metadata"], template["parameters"] if template else None)

    def before(self, name: str) -> tuple[str, ...]:
        """Return the matching follow-ups whose jobs this one waits for."""
        known = self._follow_ups.get(name)
        return (
            () if known is None else tuple(other for other in known.after if other in self._requested and other != name)
        )

    def planned(self, name: str) -> tuple[dict[str, Any], ...] | Unmade:
        """Return all AgentJobs of a follow-up, or why none can be created."""
        try:
            return self._planned(name)
        except _Stop as stop:
            return stop.unmade
        except (msgspec.MsgspecError, RecursionError) as error:
            return Unmade(FollowUpReason.UNUSABLE_TEXT, f"the answer cannot be read: {error}")

    def _planned(self, name: str) -> tuple[dict[str, Any], ...]:
        follow_up = self._known(name)
        if self._child_depth > self._depth:
            chain = f"it would be job {self._child_depth + 1} of a chain; at most {self._depth + 1} are allowed"
            raise _Stop(FollowUpReason.DEPTH_EXCEEDED, chain)
        after = [child for predecessor in self.before(name) for child in self._jobs(predecessor)]
        if len(after) > MAX_AFTER:
            raise _Stop(FollowUpReason.TOO_MANY, f"after leads to {len(after)} jobs; at most {MAX_AFTER} are allowed")
        items = self._items(follow_up)
        if items is None:
            return (self._body(follow_up, after, None, _NO_ITEM),)
        return tuple(self._body(follow_up, after, index, Reader(item)) for index, item in enumerate(items))

    def _known(self, name: str) -> FollowUp:
        if (follow_up := self._follow_ups.get(name)) is None:
            raise _Stop(FollowUpReason.MISSING_RESULT, "the accepted job has no follow-up of this name")
        return follow_up

    def _jobs(self, name: str) -> list[str]:
        """Return the names of the jobs of a follow-up."""
        items = self._items(self._known(name))
        numbers: list[int | None] = [None] if items is None else list(range(len(items)))
        return [child_name(self._job.name, self._job.uid, name, number) for number in numbers]

    def _items(self, follow_up: FollowUp) -> list[Raw] | None:
        """Return the items of `forEach`, each as JSON; None without it."""
        if follow_up.for_each is None:
            return None
        match = FOR_EACH.fullmatch(follow_up.for_each)
        found = self._result(match[1]) if match else Raw(b"null")
        if bytes(memoryview(found)[:1]) != b"[":
            raise _Stop(FollowUpReason.NO_LIST, f"forEach: {follow_up.for_each} is not a list")
        items = msgspec.json.decode(found, type=list[Raw])
        if len(items) > MAX_ITEMS:
            what = f"forEach: {follow_up.for_each} has {len(items)} items; at most {MAX_ITEMS} are allowed"
            raise _Stop(FollowUpReason.TOO_MANY, what)
        return items

    @property
    def _child_depth(self) -> int:
        lineage = self._job.lineage
        return (lineage.depth if lineage else 0) + 1

    def _body(self, follow_up: FollowUp, after: list[str], index: int | None, item: Reader) -> dict[str, Any]:
        job, lineage = self._job, self._job.lineage
        metadata = {
            "namespace": job.namespace,
            "name": child_name(job.name, job.uid, follow_up.name, index),
            "labels": {
                LABEL_PARENT: job.name,
                LABEL_FOLLOW_UP: follow_up.name,
                LABEL_TEMPLATE: follow_up.template_ref.name,
                "app.kubernetes.io/managed-by": MANAGED_BY,
            },
            "annotations": {
                ANNOTATION_PARENT_UID: job.uid,
                ANNOTATION_ROOT: lineage.root if lineage else job.name,
                ANNOTATION_DEPTH: str(self._child_depth),
            },
        }
        spec = self._spec(follow_up, after, index, item)
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "AgentJob", "metadata": metadata, "spec": spec}

    def _spec(self, follow_up: FollowUp, after: list[str], index: int | None, item: Reader) -> dict[str, Any]:
        def value_of(name: str) -> str | None:
            return self._value(follow_up, name, index, item, waits=bool(after))

        given = follow_up.model_dump(mode="json", by_alias=True, exclude_none=True)
        spec: dict[str, Any] = {
            key: given[key] for key in ("templateRef", "queue", "priority", "startAfter") if key in given
        }
        if follow_up.parameters:
            spec["parameters"] = {key: _parameter(key, text, value_of) for key, text in follow_up.parameters.items()}
        if follow_up.input is not None:
            spec["input"] = {"message": _message(follow_up.input.message, value_of)}
        if after:
            spec["after"] = {"jobs": after}
        if "Session" in follow_up.inherit:
            spec["session"] = self._session()
        if "Workspace" in follow_up.inherit:
            spec["workspace"] = self._workspace()
        spec["ttlSecondsAfterFinished"] = TTL_SECONDS
        if (size := len(msgspec.json.encode(spec))) > MAX_SPEC_BYTES:
            raise _Stop(
                FollowUpReason.TEXT_TOO_LONG, f"the spec would have {size} bytes; at most {MAX_SPEC_BYTES} are allowed"
            )
        return spec

    def _session(self) -> dict[str, Any]:
        session = (self._record.resolved or {"spec": {}})["spec"].get("session") or {}
        return {**{key: session[key] for key in ("appName", "userId", "sessionId")}, "mode": "Continue"}

    def _workspace(self) -> dict[str, Any]:
        """Return the accepted repository and worktree of the job. The follow-up's template decides what is published.

        The volume is referred to by name: if it is gone, the job waits instead of creating an empty one. Credentials
        for reading are passed on with their address.
        """
        given = (self._record.resolved or {"spec": {}})["spec"].get("workspace") or {}
        try:
            workspace = Workspace.model_validate(given)
        except ValidationError:
            raise _Stop(FollowUpReason.SPEC_UNREADABLE, "the job's workspace cannot be read") from None
        if not (claim := worktree_claim(workspace)):
            raise _Stop(FollowUpReason.MISSING_RESULT, "inherit: the job has no Named worktree")
        git = workspace.git.model_dump(mode="json", by_alias=True, exclude_none=True)
        if workspace.git.ref is not None:
            git["ref"] = escaped(workspace.git.ref)
        worktree = {"mode": "Named", "name": workspace.worktree.name}
        return {"git": git, "worktree": worktree, "claimName": claim, "size": workspace.size}

    def _value(self, follow_up: FollowUp, name: str, index: int | None, item: Reader, *, waits: bool) -> str | None:
        """Return the value of a name in a follow-up's text; None for a name that the follow-up's job replaces."""
        first, _, path = name.partition(".")
        if first == "result":
            return as_text(self._result(name))
        if first == "item" and follow_up.for_each is not None:
            return as_text(_at(item, path, name))
        if name == "index" and index is not None:
            return str(index)
        if first == "parent" and (value := self._of_parent(path)) is not None:
            return value
        if name.startswith(_AFTER) and follow_up.after:
            # Without jobs to wait for, its job has no such names.
            return None if waits else "[]" if path == "results" else _missing(name, "it waits for no job")
        if (value := self._names.get(name)) is not None:
            return value
        return _missing(name, "has no value here")

    def _of_parent(self, name: str) -> str | None:
        job, result = self._job, self._job.status.result
        return {
            "name": job.name,
            "uid": job.uid,
            "phase": job.status.phase.value if job.status.phase else "",
            "reason": job.status.reason or "",
            "outcome": (result and result.outcome) or "",
            "summary": result.summary if result else "",
        }.get(name)

    def _result(self, name: str) -> Raw:
        """Return the value of `result.<path>` in the answer; `result` alone is its whole text."""
        if self._record.answer is None:
            return _missing(name, "the job has no stored answer")
        if self._answer is None:
            answer = whole(self._record.answer)
            self._answer = answer, Reader(answer.content)
        answer, content = self._answer
        if answer.is_cut:
            return _missing(name, "the answer was too large to be stored completely")
        _, _, path = name.partition(".")
        return _at(content, path, name) if path else answer.text


def _at(reader: Reader, path: str, name: str) -> Raw:
    found = reader.at(path.split(".") if path else ())
    if isinstance(found, Missing):
        there = f"there are {', '.join(found.known)}" if found.known else "it is not an object or list"
        return _missing(name, f"no such value; at {found.at or 'its beginning'} {there}")
    return found


def _missing(name: str, why: str) -> NoReturn:
    raise _Stop(FollowUpReason.MISSING_RESULT, f"$({name[:120]}): {why}")


def _bounded(value_of: ValueOf, most: int, place: str) -> ValueOf:
    """Fail early if repeated long values would exceed the limit of a text."""
    left = most

    def bounded(name: str) -> str | None:
        nonlocal left
        value = value_of(name)
        left -= len(value or "")
        if left < 0:
            raise _Stop(FollowUpReason.TEXT_TOO_LONG, f"{place}: its values exceed {most} characters")
        return value

    return bounded


def _message(text: str, value_of: ValueOf) -> str:
    try:
        message = composed(text, _bounded(value_of, MAX_MESSAGE_BYTES, "input.message"))
    except Unusable as unusable:
        raise _Stop(FollowUpReason.UNUSABLE_TEXT, f"input.message: {unusable}") from unusable
    if (size := len(message.encode())) > MAX_MESSAGE_BYTES:
        raise _Stop(
            FollowUpReason.TEXT_TOO_LONG, f"input.message: {size} bytes; at most {MAX_MESSAGE_BYTES} are allowed"
        )
    if not message:
        raise _Stop(FollowUpReason.UNUSABLE_TEXT, "input.message: it is empty")
    return message


def _parameter(name: str, text: str, value_of: ValueOf) -> str:
    try:
        value = filled(text, _bounded(value_of, MAX_PARAMETER, f"parameters.{name}"))
    except Unusable as unusable:
        raise _Stop(FollowUpReason.UNUSABLE_TEXT, f"parameters.{name}: {unusable}") from unusable
    if len(value) > MAX_PARAMETER:
        length = f"parameters.{name}: {len(value)} characters; at most {MAX_PARAMETER} are allowed"
        raise _Stop(FollowUpReason.TEXT_TOO_LONG, length)
    return value
