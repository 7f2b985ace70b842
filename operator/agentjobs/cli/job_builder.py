"""From a command line to an AgentJob: `run`'s flags and file as one object. Pure except for reading the file.

Flags have the names of the fields they set, and override the file's.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agentjobs.api.job.agent import AGENT_KINDS
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.run_flags import DEFAULT_MODEL
from agentjobs.contract import GROUP, VERSION

DAY_SECONDS: Final = 86400
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A job to run, and the other objects of its file."""

    job: dict[str, Any]
    others: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The job's name; empty if neither file nor flag has one."""
        return str(self.job["metadata"].get("name") or "")

    def config_maps(self) -> dict[tuple[str, str], str]:
        """Texts of the file's ConfigMaps, by name and key."""
        return {
            (str(body["metadata"]["name"]), str(key)): str(text)
            for body in self.others
            if body["kind"] == "ConfigMap"
            for key, text in (body.get("data") or {}).items()
        }


def work_of(file: str | None, *, name: str | None, fields: Mapping[Path, Any], kind: str | None = None) -> Work:
    """Return the job of `file` (or a new one) with `fields` set in its spec.

    `kind` is the member of `agent` to run, if a flag names it.

    A file's generateName gets its random digits here, so that a retried request creates no second job.

    Raises:
        Failure: the file does not have exactly one AgentJob, or the agent or its message is missing.
    """
    named = bool(fields.get(("templateRef", "name")))
    work = _read(file, may_lack_job=named) if file else Work(_new())
    spec = work.job.setdefault("spec", {})
    if not isinstance(spec, dict):
        raise Failure(f"{file}: spec is not a mapping.", code=USAGE)
    for path, value in fields.items():
        put(spec, path, value)
    if kind is not None:
        put(spec, ("agent", kind), {})
    agent, given = spec.get("agent") or {}, spec.get("input") or {}
    if given.get("message") and fields.get(("input", "message")):
        given.pop("messageFrom", None)
    if not spec.get("templateRef"):
        _check_whole(agent, given)
        spec.setdefault("ttlSecondsAfterFinished", DAY_SECONDS)
    stem = work.job["metadata"].pop("generateName", None)
    if name or (stem and not work.name):
        work.job["metadata"]["name"] = name or f"{stem}{secrets.token_hex(4)}"
    return work


def _new() -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "AgentJob", "metadata": {}}


def _check_whole(agent: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Without a template the job itself must define the agent; a model alone is an agent without an instruction."""
    if agent.get("claudeCode") is not None:
        agent["model"] = agent.get("model") or DEFAULT_MODEL
    elif agent.get("container") is None and not any(agent.get(member) for member in AGENT_KINDS):
        if not agent.get("model"):
            cure = "give --model and --instruction, or --module, or --claude, or --template, or -f FILE"
            raise Failure(f"nothing to run: {cure}.", code=USAGE)
        agent["inline"] = {}
    if not given:
        raise Failure("no message for the agent: give a MESSAGE.", code=USAGE)


def pairs(values: Sequence[str] | None, flag: str, *, form: str = "KEY=VALUE") -> dict[str, str]:
    """Return `KEY=VALUE` arguments as a mapping; `form` is what the flag's help calls them."""
    found = {}
    for text in values or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Failure(f"{flag} {text!r}: write {form}.", code=USAGE)
        found[key] = value
    return found


def _read(file: str, *, may_lack_job: bool) -> Work:
    from agentjobs.cli.manifests import read

    bodies = [manifest.body for manifest in read([file], generated=True)]
    jobs = [body for body in bodies if body["kind"] == "AgentJob"]
    if not jobs and may_lack_job:
        return Work(_new(), bodies)
    if len(jobs) != 1:
        raise Failure(
            f"{file} has {len(jobs)} AgentJobs; `run` needs exactly one, `apply` takes any number.", code=USAGE
        )
    return Work(jobs[0], [body for body in bodies if body is not jobs[0]])


def put(spec: dict[str, Any], path: Path, value: Any) -> None:
    """Set a field of a spec; add to it if it is a mapping."""
    place = spec
    for key in path[:-1]:
        below = place.get(key)
        if not isinstance(below, dict):
            below = place[key] = {}
        place = below
    old = place.get(path[-1])
    place[path[-1]] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
