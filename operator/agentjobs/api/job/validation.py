"""Checks all rules of a job when it is accepted, and returns all problems at once.

The CRD checks most of them at `kubectl apply`. They are repeated here because API servers without CEL, older stored
objects and ways around the CRD must not differ, and because a schema cannot express some rules: sizes in bytes, the
tree of agents, the state keys that instructions read. For any object this returns problems and never raises.
"""

import difflib
import json
import keyword
import math
import posixpath
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.fields import MAX_PARTITION_KEY
from agentjobs.api.job.output import schema_problems
from agentjobs.api.job.run_config import run_config_problems
from agentjobs.api.job.runtime import RESERVED_ENV_PREFIX
from agentjobs.api.job.spec import MAX_JOB_NAME, MAX_SCHEMA_BYTES, MAX_SPEC_BYTES, MAX_STATE_BYTES, AgentJobSpec
from agentjobs.api.job.step_rules import step_problems
from agentjobs.api.job.team import Raw, as_list, as_object, scripted_problems, team_problems
from agentjobs.api.problems import MAX_PROBLEMS, Path, Problem, field_name, from_error, problem_at, rejection, shown
from agentjobs.api.substitution import expanded, names_of, substitution_problems
from agentjobs.contract import TOKEN_MOUNT, ErrorClass
from agentjobs.durations import parse_duration

__all__ = ["Problem", "read_spec", "rejection", "validate_job"]

