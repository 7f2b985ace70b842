"""Running a job again: what the new job takes over from the old one, and changes to it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agentjobs import errors
from agentjobs.api.changes import of_one_run
from agentjobs.api.job.relations import is_of_a_trigger
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import (
    LABEL_FOLLOW_UP,
    LABEL_PARENT,
    LABEL_RERUN_CHANGES,
    LABEL_RERUN_OF,
    LABEL_RERUN_OF_UID,
    LABEL_SCHEDULE,
)

if TYPE_CHECKING:
    from agentjobs.api.template.read import Template

_Value = TypeVar("_Value")

# Labels by which other tools, and our schedules, find their objects, and those that describe the old job's origin.
_OWNED: Final = frozenset(
    {
        *("app.kubernetes.io/instance", "app.kubernetes.io/managed-by"),
        *(LABEL_SCHEDULE, LABEL_PARENT, LABEL_FOLLOW_UP),
        *(LABEL_RERUN_OF, LABEL_RERUN_OF_UID, LABEL_RERUN_CHANGES),
    }
)
_TOOLS: Final = ("argocd.argoproj.io", "toolkit.fluxcd.io", "helm.sh", "kustomize.config.k8s.io", "kapp.k14s.io")
_MAX_LABEL: Final = 63
_COUNT_ENDED: Final = ("Successful", "All")
"""Values of `unique.states` with which a job is skipped because an equal one has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Changes to the work of a job that runs again; None keeps the old value."""

    message: str | None = None
    """`input.message`; it also replaces `input.messageFrom`."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Entries of `parameters`; others keep their values."""
    model: str | None = None
    """`agent.model`."""
    max_attempts: int | None = None
    """`retry.maxAttempts`."""
    budget: Mapping[str, str | int] = field(default_factory=dict)
    """Limits of `budget`, by their names in the spec; others keep their values."""

    def __bool__(self) -> bool:
        return bool(self.parameters or self.budget) or any(
            value is not None for value in (self.message, self.model, self.max_attempts)
        )


NO_EDITS: Final = Edits()


def actual_edits(spec: Mapping[str, Any], edits: Edits) -> Edits:
    """Return the edits without values that the job's own spec has already.

    So a job with a template runs the work that was accepted, and the template as it is now only if something changes.
    """
    own = {name: spec.get(name) or {} for name in ("input", "parameters", "agent", "retry", "budget")}
    return Edits(
        message=_unless(edits.message, own["input"].get("message")),
        parameters={name: value for name, value in edits.parameters.items() if own["parameters"].get(name) != value},
        model=_unless(edits.model, own["agent"].get("model")),
        max_attempts=_unless(edits.max_attempts, own["retry"].get("maxAttempts")),
        budget={name: value for name, value in edits.budget.items() if own["budget"].get(name) != value},
    )


def _unless(value: _Value | None, old: object) -> _Value | None:
    return None if value == old else value


def to_repeat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Remove from a spec what belongs to one run: its time and its orders.

    Repeating a unique job runs it although it ran before; it still does not run next to an equal job.
    """
    left = of_one_run(AgentJobSpec)
    kept = {key: value for key, value in spec.items() if key not in left}
    if (unique := kept.get("unique")) and unique.get("states") in _COUNT_ENDED:
        kept["unique"] = {**unique, "states": "Incomplete"}
    return kept


def not_skipped(spec: Mapping[str, Any], template: "Template") -> Mapping[str, Any]:
    """Return the spec of a job with a template so that the template's `unique` does not skip it, as `to_repeat` does.

    A template that locks `unique` decides alone.
    """
    above = template.work.get("unique") or {}
    # What a trigger set is dropped where the template has a `unique`.
    own = {} if is_of_a_trigger(spec) else spec.get("unique") or {}
    if above.get("states") not in _COUNT_ENDED or "states" in own or "unique" in template.locked:
        return spec
    return {**spec, "unique": {**own, "states": "Incomplete"}}


def edited(
    spec: Mapping[str, Any],
    edits: Edits,
    *,
    metadata: Mapping[str, Any],
    template: "Template | None" = None,
    is_merged: bool = False,
) -> dict[str, Any]:
    """Return the spec of a job with changes.

    Args:
        spec: the job's own spec, or the accepted one without derived values.
        metadata: of the new job, whose name and annotations have the values of names in texts.
        template: its template as it is now; None if it has none, or if the caller may not read it.
        is_merged: whether the spec is from history, which has no reference to the template.

    Raises:
        errors.Unchangeable: the job cannot have a value; the message has the field, the value and a cure.
    """
    new = dict(spec)
    if edits.message is not None:
        new["input"] = _with_message(spec, edits.message, template)
    if edits.parameters:
        new["parameters"] = _with_parameters(spec, edits.parameters, is_merged=is_merged)
    if edits.model is not None:
        new["agent"] = {**(spec.get("agent") or {}), "model": edits.model}
    if edits.max_attempts is not None:
        new["retry"] = {**(spec.get("retry") or {}), "maxAttempts": edits.max_attempts}
    if edits.budget:
        new["budget"] = {**(spec.get("budget") or {}), **edits.budget}
    _check(spec, new, metadata, template)
    return new


def _with_message(spec: Mapping[str, Any], message: str, template: "Template | None") -> dict[str, Any]:
    """Return a spec's `input` with another message, unless its template makes the message."""
    given, named = spec.get("input") or {}, _template_of(spec)
    if named and not _has_message(given) and (template is None or _has_message(template.work.get("input") or {})):
        raise _refused(("input", "message"), message, f"is made by template {named}; change parameters")
    return {**{key: value for key, value in given.items() if key != "messageFrom"}, "message": message}


