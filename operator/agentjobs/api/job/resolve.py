"""Resolves the spec of a job: sets defaults, replaces `$(…)`, and inserts the contents of ConfigMaps.

The spec may be merged with a template: see `api.template.read`.

Called once for each job, when it is accepted. The result is stored and used by every start, even if the job is edited
later. Pure: the caller has read the ConfigMaps.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from agentjobs.api.changes import Changes, aliases
from agentjobs.api.composition import Unusable, composed, escaped
from agentjobs.api.job.agent import AgentBase, ConfigMapKey, scripted_model
from agentjobs.api.job.output import schema_problems
from agentjobs.api.job.references import ConfigMapKeyRef
from agentjobs.api.job.relations import is_of_a_trigger
from agentjobs.api.job.spec import AgentJobSpec, Input, Session, default_agent_name, default_app_name
from agentjobs.api.job.team import placeholder_problems
from agentjobs.api.job.validation import grown_problems
from agentjobs.api.job.workspace import Workspace
from agentjobs.api.problems import Path, from_error
from agentjobs.api.substitution import (
    AFTER,
    PARAMETERS,
    follow_up_texts,
    names_of,
    references,
    substituted,
    texts,
)
from agentjobs.api.template.merge import JOB, Layer, merged, without_references
from agentjobs.contract import AcceptedTemplate, Resolved
from agentjobs.errors import Invalid, NotFound

STEERING: Final = frozenset(aliases(AgentJobSpec, Changes.BEFORE_START, Changes.ALWAYS))
"""Fields that may change after acceptance. They are not part of the work or its hash."""
MAX_UNREADABLE: Final = 3
_MERGED: Final = ("templateRef", "parameters")  # consumed by merging and substitution
_AGENTS: Final = "agent.inline.agents[{}]"
_TEXT: Final = "…"
_NO_INSTRUCTION: Final[Mapping[str, None]] = {"instruction": None, "instruction_from": None}
_PROMPTS: Final = ("systemPrompt", "appendSystemPrompt", "mcpConfig")
_NO_PROMPTS: Final[Mapping[str, None]] = {
    **dict.fromkeys(("system_prompt", "append_system_prompt")),
    **dict.fromkeys(("mcp_config", "mcp_config_from")),
}
"""The prompts of Claude Code, which may be long: field names in Python and in the CRD."""


def config_map_keys(spec: AgentJobSpec) -> set[ConfigMapKey]:
    """Return the ConfigMap keys whose contents the job needs.

    Raises:
        ValueError: a scripted model without a key; `validate_job` reports it.
    """
    keys = set(_scripts(spec))
    if spec.input.message_from is not None:
        keys.add(_key(spec.input.message_from.config_map_key_ref))
    keys.update(key for _, key in _instructions(spec))
    if (reference := _mcp_config(spec)) is not None:
        keys.add(reference)
    if spec.output is not None and spec.output.schema_from is not None:
        keys.add(_key(spec.output.schema_from.config_map_key_ref))
    return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The inputs of a job's work in addition to its spec."""

    contents: Mapping[ConfigMapKey, str] = field(default_factory=dict)
    """Texts of the keys that `config_map_keys` names."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values of the template's parameters."""
    after: Mapping[str, str] = field(default_factory=dict)
    """Values of the names for answers of the jobs that it waited for: `after.<job>.<path>`."""
    steering: Mapping[str, Any] | None = None
    """The template's and queue's values of the fields of `STEERING`; None if the spec was merged with neither."""
    template: AcceptedTemplate | None = None


def resolve(job: Mapping[str, Any], contents: Mapping[ConfigMapKey, str]) -> Resolved:
    """Return the resolved spec of a valid AgentJob without a template; see `resolve_spec`."""
    return resolve_spec(AgentJobSpec.model_validate(job["spec"]), job["metadata"], Sources(contents=contents))


