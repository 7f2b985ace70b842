"""Checks all rules of a job when it is accepted, and returns all problems together.

The CRD checks most of them at `kubectl apply`. They are repeated here for older stored objects and API servers without
CEL, and because a schema cannot express some rules: sizes in bytes, the tree of agents, the state keys that
instructions read. Returns problems for any object and never raises.
"""

import difflib
import json
import keyword
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.job.after import after_problems
from agentjobs.api.job.agent import AGENT_KINDS
from agentjobs.api.job.coding_rules import coding_problems
from agentjobs.api.job.follow_up_rules import follow_up_problems
from agentjobs.api.job.output import schema_problems
from agentjobs.api.job.pod_rules import exactly_one, pod_problems
from agentjobs.api.job.run_config import run_config_problems
from agentjobs.api.job.spec import MAX_JOB_NAME, MAX_SCHEMA_BYTES, MAX_SPEC_BYTES, MAX_STATE_BYTES, AgentJobSpec
from agentjobs.api.job.step_rules import step_problems
from agentjobs.api.job.team import Raw, as_list, as_object, scripted_problems, team_problems
from agentjobs.api.job.workspace_rules import workspace_problems
from agentjobs.api.problems import (
    MAX_PROBLEMS,
    FieldProblem,
    Path,
    details,
    field_name,
    from_error,
    name_problems,
    problem_at,
    rejection,
    shown,
)
from agentjobs.api.substitution import (
    AFTER,
    PARAMETERS,
    growth,
    names_of,
    placeholder_faults,
    references,
    substituted,
    substitution_problems,
)
from agentjobs.api.template.merge import can_be_added
from agentjobs.contract import ErrorClass
from agentjobs.durations import parse_duration

__all__ = ["FieldProblem", "read_spec", "rejection", "validate_job"]

MAX_DEPTH: Final = 64
"""Deeper values overflow the stack of recursive code, such as ours and PostgreSQL's."""
MIN_TIMEOUT: Final = timedelta(seconds=1)
"""`activeDeadlineSeconds` of a pod is a whole number of at least one."""


def validate_job(job: object) -> list[FieldProblem]:
    """Return all problems of a raw AgentJob; empty if it may run.

    For a job with a template, those that can be found without the template. At most `MAX_PROBLEMS`. Never raises.
    """
    body = as_object(job)
    spec = as_object(body.get("spec"))
    if spec.get("templateRef") is not None:
        return part_problems(body, names_of(as_object(body.get("metadata"))), unknown=_unknown(spec, PARAMETERS))
    read = read_spec(job)
    return [] if isinstance(read, AgentJobSpec) else read


def read_spec(job: object) -> AgentJobSpec | list[FieldProblem]:
    """Return the spec of a raw AgentJob, or all problems of the job.

    At most `MAX_PROBLEMS`. Never raises.
    """
    return judged(job, names_of(as_object(as_object(job).get("metadata"))))


def judged(job: object, names: Mapping[str, str]) -> AgentJobSpec | list[FieldProblem]:
    """Return the spec of a whole job, or all its problems.

    Args:
        job: an AgentJob, whose spec may be merged from several layers.
        names: the names that its texts may use.
    """
    body = as_object(job)
    found, is_whole = _shallow_problems(body)
    if not is_whole:
        return found
    spec = as_object(body["spec"])
    model = _model(spec)
    found += _deep_problems(body, names, _unknown(spec))
    found += model if isinstance(model, list) else ()
    if not found:
        found += grown_problems(spec, names)
    return found[:MAX_PROBLEMS] if found or isinstance(model, list) else model


def part_problems(job: object, names: Mapping[str, str], *, unknown: tuple[str, ...] = ()) -> list[FieldProblem]:
    """Return the problems of an object that holds only a part of a job's spec, independent of the rest.

    Args:
        job: a job with a template, or a template's work as if it were a job.
        names: the names that its texts may use.
        unknown: prefixes of names that the rest may declare.
    """
    body = as_object(job)
    found, is_whole = _shallow_problems(body)
    if is_whole:
        model = _model(as_object(body["spec"]))
        found += model if isinstance(model, list) else ()
        found += _deep_problems(body, names, unknown)
    return [problem for problem in found if not problem.lacking][:MAX_PROBLEMS]