def _with_parameters(spec: Mapping[str, Any], changed: Mapping[str, str], *, is_merged: bool) -> dict[str, str]:
    """Return a spec's `parameters` with other values, if it has a template that declares them."""
    if not _template_of(spec):
        why = (
            "cannot be set: the object of this job is gone, and history has its spec without the parameters; "
            "change the message, or run the template"
            if is_merged
            else "cannot be set, because this job has no template; change the message"
        )
        first, value = next(iter(changed.items()))
        raise _refused(("parameters", first), value, why)
    return {**(spec.get("parameters") or {}), **changed}


def _template_of(spec: Mapping[str, Any]) -> str | None:
    return (spec.get("templateRef") or {}).get("name")


def rerun_labels(name: str, uid: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of the new job: the job that it repeats, and the fields that differ, without their values."""
    labels = {LABEL_RERUN_OF_UID: uid} | ({LABEL_RERUN_OF: name} if len(name) <= _MAX_LABEL else {})
    if changed := changed_fields(before, after):
        labels[LABEL_RERUN_CHANGES] = "_".join(changed)
    return labels


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that `Edits` sets and in which two specs differ."""
    fields = (("input", "message"), ("parameters",), ("agent", "model"), ("retry", "maxAttempts"), ("budget",))
    return tuple(".".join(path) for path in fields if _at(before, path) != _at(after, path))


def copied_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of the old job that the new one has, too."""
    return {key: value for key, value in labels.items() if not _is_bookkeeping(key)}


def _is_bookkeeping(label: str) -> bool:
    """Whether a label marks another tool's object: that tool would list or prune a copy with it."""
    domain, slash, _ = label.partition("/")
    return label in _OWNED or (bool(slash) and any(domain == each or domain.endswith(f".{each}") for each in _TOOLS))


def _check(
    before: Mapping[str, Any], after: Mapping[str, Any], metadata: Mapping[str, Any], template: "Template | None"
) -> None:
    """Refuse problems that the changes add. The old ones are the operator's: it may know more than this version."""
    # They import jsonschema, which a rerun without changes does not need.
    from agentjobs.api.job.validation import validate_job
    from agentjobs.api.template.read import read_job

    def problems(spec: Mapping[str, Any]) -> list[str]:
        job = {"metadata": metadata, "spec": spec}
        return [str(problem) for problem in (read_job(job, template).problems if template else validate_job(job))]

    old = set(problems(before))
    new = problems(after)
    if added := [problem for problem in new if problem not in old]:
        raise errors.Unchangeable("; ".join(added))


def _has_message(given: Mapping[str, Any]) -> bool:
    return bool(given.get("message") or given.get("messageFrom"))


def _refused(path: tuple[str, ...], value: str, why: str) -> errors.Unchangeable:
    from agentjobs.api.problems import field_name, shown

    return errors.Unchangeable(f"{field_name(path)}: {shown(value)} {why}.")


def _at(spec: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = spec
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