def resolve_spec(spec: AgentJobSpec, metadata: Mapping[str, Any], sources: Sources) -> Resolved:
    """Return the resolved spec of a job.

    Args:
        spec: the job's spec, as `read_job` returns it.
        metadata: the job's, with its name, uid and annotations.
        sources: the contents that the spec refers to.

    Raises:
        NotFound: a ConfigMap or key is missing; the job should wait for it.
        Invalid: a content or an answer cannot be used; the message names the place and the cure.
    """
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    names = names_of(metadata, sources.parameters, sources.after)
    for problem in grown_problems(dumped, names) if sources.after else ():
        raise Invalid(str(problem))
    # Before texts of ConfigMaps are inserted: they are data, and nothing in them is replaced.
    dumped = substituted(dumped, names)
    for name in _MERGED:
        dumped.pop(name, None)
    _put_in_texts(dumped, spec, sources.contents)
    if "inline" in dumped["agent"]:
        dumped["agent"]["inline"].setdefault("name", default_agent_name(metadata["name"]))
    app_name, user_id, session_id = spec.session_key(name=metadata["name"], uid=metadata["uid"])
    own = {"appName": app_name, "userId": user_id, "sessionId": session_id}
    dumped["session"] = {**own, "mode": spec.session.mode}
    keys = sorted(set(_scripts(spec)))
    scripts = {f"{key.name}/{key.key}": _content(sources.contents, key, "agent.model") for key in keys}
    resolved = Resolved(spec=dumped, scripts=scripts)
    if sources.steering is not None:
        resolved["steering"] = dict(sources.steering)
    if sources.template is not None:
        resolved["template"] = sources.template
    return resolved


def _put_in_texts(dumped: dict[str, Any], spec: AgentJobSpec, contents: Mapping[ConfigMapKey, str]) -> None:
    """Replace references to ConfigMaps with their contents."""
    reference = spec.input.message_from
    if reference is not None:
        dumped["input"].pop("messageFrom")
        key = _key(reference.config_map_key_ref)
        dumped["input"]["message"] = _content(contents, key, "input.messageFrom")
    for index, key in _instructions(spec):
        inline = dumped["agent"]["inline"]
        member, field = (inline, "agent.inline") if index is None else (inline["agents"][index], _AGENTS.format(index))
        member.pop("instructionFrom")
        member["instruction"] = _instruction(contents, key, f"{field}.instructionFrom", spec.input.state)
    if (config := _mcp_config(spec)) is not None:
        claude = dumped["agent"]["claudeCode"]
        claude.pop("mcpConfigFrom")
        claude["mcpConfig"] = _content(contents, config, "agent.claudeCode.mcpConfigFrom")
    if spec.output is not None and spec.output.schema_from is not None:
        key = _key(spec.output.schema_from.config_map_key_ref)
        dumped["output"].pop("schemaFrom")
        dumped["output"]["schema"] = _schema(contents, key)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An accepted spec with values that this version cannot read."""

    why: str
    """Names the fields."""


def read_accepted(resolved: Resolved) -> AgentJobSpec | Unreadable:
    """Return the spec of an accepted job like `accepted_spec`, or the values that this version cannot read.

    Unknown fields are ignored. An unknown value of a known field cannot be ignored: it may mean anything.
    """
    try:
        return accepted_spec(resolved)
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
        return Unreadable("; ".join(str(from_error(error)) for error in errors[:MAX_UNREADABLE]))
    except (AttributeError, KeyError, TypeError):
        return Unreadable("spec: has a format that this version cannot read")


def unresolved(
    spec: Mapping[str, Any], *, name: str, uid: str, parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return an accepted spec as the spec of a new job, without values derived from this job's name and uid.

    The new job must not share a session that was derived for this one. It has no template, so parameters in texts of
    follow-ups are replaced with their values, and all other texts are escaped, because they were already resolved.

    Raises:
        Invalid: a value cannot be used there.
    """
    spec = texts(spec, lambda _path, text: escaped(text))
    known = {f"{PARAMETERS}{key}": value for key, value in (parameters or {}).items()}
    try:
        spec = follow_up_texts(spec, lambda _path, text: composed(text, known.get))
    except Unusable as error:
        raise Invalid(f"a text of followUps cannot be resolved: {error}") from error
    return underived(spec, name=name, uid=uid)