def _unknown(spec: Raw, *more: str) -> tuple[str, ...]:
    """Return the prefixes of names whose values are not known yet."""
    return (*more, *((AFTER,) if spec.get("after") is not None else ()))


def _shallow_problems(body: Raw) -> tuple[list[FieldProblem], bool]:
    """Return the obvious problems, and whether further checks are safe."""
    spec, name = body.get("spec"), as_object(body.get("metadata")).get("name")
    found = list(name_problems(name, most=MAX_JOB_NAME, because="it becomes a label value and part of pod names"))
    if not isinstance(spec, Mapping):
        cure = "is not an object; it needs agent and input"
        return [*found, FieldProblem("spec", "" if spec is None else shown(spec), cure)], False
    # With one of these, nothing else is checked, so that no large or malformed object delays other jobs.
    fatal = fatal_problems(spec)
    return [*found, *fatal], not fatal


def fatal_problems(spec: Raw) -> list[FieldProblem]:
    """Return problems that make further checks unsafe: size, or content that a database cannot store."""
    return list(_size_problems((), spec, MAX_SPEC_BYTES)) or list(_hostile_content(spec))


def _deep_problems(body: Raw, names: Mapping[str, str], unknown: tuple[str, ...]) -> Iterator[FieldProblem]:
    spec, name = as_object(body["spec"]), as_object(body.get("metadata")).get("name")
    yield from _size_problems(("input", "state"), as_object(spec.get("input")).get("state"), MAX_STATE_BYTES)
    yield from _size_problems(("output", "schema"), as_object(spec.get("output")).get("schema"), MAX_SCHEMA_BYTES)
    yield from _rule_problems(spec)
    yield from after_problems(spec, name if isinstance(name, str) else "")
    yield from team_problems(spec, job=name if isinstance(name, str) else "")
    yield from substitution_problems(spec, names, unknown)


def grown_problems(spec: Raw, names: Mapping[str, str]) -> Iterator[FieldProblem]:
    """Check a valid spec after its names are replaced with their values."""
    if not references(spec):
        return
    # Checked before the text is built: a few names, used often, can expand to megabytes.
    if (more := growth(spec, names)) > MAX_SPEC_BYTES:
        cure = f"grows by {more} characters once its names have values; use at most {MAX_SPEC_BYTES} bytes in all"
        yield FieldProblem("spec", "", cure, AcceptedReason.SPEC_TOO_LARGE)
        return
    grown = substituted(spec, names)
    faults = [*_size_problems((), grown, MAX_SPEC_BYTES), *_hostile_content(grown)]
    faults += _size_problems(("input", "state"), as_object(grown.get("input")).get("state"), MAX_STATE_BYTES)
    model = _model(grown)
    faults += model if isinstance(model, list) else workspace_problems(grown)
    yield from (replace(fault, message=f"{fault.message}, once its names have values") for fault in faults)
    yield from placeholder_faults(spec, names)


def _hostile_content(spec: Raw) -> Iterator[FieldProblem]:
    """Find values that are valid JSON, but that a database or a recursive function cannot handle."""
    waiting: list[tuple[Path, object]] = [((), spec)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > MAX_DEPTH:
            yield FieldProblem(field_name(path), "", f"is nested too deeply; use at most {MAX_DEPTH} levels")
            return
        if isinstance(value, Mapping):
            for key, item in value.items():
                waiting.append(((*path, "(a key)"), key))
                waiting.append(((*path, key if isinstance(key, str) else str(type(key))), item))
        elif isinstance(value, list | tuple):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, str):
            fault = _text_fault(value)
            if fault:
                yield FieldProblem(field_name(path), "", fault)
                return
        elif isinstance(value, int | float) and not _is_portable(value):
            yield FieldProblem(
                field_name(path), shown(value), "is not a number that JSON can represent; use at most 64 bits"
            )
            return