MAX_DEPTH: Final = 64
"""Deeper values overflow the stack of code that reads or writes them recursively, such as ours and PostgreSQL's."""
RESERVED_DOMAINS: Final = frozenset({"agentjobs.dev", "app.kubernetes.io", "kubernetes.io", "k8s.io"})
RESERVED_VOLUMES: Final = ("tmp", "token")
RESERVED_PATHS: Final = frozenset({"/", "/dev", "/proc", "/sys", "/tmp", TOKEN_MOUNT})  # noqa: S108  refused, not used
RESTRICTED_VOLUMES: Final = frozenset(
    {
        "name",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
"""Fields of a volume that the Pod Security Standard `restricted` admits."""
API_AUDIENCE: Final = "https://kubernetes.default"
"""Prefix of the API server's audiences, and the audience of a token that names none."""
MIN_TIMEOUT: Final = timedelta(seconds=1)
"""`activeDeadlineSeconds` of a pod is a whole number of at least one."""


def validate_job(job: object) -> list[Problem]:
    """Return all that is wrong with an AgentJob as it came from the API server; empty when it may run.

    At most `MAX_PROBLEMS`. Never raises.
    """
    spec = read_spec(job)
    return [] if isinstance(spec, AgentJobSpec) else spec


def read_spec(job: object) -> AgentJobSpec | list[Problem]:
    """Return the spec of an AgentJob as it came from the API server, or all that is wrong with the job.

    At most `MAX_PROBLEMS`. Never raises.
    """
    body = as_object(job)
    name = as_object(body.get("metadata")).get("name")
    found = list(_name_problems(name))
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        return [
            *found,
            Problem("spec", "" if spec is None else shown(spec), "is not an object; it needs agent and input"),
        ]
    # With one of these, nothing else is checked: no object, however large or malformed, may delay other jobs.
    fatal = list(_size_problems((), spec, MAX_SPEC_BYTES)) or list(_hostile_content(spec))
    if fatal:
        return [*found, *fatal]
    found += _size_problems(("input", "state"), as_object(spec.get("input")).get("state"), MAX_STATE_BYTES)
    found += _size_problems(("output", "schema"), as_object(spec.get("output")).get("schema"), MAX_SCHEMA_BYTES)
    model = _model(spec)
    found += model if isinstance(model, list) else ()
    found += _rule_problems(spec)
    found += team_problems(spec, job=name if isinstance(name, str) else "")
    names = names_of(as_object(body.get("metadata")))
    found += substitution_problems(spec, names)
    found += _partition_problems(spec.get("partitionKey"), names)
    return found[:MAX_PROBLEMS] if found or isinstance(model, list) else model


def _partition_problems(key: object, names: Mapping[str, str]) -> Iterator[Problem]:
    # A key that is too long before its names are replaced is reported by the model.
    if isinstance(key, str) and len(key) <= MAX_PARTITION_KEY < len(expanded(key, names)):
        cure = f"is too long once its names have values; use at most {MAX_PARTITION_KEY} characters"
        yield problem_at(("partitionKey",), key, cure)


def _name_problems(name: object) -> Iterator[Problem]:
    if not isinstance(name, str) or not name:
        yield Problem("metadata.name", "" if name is None else shown(name), "is not a name")
    elif len(name) > MAX_JOB_NAME:
        yield Problem(
            "metadata.name",
            shown(name),
            f"has {len(name)} characters; use at most {MAX_JOB_NAME}, it becomes a label value and part of pod names",
        )


def _hostile_content(spec: Raw) -> Iterator[Problem]:
    """Find values that JSON can carry, but a database or a recursive function cannot."""
    waiting: list[tuple[Path, object]] = [((), spec)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > MAX_DEPTH:
            yield Problem(field_name(path), "", f"is nested too deeply; use at most {MAX_DEPTH} levels")
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
                yield Problem(field_name(path), "", fault)
                return
        elif isinstance(value, int | float) and not _is_portable(value):
            yield Problem(
                field_name(path), shown(value), "is not a number that JSON carries safely; use 64 bits at most"
            )
            return


def _is_portable(number: float) -> bool:
    return number.bit_length() <= 63 if isinstance(number, int) else math.isfinite(number)


def _text_fault(text: str) -> str:
    if "\0" in text:
        return "holds the character U+0000, which no database stores; remove it"
    return "" if text.isascii() or _is_unicode(text) else "holds half a surrogate pair; use valid Unicode"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size_problems(path: Path, value: object, most: int) -> Iterator[Problem]:
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
        yield Problem(field_name(path), "", message, AcceptedReason.SPEC_TOO_LARGE)


def _model(spec: Raw) -> AgentJobSpec | list[Problem]:
    try:
        return AgentJobSpec.model_validate(spec)
    except ValidationError as refused:
        return [from_error(error) for error in refused.errors(include_url=False)[:MAX_PROBLEMS]]


def _rule_problems(spec: Raw) -> Iterator[Problem]:
    """Check the rules between fields. Values of wrong types are skipped: the models report them."""
    if spec.get("startAt") is not None and spec.get("startAfter") is not None:
        yield problem_at(("startAfter",), spec["startAfter"], "and startAt exclude each other; remove one")
    yield from _exactly_one(("agent",), spec.get("agent"), ("inline", "module"))
    yield from _exactly_one(("input",), spec.get("input"), ("message", "messageFrom"))
    yield from _output_problems(spec.get("output"))
    for problem in schema_problems(as_object(spec.get("output")).get("schema")):
        yield Problem("spec.output.schema", "", problem)
    agent = as_object(spec.get("agent"))
    yield from scripted_problems(("agent", "model"), agent.get("model"))
    yield from run_config_problems(agent.get("runConfig"))
    yield from _module_problems(as_object(agent.get("module")))
    if as_object(spec.get("session")).get("appName") == "user":
        yield problem_at(("session", "appName"), "user", "is ADK's name for the person; use another")
    yield from _timeout_problems(spec)
    yield from step_problems(spec)
    yield from _env_problems(spec)
    yield from _policy_problems(spec)
    profile = as_object(spec.get("isolation")).get("profile")
    yield from _pod_problems(as_object(spec.get("runtime")), restricted=profile != "Baseline")
    yield from _egress_problems(as_object(as_object(spec.get("isolation")).get("egress")))


def _module_problems(module: Raw) -> Iterator[Problem]:
    args = as_object(module.get("args"))
    for name in args:
        if not str(name).isidentifier() or keyword.iskeyword(str(name)):
            cure = "cannot be the name of an argument in Python; use letters, digits and _"
            yield problem_at(("agent", "module", "args", str(name)), name, cure)
    ref = module.get("ref")
    if args and isinstance(ref, str) and ":" not in ref:
        cure = "are given to a function, but ref names none; name it after a colon, e.g. my_app.agents:make"
        yield Problem("spec.agent.module.args", "", cure)


def _exactly_one(path: Path, value: object, members: tuple[str, ...]) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        return
    present = [member for member in members if value.get(member) is not None]
    if not present:
        yield Problem(field_name(path), "", f"needs one of {' and '.join(members)}")
    elif len(present) > 1:
        yield Problem(field_name(path), "", f"has {' and '.join(present)}, which exclude each other; keep one")


def _output_problems(output: object) -> Iterator[Problem]:
    if not isinstance(output, Mapping):
        return
    if not any(output.get(member) is not None for member in ("schema", "schemaFrom", "fromState", "outcomeKey")):
        yield Problem("spec.output", "", "needs one of schema, schemaFrom, fromState and outcomeKey")
    if output.get("schema") is not None and output.get("schemaFrom") is not None:
        yield Problem("spec.output", "", "has schema and schemaFrom, which exclude each other; keep one")


def _egress_problems(egress: Raw) -> Iterator[Problem]:
    rules = as_list(egress.get("allow"))
    here: Path = ("isolation", "egress", "allow")
    if rules and egress.get("mode") != "Restricted":
        yield Problem(field_name(here), "", "goes with mode Restricted only; set it, or remove this")
    for number, rule in enumerate(rules):
        if isinstance(rule, Mapping) and not as_list(rule.get("to")) and not as_list(rule.get("ports")):
            yield Problem(field_name((*here, number)), "", "allows everything; name peers in to, or ports")
        for place, peer in enumerate(as_list(as_object(rule).get("to"))):
            yield from _peer_problems((*here, number, "to", place), as_object(peer))
        for place, port in enumerate(as_list(as_object(rule).get("ports"))):
            yield from _port_problems((*here, number, "ports", place), as_object(port))


def _peer_problems(path: Path, peer: Raw) -> Iterator[Problem]:
    selectors = [name for name in ("namespaceSelector", "podSelector") if peer.get(name) is not None]
    if peer.get("ipBlock") is not None and selectors:
        yield Problem(field_name(path), "", f"has ipBlock and {selectors[0]}, which exclude each other; keep one")
    if peer.get("ipBlock") is None and not selectors:
        yield Problem(field_name(path), "", "needs ipBlock, namespaceSelector or podSelector")


def _port_problems(path: Path, port: Raw) -> Iterator[Problem]:
    first, last = port.get("port"), port.get("endPort")
    if isinstance(last, int) and not (isinstance(first, int) and first <= last):
        yield problem_at((*path, "endPort"), last, "ends a range that begins at port; set port to a smaller number")


def _pod_problems(runtime: Raw, *, restricted: bool) -> Iterator[Problem]:
    if restricted and runtime.get("runAsUser") == 0:
        cure = "is root; use another user, or isolation.profile Baseline"
        yield problem_at(("runtime", "runAsUser"), 0, cure)
    for kind in ("labels", "annotations"):
        for key in as_object(runtime.get(kind)):
            if isinstance(key, str) and key.partition("/")[0] in RESERVED_DOMAINS:
                yield problem_at(("runtime", kind, key), key, "is ours; use a domain of your own")
    yield from _volume_problems(runtime, restricted=restricted)
    for number, source in enumerate(as_list(runtime.get("envFrom"))):
        yield from _exactly_one(("runtime", "envFrom", number), source, ("configMapRef", "secretRef"))
    if runtime.get("automountServiceAccountToken") is True and not runtime.get("serviceAccountName"):
        cure = "needs serviceAccountName: agents get no token of the default account"
        yield Problem(field_name(("runtime", "automountServiceAccountToken")), "true", cure)


def _volume_problems(runtime: Raw, *, restricted: bool) -> Iterator[Problem]:
    names = set(RESERVED_VOLUMES)
    for number, volume in enumerate(as_list(runtime.get("volumes"))):
        here: Path = ("runtime", "volumes", number)
        name = as_object(volume).get("name")
        if not isinstance(name, str) or not name:
            yield Problem(field_name((*here, "name")), "", "is required: volumeMounts name it")
        elif name in names:
            yield problem_at((*here, "name"), name, f"is taken; {' and '.join(RESERVED_VOLUMES)} are ours")
        else:
            names.add(name)
        if as_object(volume).get("hostPath") is not None:
            yield Problem(field_name((*here, "hostPath")), "", "is not allowed: agents must not see their node's files")
        elif restricted and (others := sorted(map(str, as_object(volume).keys() - RESTRICTED_VOLUMES))):
            cure = "is not a volume of the profile Restricted; use a claim, or isolation.profile Baseline"
            yield Problem(field_name((*here, others[0])), "", cure)
        for place, source in enumerate(as_list(as_object(as_object(volume).get("projected")).get("sources"))):
            yield from _credential_problems(runtime, (*here, "projected", "sources", place), as_object(source))
    for number, mount in enumerate(as_list(runtime.get("volumeMounts"))):
        here = ("runtime", "volumeMounts", number)
        name, path = as_object(mount).get("name"), as_object(mount).get("mountPath")
        if isinstance(name, str) and name not in names - set(RESERVED_VOLUMES):
            yield problem_at((*here, "name"), name, "is not a volume of runtime.volumes")
        if isinstance(path, str) and posixpath.normpath(path) in RESERVED_PATHS:
            yield problem_at((*here, "mountPath"), path, "is taken; choose another path")


def _credential_problems(runtime: Raw, path: Path, source: Raw) -> Iterator[Problem]:
    """Check a projected source: it may give credentials of the pod, whatever `automountServiceAccountToken` says."""
    for kind in ("serviceAccountToken", "podCertificate"):
        if source.get(kind) is None:
            continue
        if not runtime.get("serviceAccountName"):
            cure = "needs runtime.serviceAccountName: agents get no credentials of the default account"
            yield Problem(field_name((*path, kind)), "", cure)
        elif _opens_the_api(kind, as_object(source[kind])) and runtime.get("automountServiceAccountToken") is not True:
            cure = "is a credential for the API server; set runtime.automountServiceAccountToken, or name an audience"
            yield Problem(field_name((*path, kind)), "", cure)


def _opens_the_api(kind: str, source: Raw) -> bool:
    if kind == "podCertificate":
        return str(source.get("signerName")).startswith("kubernetes.io/kube-apiserver-client")
    return str(source.get("audience") or API_AUDIENCE).startswith(API_AUDIENCE)


def _policy_problems(spec: Raw) -> Iterator[Problem]:
    rules = as_object(spec.get("resultPolicy")).get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        here: Path = ("resultPolicy", "rules", number)
        if not isinstance(rule, Mapping):
            continue
        if not any(rule.get(matcher) for matcher in ("onErrors", "onOutcomes", "onExitCodes", "onPodConditions")):
            yield Problem(field_name(here), "", "needs a matcher: onErrors, onOutcomes, onExitCodes or onPodConditions")
        if rule.get("onOutcomes") and rule.get("onErrors"):
            cure = "has onErrors and onOutcomes, but no ending has an error and an outcome; make two rules"
            yield Problem(field_name(here), "", cure)
        if rule.get("onOutcomes") and spec.get("output") is None:
            cure = "needs output: an answer without a schema has no outcome"
            yield Problem(field_name((*here, "onOutcomes")), "", cure)
        errors = rule.get("onErrors")
        for place, name in enumerate(errors if isinstance(errors, list) else ()):
            if isinstance(name, str) and name not in set(ErrorClass):
                near = difflib.get_close_matches(name, list(ErrorClass), n=1)
                cure = (
                    f"; did you mean {near[0]}?"
                    if near
                    else "; docs/reference/conditions.md lists the classes of errors"
                )
                yield problem_at((*here, "onErrors", place), name, f"is not a class of errors{cure}")
        if rule.get("delay") is not None and rule.get("action") not in ("Retry", "Snooze"):
            yield problem_at((*here, "delay"), rule["delay"], "goes with the actions Retry and Snooze only; remove it")


def _timeout_problems(spec: Raw) -> Iterator[Problem]:
    timeouts = as_object(spec.get("timeouts"))
    for name in ("attempt", "progress", "queue", "running"):
        text = timeouts.get(name)
        try:
            if text is not None and parse_duration(text) < MIN_TIMEOUT:
                yield problem_at(("timeouts", name), text, "is too short; use at least 1s")
        except ValueError:
            continue


def _env_problems(spec: Raw) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, entry in enumerate(as_list(as_object(spec.get("runtime")).get("env"))):
        path: Path = ("runtime", "env", index)
        variable = as_object(entry)
        name = variable.get("name")
        if isinstance(name, str):
            if name in seen:
                yield problem_at((*path, "name"), name, "is set twice; keep one")
            if name.startswith(RESERVED_ENV_PREFIX):
                yield problem_at((*path, "name"), name, f"is ours; use a name without the prefix {RESERVED_ENV_PREFIX}")
            seen.add(name)
        yield from _env_source_problems(path, variable)


def _env_source_problems(path: Path, variable: Mapping[str, Any]) -> Iterator[Problem]:
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield Problem(field_name(path), "", "has value and valueFrom, which exclude each other; keep one")
    members = ("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef")
    yield from _exactly_one((*path, "valueFrom"), source, members)