def underived(spec: Mapping[str, Any], *, name: str, uid: str) -> dict[str, Any]:
    """Return an accepted spec without values derived from the job's name and uid; texts are unchanged."""
    session, agent = dict(spec.get("session") or {}), dict(spec.get("agent") or {})
    if session.get("sessionId") == uid:
        del session["sessionId"]
    inline = dict(agent.get("inline") or {})
    if session.get("appName", "") in {default_app_name(name), inline.get("name")}:
        del session["appName"]
    if inline.get("name") == default_agent_name(name):
        del inline["name"]
    more = {"agent": agent | ({"inline": inline} if "inline" in agent else {})}
    return {**spec, **more, "session": session}


def accepted_spec(resolved: Resolved) -> AgentJobSpec:
    """Return the spec of an accepted job for the operator's decisions, without the texts for its agents.

    Texts from ConfigMaps may exceed the limits of the fields that they replace. Unknown fields are ignored: a later
    version accepted the job, and then the operator was rolled back.

    Raises:
        ValidationError: a value that this version cannot read; see `read_accepted`.
    """
    spec = dict(resolved["spec"])
    spec["input"] = {**spec["input"], "message": _TEXT}
    inline = spec["agent"].get("inline")
    if inline is not None:
        agents = [_without_instruction(member) for member in inline.get("agents") or ()]
        spec["agent"] = {**spec["agent"], "inline": {**_without_instruction(inline), "agents": agents}}
    claude = spec["agent"].get("claudeCode")
    if claude is not None:
        kept = {key: value for key, value in claude.items() if key not in _PROMPTS}
        spec["agent"] = {**spec["agent"], "claudeCode": kept}
    return AgentJobSpec.model_validate(spec, extra="ignore")


def as_accepted(spec: AgentJobSpec, resolved: Resolved) -> AgentJobSpec:
    """Return what `accepted_spec` returns for `resolved`, from the original spec, without parsing."""
    known = resolved["spec"]
    changed: dict[str, Any] = {
        "input": Input.model_construct(message=_TEXT, state=known["input"]["state"]),
        "session": Session.model_validate(known["session"]),
        "partition_key": known.get("partitionKey"),
        "template_ref": None,
        "parameters": {},
    }
    if spec.unique is not None:
        changed["unique"] = spec.unique.model_copy(update={"key": known["unique"].get("key")})
    if (inline := spec.agent.inline) is not None:
        agents = tuple(agent.model_copy(update=_NO_INSTRUCTION) for agent in inline.agents)
        update = {**_NO_INSTRUCTION, "name": known["agent"]["inline"]["name"], "agents": agents}
        changed["agent"] = spec.agent.model_copy(update={"inline": inline.model_copy(update=update)})
    if (claude := spec.agent.claude_code) is not None:
        agent = {"claude_code": claude.model_copy(update=_NO_PROMPTS)}
        changed["agent"] = spec.agent.model_copy(update=agent)
    if spec.workspace is not None:
        changed["workspace"] = Workspace.model_validate(known["workspace"])
    if spec.output is not None and spec.output.schema_from is not None:
        schema = {"json_schema": known["output"]["schema"], "schema_from": None}
        changed["output"] = spec.output.model_copy(update=schema)
    return spec.model_copy(update=changed)


def _without_instruction(member: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in member.items() if key != "instruction"}


def template_of(resolved: Resolved) -> AcceptedTemplate | None:
    """Return the template of an accepted job, stored by any version; None if there is none."""
    stored: object = resolved.get("template")
    if not isinstance(stored, Mapping) or not isinstance(stored.get("name"), str):
        return None
    generation, given = stored.get("generation"), stored.get("parameters")
    return AcceptedTemplate(
        name=stored["name"],
        generation=generation if type(generation) is int else 0,
        locked=[str(field) for field in stored.get("locked") or ()],
        parameters={str(name): str(value) for name, value in (given if isinstance(given, Mapping) else {}).items()},
    )


def edited_fields(job: Mapping[str, Any], accepted: Resolved) -> list[str]:
    """Return the fields of the work in which a valid job now differs from what was accepted.

    Texts from ConfigMaps are not compared: their keys are not stored, and their current contents are not read. In a
    merged job, a removed field is not detected, because another layer may have had the same value. Texts that read
    answers of other jobs are not compared either.
    """
    found = _edits_over(job, accepted) if "steering" in accepted else _edits(job, accepted)
    read = {_place(path) for path, name in references(job["spec"]) if name.startswith(AFTER)}
    return [field for field in found if not any(_place((field,)).startswith(place) for place in read)]