def _is_portable(number: float) -> bool:
    return number.bit_length() <= 63 if isinstance(number, int) else math.isfinite(number)


def _text_fault(text: str) -> str:
    if "\0" in text:
        return "contains the character U+0000, which the database cannot store; remove it"
    return "" if text.isascii() or _is_unicode(text) else "contains half a surrogate pair; use valid Unicode"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size_problems(path: Path, value: object, most: int) -> Iterator[FieldProblem]:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str, skipkeys=True)
    except (RecursionError, ValueError):
        return  # it cannot be serialized: _hostile_content has the better message
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > most:
        cure = (
            "pass a reference instead of the data" if path else "move long texts to a ConfigMap, see input.messageFrom"
        )
        message = f"has {size} bytes as JSON; use at most {most}, {cure}"
        yield FieldProblem(field_name(path), "", message, AcceptedReason.SPEC_TOO_LARGE)


def _model(spec: Raw) -> AgentJobSpec | list[FieldProblem]:
    try:
        return AgentJobSpec.model_validate(spec)
    except ValidationError as refused:
        return [_of_model(error) for error in details(refused)[:MAX_PROBLEMS]]


def _of_model(error: ErrorDetails) -> FieldProblem:
    problem = from_error(error)
    return replace(problem, lacking=False) if problem.lacking and not can_be_added(error["loc"]) else problem


def _rule_problems(spec: Raw) -> Iterator[FieldProblem]:
    """Check the rules between fields. Values of wrong types are skipped: the models report them."""
    if spec.get("startAt") is not None and spec.get("startAfter") is not None:
        yield problem_at(("startAfter",), spec["startAfter"], "and startAt exclude each other; remove one")
    yield from _unique_problems(spec)
    yield from exactly_one(("agent",), spec.get("agent"), AGENT_KINDS)
    yield from exactly_one(("input",), spec.get("input"), ("message", "messageFrom"))
    yield from _output_problems(spec.get("output"))
    for problem in schema_problems(as_object(spec.get("output")).get("schema")):
        yield FieldProblem("spec.output.schema", "", problem)
    agent = as_object(spec.get("agent"))
    yield from scripted_problems(("agent", "model"), agent.get("model"))
    yield from run_config_problems(agent.get("runConfig"))
    yield from _module_problems(as_object(agent.get("module")))
    if as_object(spec.get("session")).get("appName") == "user":
        yield problem_at(("session", "appName"), "user", "is reserved by ADK; use another name")
    yield from coding_problems(spec)
    yield from workspace_problems(spec)
    yield from _timeout_problems(spec)
    yield from step_problems(spec)
    yield from _policy_problems(spec)
    yield from pod_problems(spec)
    yield from follow_up_problems(spec)
    yield from _egress_problems(as_object(as_object(spec.get("isolation")).get("egress")))


def _module_problems(module: Raw) -> Iterator[FieldProblem]:
    args = as_object(module.get("args"))
    for name in args:
        if not str(name).isidentifier() or keyword.iskeyword(str(name)):
            cure = "is not a Python argument name; use letters, digits and _"
            yield problem_at(("agent", "module", "args", str(name)), name, cure)
    ref = module.get("ref")
    if args and isinstance(ref, str) and ":" not in ref:
        cure = "need a function, but ref names none; add it after a colon, e.g. my_app.agents:make"
        yield FieldProblem("spec.agent.module.args", "", cure)


def _output_problems(output: object) -> Iterator[FieldProblem]:
    if not isinstance(output, Mapping):
        return
    if not any(output.get(member) is not None for member in ("schema", "schemaFrom", "fromState", "outcomeKey")):
        yield FieldProblem("spec.output", "", "needs one of schema, schemaFrom, fromState and outcomeKey", lacking=True)
    if output.get("schema") is not None and output.get("schemaFrom") is not None:
        yield FieldProblem("spec.output", "", "has schema and schemaFrom, which exclude each other; keep one")


