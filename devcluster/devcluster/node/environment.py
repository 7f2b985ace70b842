"""The environment of a container: `env`, `envFrom` and their references, `$(VAR)`, and real paths.

Pure except for the `Lookup` argument. Error messages are the kubelet's, because they go into the pod's status.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from devcluster.client import Object

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(Exception):
    """A container cannot be created from its spec: CreateContainerConfigError. Retried, since objects may appear."""


class Lookup(Protocol):
    """Reads objects of the pod's namespace that a pod may refer to; None when they do not exist."""

    async def config_map(self, name: str) -> Object | None: ...

    async def secret(self, name: str) -> Mapping[str, bytes] | None: ...


@dataclass(frozen=True, slots=True)
class Paths:
    """The real paths of a container's paths, since there are no mount namespaces."""

    mounts: Mapping[str, Path]
    """The real folder of each mountPath."""
    termination_path: str
    termination_file: Path

    def real(self, value: str) -> str:
        """Return the real path for a value that is or begins with a path of the container, else the value."""
        if value == self.termination_path:
            return str(self.termination_file)
        for mount in sorted(self.mounts, key=len, reverse=True):
            bare = mount.rstrip("/")
            if value == bare or value.startswith(bare + "/"):
                return str(self.mounts[mount]) + value[len(bare) :]
        return value


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(VAR)` with its value; `$$` is a dollar sign, and references to unknown names stay."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return variables.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replace, text)


def field_value(pod: Object, path: str, *, address: str) -> str:
    """Return the value of a `fieldRef`; raises `ConfigError` for a path the downward API does not have."""
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata[path.removeprefix("metadata.")])
        case "metadata.labels" | "metadata.annotations":
            entries = metadata.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f'{key}="{value}"' for key, value in sorted(entries.items()))
        case "spec.nodeName":
            return str(spec.get("nodeName", ""))
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "default")
        case "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs":
            return address
    raise ConfigError(f"unsupported fieldPath: {path}")


async def container_env(
    container: Object, pod: Object, lookup: Lookup, *, paths: Paths, address: str
) -> dict[str, str]:
    """Return the variables of the container's `envFrom` and `env`, with references resolved and real paths."""
    env: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        env |= await _from_source(source, lookup)
    for entry in container.get("env") or []:
        value = await _value(entry, pod, lookup, env, address)
        if value is not None:
            env[entry["name"]] = paths.real(value)
    return env


def process_env(
    env: Mapping[str, str],
    *,
    inherited: Mapping[str, str],
    command_path: Path,
    working_folder: Path,
    home: Path,
    temporary: Path,
) -> dict[str, str]:
    """Add variables of an image unless they are set: HOME, TMPDIR, and a PATH with this interpreter's folder first."""
    base = {"LANG": "C.UTF-8", "HOME": str(home), "TMPDIR": str(temporary), **inherited}
    result = base | dict(env)
    own_path = env.get("PATH") or os.environ.get("PATH", os.defpath)
    result["PATH"] = os.pathsep.join([str(command_path), own_path])
    result["PYTHONPATH"] = os.pathsep.join(part for part in (env.get("PYTHONPATH", ""), str(working_folder)) if part)
    return result


def command_line(container: Object, env: Mapping[str, str], paths: Paths) -> list[str]:
    """Return command and args, expanded. Raises `ConfigError` without a command, since no image has one."""
    words: Sequence[str] = [*(container.get("command") or []), *(container.get("args") or [])]
    if not container.get("command"):
        raise ConfigError("no command specified: the process node has no images, so containers need `command`")
    return [paths.real(expand(word, env)) for word in words]


async def _value(entry: Object, pod: Object, lookup: Lookup, env: Mapping[str, str], address: str) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value") or "", env)
    if field := source.get("fieldRef"):
        return field_value(pod, field["fieldPath"], address=address)
    if reference := source.get("configMapKeyRef"):
        return await _config_map_key(reference, lookup, pod["metadata"]["namespace"])
    if reference := source.get("secretKeyRef"):
        return await _secret_key(reference, lookup, pod["metadata"]["namespace"])
    raise ConfigError(f"env {entry['name']}: valueFrom {', '.join(source)} is not supported by the process node")


async def _config_map_key(reference: Object, lookup: Lookup, namespace: str) -> str | None:
    name, key = reference["name"], reference["key"]
    found = await lookup.config_map(name)
    data = (found or {}).get("data") or {}
    if key in data:
        return str(data[key])
    if reference.get("optional"):
        return None
    if found is None:
        raise ConfigError(f'configmap "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in ConfigMap {namespace}/{name}")


async def _secret_key(reference: Object, lookup: Lookup, namespace: str) -> str | None:
    name, key = reference["name"], reference["key"]
    found = await lookup.secret(name)
    if found is not None and key in found:
        return found[key].decode(errors="replace")
    if reference.get("optional"):
        return None
    if found is None:
        raise ConfigError(f'secret "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in Secret {namespace}/{name}")


async def _from_source(source: Object, lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if reference := source.get("configMapRef"):
        found = await lookup.config_map(reference["name"])
        if found is None and not reference.get("optional"):
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        return {prefix + key: str(value) for key, value in ((found or {}).get("data") or {}).items()}
    reference = source.get("secretRef") or {}
    secret = await lookup.secret(reference.get("name", ""))
    if secret is None and not reference.get("optional"):
        raise ConfigError(f'secret "{reference.get("name", "")}" not found')
    return {prefix + key: value.decode(errors="replace") for key, value in (secret or {}).items()}