def _place(path: Path) -> str:
    """Return the path of a text without list indexes."""
    return re.sub(r"\[\d+\]", "", ".".join(part for part in path if isinstance(part, str)))


def _edits(job: Mapping[str, Any], accepted: Resolved) -> list[str]:
    spec = AgentJobSpec.model_validate(job["spec"])
    own = resolve_spec(spec, job["metadata"], Sources(contents=_Unread(spec, accepted)))
    fields = _differences(_work(own), _work(accepted))
    if spec.input.message is not None and own["spec"]["input"]["message"] != accepted["spec"]["input"].get("message"):
        fields.add("input.message")
    return sorted(fields | _edited_instructions(spec, own, accepted) | _edited_prompts(spec, own, accepted))


def _edits_over(job: Mapping[str, Any], accepted: Resolved) -> list[str]:
    """Merge the object's work over the accepted one, and return the fields that changed."""
    template, own = template_of(accepted), dict(job["spec"])
    fields: set[str] = set()
    if is_of_a_trigger(own) and not is_of_a_trigger(accepted["spec"]):
        del own["unique"]
    named, given = own.pop("templateRef", None), own.pop("parameters", None) or {}
    if (named or {}).get("name") != (template["name"] if template else None):
        fields.add("templateRef")
    values = template["parameters"] if template else {}
    fields |= {f"parameters.{name}" for name, value in given.items() if values.get(name) != value}
    work = {key: value for key, value in own.items() if key not in STEERING}
    work = without_references(substituted(work, names_of(job["metadata"], values)))
    over = Resolved(spec=merged([Layer("accepted", accepted["spec"]), Layer(JOB, work)]).spec, scripts={})
    return sorted(fields | _differences(_texts(over), _texts(accepted)) | _differences(_work(over), _work(accepted)))


def _texts(resolved: Resolved) -> dict[str, Any]:
    """The texts that `accepted_spec` leaves out."""
    spec = resolved["spec"]
    inline = spec["agent"].get("inline") or {}
    instructions = {"instruction": inline.get("instruction")} | {
        f"agents.{member.get('name')}.instruction": member.get("instruction") for member in inline.get("agents") or ()
    }
    claude = spec["agent"].get("claudeCode") or {}
    agent = {"inline": instructions, "claudeCode": {name: claude.get(name) for name in _PROMPTS}}
    return {"input": {"message": spec["input"].get("message")}, "agent": agent}


class _Unread(dict[ConfigMapKey, str]):
    """Replaces contents that are not read: a placeholder for texts, the accepted schema for schemas."""

    def __init__(self, spec: AgentJobSpec, accepted: Resolved) -> None:
        super().__init__()
        if spec.output is not None and spec.output.schema_from is not None:
            known = (accepted["spec"].get("output") or {}).get("schema") or {"type": "object"}
            self[_key(spec.output.schema_from.config_map_key_ref)] = json.dumps(known)

    def get(self, key: Any, _default: object = None) -> str:
        return super().get(key, _TEXT)


def _work(resolved: Resolved) -> dict[str, Any]:
    # Parsed, so that a default added by a later version is not a difference.
    spec = accepted_spec(resolved).model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in spec.items() if key not in STEERING}


def _differences(first: Mapping[str, Any], second: Mapping[str, Any], place: str = "") -> set[str]:
    found: set[str] = set()
    for key in first.keys() | second.keys():
        before, after = first.get(key), second.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found |= _differences(before, after, f"{place}{key}.")
        elif before != after:
            found.add(f"{place}{key}")
    return found