def _egress_problems(egress: Raw) -> Iterator[FieldProblem]:
    rules = as_list(egress.get("allow"))
    here: Path = ("isolation", "egress", "allow")
    if rules and egress.get("mode") != "Restricted":
        cure = "needs mode Restricted; set it, or remove this"
        yield FieldProblem(field_name(here), "", cure, lacking=egress.get("mode") is None)
    for number, rule in enumerate(rules):
        if isinstance(rule, Mapping) and not as_list(rule.get("to")) and not as_list(rule.get("ports")):
            yield FieldProblem(field_name((*here, number)), "", "allows everything; name destinations in to, or ports")
        for position, peer in enumerate(as_list(as_object(rule).get("to"))):
            yield from _peer_problems((*here, number, "to", position), as_object(peer))
        for position, port in enumerate(as_list(as_object(rule).get("ports"))):
            yield from _port_problems((*here, number, "ports", position), as_object(port))


def _peer_problems(path: Path, peer: Raw) -> Iterator[FieldProblem]:
    selectors = [name for name in ("namespaceSelector", "podSelector") if peer.get(name) is not None]
    if peer.get("ipBlock") is not None and selectors:
        yield FieldProblem(field_name(path), "", f"has ipBlock and {selectors[0]}, which exclude each other; keep one")
    if peer.get("ipBlock") is None and not selectors:
        yield FieldProblem(field_name(path), "", "needs ipBlock, namespaceSelector or podSelector")


def _port_problems(path: Path, port: Raw) -> Iterator[FieldProblem]:
    first, last = port.get("port"), port.get("endPort")
    if isinstance(last, int) and not (isinstance(first, int) and first <= last):
        yield problem_at((*path, "endPort"), last, "is the end of a range from port; set port to a smaller number")


def _policy_problems(spec: Raw) -> Iterator[FieldProblem]:
    rules = as_object(spec.get("resultPolicy")).get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        here: Path = ("resultPolicy", "rules", number)
        if not isinstance(rule, Mapping):
            continue
        if not any(rule.get(matcher) for matcher in ("onErrors", "onOutcomes", "onExitCodes", "onPodConditions")):
            cure = "needs a matcher: onErrors, onOutcomes, onExitCodes or onPodConditions"
            yield FieldProblem(field_name(here), "", cure, lacking=True)
        if rule.get("onOutcomes") and rule.get("onErrors"):
            cure = "has onErrors and onOutcomes, but no ending has both; use two rules"
            yield FieldProblem(field_name(here), "", cure)
        if rule.get("onOutcomes") and spec.get("output") is None:
            cure = "needs output: an answer without a schema has no outcome"
            yield FieldProblem(field_name((*here, "onOutcomes")), "", cure, lacking=True)
        errors = rule.get("onErrors")
        for position, name in enumerate(errors if isinstance(errors, list) else ()):
            if isinstance(name, str) and name not in set(ErrorClass):
                near = difflib.get_close_matches(name, list(ErrorClass), n=1)
                cure = (
                    f"; did you mean {near[0]}?" if near else "; docs/reference/conditions.md lists the error classes"
                )
                yield problem_at((*here, "onErrors", position), name, f"is not an error class{cure}")
        if rule.get("delay") is not None and rule.get("action") not in ("Retry", "Snooze"):
            cure = "only applies to the actions Retry and Snooze; remove it"
            yield problem_at((*here, "delay"), rule["delay"], cure, lacking=rule.get("action") is None)


def _unique_problems(spec: Raw) -> Iterator[FieldProblem]:
    period = as_object(spec.get("unique")).get("period")
    try:
        if period is not None and parse_duration(period) < MIN_TIMEOUT:
            yield problem_at(
                ("unique", "period"), period, "is too short; creation times have whole seconds, use at least 1s"
            )
    except ValueError:
        return


def _timeout_problems(spec: Raw) -> Iterator[FieldProblem]:
    timeouts = as_object(spec.get("timeouts"))
    for name in ("attempt", "progress", "queue", "running"):
        text = timeouts.get(name)
        try:
            if text is not None and parse_duration(text) < MIN_TIMEOUT:
                yield problem_at(("timeouts", name), text, "is too short; use at least 1s")
        except ValueError:
            continue
