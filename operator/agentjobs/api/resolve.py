"""What an accepted job runs: its spec with all defaults in it and the contents of ConfigMaps in place of their names.

Called once for a job, when it is accepted; the result is stored and every start runs it, whatever is edited later.
Pure: whoever calls has read the ConfigMaps.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentjobs.api.agentjob import AgentJobSpec, ConfigMapKey, default_agent_name, scripted_model
from agentjobs.contract import Resolved
from agentjobs.errors import Invalid, NotFound

STEERING: Final = frozenset(
    {"queue", "priority", "startAt", "startAfter", "suspend", "cancel", "ttlSecondsAfterFinished"}
)
"""Fields that may change after acceptance: no part of the work, hence not of its hash."""


def config_map_keys(spec: AgentJobSpec) -> set[ConfigMapKey]:
    """Return the ConfigMap keys whose contents the job needs.

    Raises:
        ValueError: a scripted model that names none; `validate_job` reports it.
    """
    keys = set(_scripts(spec))
    if spec.input.message_from is not None:
        reference = spec.input.message_from.config_map_key_ref
        keys.add(ConfigMapKey(reference.name, reference.key))
    return keys


def resolve(job: Mapping[str, Any], contents: Mapping[ConfigMapKey, str]) -> Resolved:
    """Return what the job runs.

    Args:
        job: an AgentJob that `validate_job` found nothing wrong with.
        contents: texts of the keys that `config_map_keys` names.

    Raises:
        NotFound: a content is missing; the job should wait for it.
        Invalid: a content cannot be used; the message names ConfigMap, key and cure.
    """
    metadata = job["metadata"]
    spec = AgentJobSpec.model_validate(job["spec"])
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    reference = spec.input.message_from
    if reference is not None:
        key = ConfigMapKey(reference.config_map_key_ref.name, reference.config_map_key_ref.key)
        dumped["input"].pop("messageFrom")
        dumped["input"]["message"] = _content(contents, key, "input.messageFrom")
    if "inline" in dumped["agent"]:
        dumped["agent"]["inline"].setdefault("name", default_agent_name(metadata["name"]))
    app_name, user_id, session_id = spec.session_key(name=metadata["name"], uid=metadata["uid"])
    dumped["session"] = {"appName": app_name, "userId": user_id, "sessionId": session_id}
    scripts = {f"{key.name}/{key.key}": _content(contents, key, "agent.model") for key in sorted(set(_scripts(spec)))}
    return Resolved(spec=dumped, scripts=scripts)


def spec_hash(resolved: Resolved) -> str:
    """Return 8 hexadecimal digits that change when the work changes; steering a job does not change them."""
    work = {key: value for key, value in resolved["spec"].items() if key not in STEERING}
    text = json.dumps([work, resolved["scripts"]], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _scripts(spec: AgentJobSpec) -> Iterator[ConfigMapKey]:
    further = spec.agent.inline.agents if spec.agent.inline is not None else ()
    for model in (spec.agent.model, *(agent.model for agent in further)):
        key = scripted_model(model)
        if key is not None:
            yield key


def _content(contents: Mapping[ConfigMapKey, str], key: ConfigMapKey, field: str) -> str:
    text = contents.get(key)
    if text is None:
        raise NotFound(f"spec.{field}: ConfigMap {key.name!r} with key {key.key!r} is missing; create it")
    if not text:
        raise Invalid(f"spec.{field}: key {key.key!r} of ConfigMap {key.name!r} is empty; write something there")
    if "\0" in text:
        raise Invalid(f"spec.{field}: key {key.key!r} of ConfigMap {key.name!r} holds U+0000; remove it")
    return text