def _edited_instructions(spec: AgentJobSpec, own: Resolved, accepted: Resolved) -> set[str]:
    """Compare instructions; `own` is the object resolved now, without the texts of its ConfigMaps."""
    inline, now, stored = spec.agent.inline, own["spec"]["agent"].get("inline"), accepted["spec"]["agent"].get("inline")
    if inline is None or now is None or stored is None:
        return set()
    found = set()
    if inline.instruction is not None and now["instruction"] != stored.get("instruction"):
        found.add("agent.inline.instruction")
    pairs = zip(inline.agents, now["agents"], stored.get("agents") or (), strict=False)
    for index, (member, new, old) in enumerate(pairs):
        if member.instruction is not None and new["instruction"] != old.get("instruction"):
            found.add(f"{_AGENTS.format(index)}.instruction")
    return found


def _edited_prompts(spec: AgentJobSpec, own: Resolved, accepted: Resolved) -> set[str]:
    """As `_edited_instructions`, for Claude Code."""
    now, stored = (spec["spec"]["agent"].get("claudeCode") for spec in (own, accepted))
    if now is None or stored is None:
        return set()
    unread = () if _mcp_config(spec) is None else ("mcpConfig",)
    names = [name for name in _PROMPTS if name not in unread and now.get(name) != stored.get(name)]
    return {f"agent.claudeCode.{name}" for name in names}


def spec_hash(resolved: Resolved) -> str:
    """Return 8 hexadecimal digits that depend on the work, but not on fields of `STEERING`."""
    work = {key: value for key, value in resolved["spec"].items() if key not in STEERING}
    text = json.dumps([work, resolved["scripts"]], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _key(reference: ConfigMapKeyRef) -> ConfigMapKey:
    return ConfigMapKey(reference.name, reference.key)


def _mcp_config(spec: AgentJobSpec) -> ConfigMapKey | None:
    """Return the ConfigMap key of Claude Code's MCP configuration, if any."""
    claude = spec.agent.claude_code
    return None if claude is None or claude.mcp_config_from is None else _key(claude.mcp_config_from.config_map_key_ref)


def _instructions(spec: AgentJobSpec) -> Iterator[tuple[int | None, ConfigMapKey]]:
    """Yield each instruction from a ConfigMap, with the index of its agent in `agents`; None for the root."""
    inline = spec.agent.inline
    if inline is None:
        return
    members: list[tuple[int | None, AgentBase]] = [(None, inline), *enumerate(inline.agents)]
    for index, member in members:
        if member.instruction_from is not None:
            yield index, _key(member.instruction_from.config_map_key_ref)


def _instruction(contents: Mapping[ConfigMapKey, str], key: ConfigMapKey, field: str, state: Mapping[str, Any]) -> str:
    text = _content(contents, key, field)
    for problem in placeholder_problems(text, state):
        raise Invalid(f"spec.{field}: key {key.key!r} of ConfigMap {key.name!r} reads {problem}")
    return text


def _schema(contents: Mapping[ConfigMapKey, str], key: ConfigMapKey) -> dict[str, Any]:
    where = f"spec.output.schemaFrom: key {key.key!r} of ConfigMap {key.name!r}"
    try:
        schema = json.loads(_content(contents, key, "output.schemaFrom"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{where} is not valid JSON ({str(error)[:80]}); write a JSON Schema there") from error
    for problem in schema_problems({} if schema is None else schema):
        raise Invalid(f"{where}: the schema {problem}")
    return dict(schema)


def _scripts(spec: AgentJobSpec) -> Iterator[ConfigMapKey]:
    further = spec.agent.inline.agents if spec.agent.inline is not None else ()
    own = [scripted_model(spec.agent.model)]
    # A scripted `agent.model` replaces the models of all agents.
    keys = own if own != [None] else [scripted_model(agent.model) for agent in further]
    if spec.steps.compaction is not None:
        keys.append(scripted_model(spec.steps.compaction.model))
    yield from (key for key in keys if key is not None)


def _content(contents: Mapping[ConfigMapKey, str], key: ConfigMapKey, field: str) -> str:
    text = contents.get(key)
    if text is None:
        raise NotFound(f"spec.{field}: ConfigMap {key.name!r} with key {key.key!r} is missing; create it")
    if not text:
        raise Invalid(f"spec.{field}: key {key.key!r} of ConfigMap {key.name!r} is empty; add the content")
    if "\0" in text:
        raise Invalid(f"spec.{field}: key {key.key!r} of ConfigMap {key.name!r} holds U+0000; remove it")
    return text
