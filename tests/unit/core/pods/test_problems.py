import pytest

from agentjobs.api.job.runtime import Toleration
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.core.pods.problems import in_words_of_the_job

DEFAULTS = PodDefaults(gateway_url="http://gateway", image="runner", tolerations=(Toleration(key="gpu"),))
RUNTIME = {
    "env": [{"name": "REGION", "value": "eu"}],
    "volumes": [{"name": "data", "emptyDir": {}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "tolerations": [{"key": "spot"}],
}
SPEC = AgentJobSpec.model_validate(
    {"agent": {"model": "m", "inline": {"instruction": "i"}}, "input": {"message": "m"}, "runtime": RUNTIME}
)
POD = runner_pod(namespace="default", job="a", uid="u", start=1, attempt=1, ran=0, spec=SPEC, defaults=DEFAULTS)
PLACE = [variable["name"] for variable in POD["spec"]["containers"][0]["env"]].index("REGION")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ('unknown field "spec.affinity.nodeAffinty"', "spec.runtime.affinity.nodeAffinty"),
        ('unknown field "spec.volumes[2].emptyDir.sizeLimt"', "spec.runtime.volumes[0].emptyDir.sizeLimt"),
        ("spec.tolerations[3].operator: Invalid value", "spec.runtime.tolerations[0].operator"),
        ("spec.containers[0].volumeMounts[2].name: Not found", "spec.runtime.volumeMounts[0].name"),
        ("spec.containers[0].resources.requests: Invalid value", "spec.runtime.resources.requests"),
        (f"spec.containers[0].env[{PLACE}].valueFrom: Invalid value", "spec.runtime.env[REGION].valueFrom"),
        ('metadata.labels: Invalid value: "not valid!"', "spec.runtime.labels"),
        ("spec.tolerations[2].key: Invalid value", "spec.runtime"),
        ("something else", "spec.runtime"),
    ],
)
def test_a_refusal_names_the_field_of_the_job(said: str, field: str) -> None:
    named, text = in_words_of_the_job(f"POST pods default: HTTP 422: {said}", POD, SPEC.runtime)

    assert named == field
    assert text == said or field in text
