"""Rules about the pod of a job: its user, labels, variables, volumes and credentials.

Works on raw specs, like `team`. Called by `validation`.
"""

import posixpath
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from agentjobs.api.job.runtime import RESERVED_ENV_PREFIX
from agentjobs.api.job.team import Raw, as_list, as_object
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at
from agentjobs.contract import GIT_CACHE_CLAIM, TOKEN_MOUNT, WORKSPACE_MOUNTS, WORKSPACE_VOLUMES

RESERVED_DOMAINS: Final = frozenset({"agentjobs.dev", "app.kubernetes.io", "kubernetes.io", "k8s.io"})
RESERVED_VOLUMES: Final = ("tmp", "token", *WORKSPACE_VOLUMES)
RESERVED_PATHS: Final = frozenset({"/", "/dev", "/proc", "/sys", "/tmp", TOKEN_MOUNT, *WORKSPACE_MOUNTS})  # noqa: S108  refused, not used
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
"""Prefix of the API server's audiences, and the default audience of a token."""


def exactly_one(path: Path, value: object, members: tuple[str, ...]) -> Iterator[FieldProblem]:
    """Yield a problem unless the object at `path` has exactly one of the members."""
    if not isinstance(value, Mapping):
        return
    present = [member for member in members if value.get(member) is not None]
    if not present:
        yield FieldProblem(field_name(path), "", f"needs one of {_listed(members)}", lacking=True)
    elif len(present) > 1:
        yield FieldProblem(field_name(path), "", f"has {' and '.join(present)}, which exclude each other; keep one")


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def pod_problems(spec: Raw) -> Iterator[FieldProblem]:
    """Yield the problems of `runtime` that can be found without an API server."""
    runtime = as_object(spec.get("runtime"))
    restricted = as_object(spec.get("isolation")).get("profile") != "Baseline"
    yield from _env_problems(spec)
    if restricted and runtime.get("runAsUser") == 0:
        cure = "is root; use another user, or isolation.profile Baseline"
        yield problem_at(("runtime", "runAsUser"), 0, cure, lacking=True)
    for kind in ("labels", "annotations"):
        for key in as_object(runtime.get(kind)):
            if isinstance(key, str) and key.partition("/")[0] in RESERVED_DOMAINS:
                yield problem_at(("runtime", kind, key), key, "is reserved for AgentJobs; use your own domain")
    yield from _volume_problems(runtime, restricted=restricted)
    for index, source in enumerate(as_list(runtime.get("envFrom"))):
        yield from exactly_one(("runtime", "envFrom", index), source, ("configMapRef", "secretRef"))
    if runtime.get("automountServiceAccountToken") is True and not runtime.get("serviceAccountName"):
        cure = "needs serviceAccountName: agents must not use the default account"
        yield FieldProblem(field_name(("runtime", "automountServiceAccountToken")), "true", cure, lacking=True)


def _volume_problems(runtime: Raw, *, restricted: bool) -> Iterator[FieldProblem]:
    names = set(RESERVED_VOLUMES)
    for index, volume in enumerate(as_list(runtime.get("volumes"))):
        path: Path = ("runtime", "volumes", index)
        name = as_object(volume).get("name")
        if not isinstance(name, str) or not name:
            yield FieldProblem(field_name((*path, "name")), "", "is required: volumeMounts refer to it")
        elif name in names:
            yield problem_at(
                (*path, "name"), name, f"is taken; use another name ({', '.join(RESERVED_VOLUMES)} are reserved)"
            )
        else:
            names.add(name)
        yield from _volume_source_problems(path, as_object(volume), runtime, restricted=restricted)
    yield from _mount_problems(runtime, names - set(RESERVED_VOLUMES))


def _volume_source_problems(path: Path, volume: Raw, runtime: Raw, *, restricted: bool) -> Iterator[FieldProblem]:
    if volume.get("hostPath") is not None:
        yield FieldProblem(
            field_name((*path, "hostPath")), "", "is not allowed: agents must not access files of their node"
        )
    elif restricted and (others := sorted(map(str, volume.keys() - RESTRICTED_VOLUMES))):
        cure = "is not allowed in profile Restricted; use a claim, or isolation.profile Baseline"
        yield FieldProblem(field_name((*path, others[0])), "", cure, lacking=True)
    claim = as_object(volume.get("persistentVolumeClaim")).get("claimName")
    if claim == GIT_CACHE_CLAIM:
        cure = "holds repositories of other jobs; agents must not mount it"
        yield problem_at((*path, "persistentVolumeClaim", "claimName"), claim, cure)
    for index, source in enumerate(as_list(as_object(volume.get("projected")).get("sources"))):
        yield from _credential_problems(runtime, (*path, "projected", "sources", index), as_object(source))


def _mount_problems(runtime: Raw, volumes: Set[str]) -> Iterator[FieldProblem]:
    for index, entry in enumerate(as_list(runtime.get("volumeMounts"))):
        path: Path = ("runtime", "volumeMounts", index)
        name, place = as_object(entry).get("name"), as_object(entry).get("mountPath")
        if isinstance(name, str) and name not in volumes:
            yield problem_at((*path, "name"), name, "is not a volume of runtime.volumes", lacking=True)
        if isinstance(place, str) and posixpath.normpath(place) in RESERVED_PATHS:
            yield problem_at((*path, "mountPath"), place, "is taken; choose another path")


def _credential_problems(runtime: Raw, path: Path, source: Raw) -> Iterator[FieldProblem]:
    """Check a projected source, which can mount credentials despite `automountServiceAccountToken: false`."""
    for kind in ("serviceAccountToken", "podCertificate"):
        if source.get(kind) is None:
            continue
        if not runtime.get("serviceAccountName"):
            cure = "needs runtime.serviceAccountName: agents must not use the default account"
            yield FieldProblem(field_name((*path, kind)), "", cure, lacking=True)
        elif _opens_the_api(kind, as_object(source[kind])) and runtime.get("automountServiceAccountToken") is not True:
            cure = "is a credential for the API server; set runtime.automountServiceAccountToken, or name an audience"
            yield FieldProblem(field_name((*path, kind)), "", cure, lacking=True)


def _opens_the_api(kind: str, source: Raw) -> bool:
    if kind == "podCertificate":
        return str(source.get("signerName")).startswith("kubernetes.io/kube-apiserver-client")
    return str(source.get("audience") or API_AUDIENCE).startswith(API_AUDIENCE)


def _env_problems(spec: Raw) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for index, entry in enumerate(as_list(as_object(spec.get("runtime")).get("env"))):
        path: Path = ("runtime", "env", index)
        variable = as_object(entry)
        name = variable.get("name")
        if isinstance(name, str):
            if name in seen:
                yield problem_at((*path, "name"), name, "is set twice; keep one")
            if name.startswith(RESERVED_ENV_PREFIX):
                yield problem_at(
                    (*path, "name"), name, f"is reserved; use a name without the prefix {RESERVED_ENV_PREFIX}"
                )
            seen.add(name)
        yield from _env_source_problems(path, variable)


def _env_source_problems(path: Path, variable: Mapping[str, Any]) -> Iterator[FieldProblem]:
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield FieldProblem(field_name(path), "", "has value and valueFrom, which exclude each other; keep one")
    members = ("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef")
    yield from exactly_one((*path, "valueFrom"), source, members)
