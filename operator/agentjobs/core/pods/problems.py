"""Translates an API server's refusal of a pod to fields of the job. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from agentjobs.api.job.runtime import Runtime

_NUMBERED: Final = re.compile(r"\bspec\.(?:containers\[0\]\.)?(volumes|volumeMounts|tolerations)\[(\d+)\]")
_VARIABLE: Final = re.compile(r"\bspec\.containers\[0\]\.env\[(\d+)\]")
_PLAIN: Final = re.compile(
    r"\b(?:spec\.containers\[0\]\.(resources|envFrom|image|imagePullPolicy)"
    r"|spec\.(affinity|topologySpreadConstraints|nodeSelector|priorityClassName|runtimeClassName|imagePullSecrets"
    r"|serviceAccountName)|metadata\.(labels|annotations))\b"
)
_FIELD: Final = re.compile(r"spec\.runtime\.[\w.\[\]]*[\w\]]")


def in_words_of_the_job(message: str, pod: Mapping[str, Any], runtime: Runtime) -> tuple[str, str]:
    """Return the field of the job that a refusal is about, and the message with the pod's fields replaced by the
    job's.
    """
    container = pod["spec"]["containers"][0]
    # The job's own entries come last in each list.
    ours = {
        "volumes": len(pod["spec"]["volumes"]) - len(runtime.volumes),
        "volumeMounts": len(container["volumeMounts"]) - len(runtime.volume_mounts),
        "tolerations": len(pod["spec"]["tolerations"]) - len(runtime.tolerations),
    }

    def numbered(match: re.Match[str]) -> str:
        place = int(match[2]) - ours[match[1]]
        return f"spec.runtime.{match[1]}[{place}]" if place >= 0 else match[0]

    def variable(match: re.Match[str]) -> str:
        listed, place = container["env"], int(match[1])
        return f"spec.runtime.env[{listed[place]['name']}]" if place < len(listed) else match[0]

    text = message.partition(": HTTP ")[2].partition(": ")[2] or message
    text = _NUMBERED.sub(numbered, text)
    text = _VARIABLE.sub(variable, text)
    text = _PLAIN.sub(lambda match: f"spec.runtime.{match[1] or match[2] or match[3]}", text)
    named = _FIELD.search(text)
    return (named[0] if named else "spec.runtime"), text
