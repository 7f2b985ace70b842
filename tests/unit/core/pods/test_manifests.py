"""The pod of a start: what the job wishes, within what is promised."""

import json
from dataclasses import replace
from decimal import Decimal

from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Toleration
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import (
    ANNOTATION_BUDGET,
    ANNOTATION_GATEWAY_CA,
    ENV_MODEL_ALIASES,
    ENV_MODELS_URL,
    LABEL_JOB,
    TOKEN_MOUNT,
)
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import UNLIMITED, runner_pod
from agentjobs.core.pods.pod import parse_pod
from agentjobs.core.pods.prerequisites import egress_policy, prerequisites
from agentjobs.models.budget import Limits

RULE = EgressRule.model_validate({"to": [{"podSelector": {}}]})

DEFAULTS = PodDefaults(gateway_url="https://gateway", image="runner")


def pod_of(*, defaults=DEFAULTS, isolation=None, limits=UNLIMITED, **runtime):
    spec = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    return runner_pod(
        namespace="default",
        job="hello",
        uid="uid",
        start=1,
        attempt=1,
        ran=0,
        spec=AgentJobSpec.model_validate({**spec, "runtime": runtime, "isolation": isolation or {}}),
        defaults=defaults,
        limits=limits,
    )


def container_of(**runtime):
    return pod_of(**runtime)["spec"]["containers"][0]


def test_a_pod_has_no_token_for_the_api_server_and_no_privileges_on_its_node():
    pod = pod_of()["spec"]
    context = pod["containers"][0]["securityContext"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)


def test_only_the_profile_baseline_allows_root_and_a_writable_file_system():
    pod = pod_of(isolation={"profile": "Baseline"}, runAsUser=0)["spec"]
    context = pod["containers"][0]["securityContext"]

    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (0, False)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context == {"allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}


def test_a_restricted_job_reaches_dns_gateway_models_and_what_it_allows():
    allowed = {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}
    spec = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    policy = egress_policy(
        namespace="default",
        job="hello",
        uid="uid",
        spec=AgentJobSpec.model_validate(spec | {"isolation": {"egress": {"mode": "Restricted", "allow": [allowed]}}}),
        defaults=PodDefaults(
            gateway_url="x", image="x", gateway_egress=(RULE,), models_egress=(RULE,), dns_egress=(RULE, RULE)
        ),
    )
    pod = pod_of()["metadata"]

    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert len(policy["spec"]["egress"]) == 5
    assert policy["spec"]["egress"][-1]["to"][0]["ipBlock"]["cidr"] == "203.0.113.0/24"
    assert policy["metadata"]["ownerReferences"] == pod["ownerReferences"]


def test_a_pod_has_its_budget_in_an_annotation():
    limits = Limits(cost=Decimal("2.50"), llm_calls=60)
    pod = pod_of(limits=limits)
    noted = pod["metadata"]["annotations"][ANNOTATION_BUDGET]
    seen = parse_pod({**pod, "metadata": {**pod["metadata"], "uid": "p", "resourceVersion": "1"}, "status": {}})

    assert Limits.read(json.loads(noted)) == limits
    assert seen.budget == noted
    assert ANNOTATION_BUDGET not in pod_of()["metadata"]["annotations"]


def test_a_pod_knows_the_model_proxy_and_the_names_of_models():
    proxied = replace(DEFAULTS, models_url="http://proxy", model_aliases={"team/fast": "gemini-x"})
    env = {item["name"]: item.get("value") for item in pod_of(defaults=proxied)["spec"]["containers"][0]["env"]}

    assert env[ENV_MODELS_URL] == "http://proxy"
    assert json.loads(env[ENV_MODEL_ALIASES]) == {"team/fast": "gemini-x"}
    assert not {ENV_MODELS_URL, ENV_MODEL_ALIASES} & {item["name"] for item in container_of()["env"]}


def test_a_variable_of_the_job_cannot_replace_ours():
    env = container_of(env=[{"name": "HOME", "value": "/data"}, {"name": "REGION", "value": "eu"}])["env"]
    values = {}
    for variable in env:
        values[variable["name"]] = variable.get("value")

    assert (values["HOME"], values["REGION"]) == ("/data", "eu")
    assert values["AGENTJOBS_GATEWAY_URL"] == "https://gateway"


def test_a_pod_names_the_engine_of_its_job_which_cannot_be_overridden():
    env = container_of(env=[{"name": "AGENTJOBS_ENGINE", "value": "mine"}])["env"]

    assert [one["value"] for one in env if one["name"] == "AGENTJOBS_ENGINE"] == ["adk"]


def test_a_pod_contains_the_ca_certificates_of_the_gateway():
    defaults = replace(DEFAULTS, gateway_ca="/elsewhere.crt", gateway_ca_bundle="PEM")
    pod = pod_of(defaults=defaults, annotations={ANNOTATION_GATEWAY_CA: "another's"})
    (token,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "token"]
    items = token["projected"]["sources"][1]["downwardAPI"]["items"]
    env = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}

    assert pod["metadata"]["annotations"][ANNOTATION_GATEWAY_CA] == "PEM"
    assert items[0]["fieldRef"]["fieldPath"] == f"metadata.annotations['{ANNOTATION_GATEWAY_CA}']"
    assert env["AGENTJOBS_GATEWAY_CA"] == f"{TOKEN_MOUNT}/{items[0]['path']}"


def test_a_job_can_override_variables_of_the_installation_but_not_ours():
    given = {"HTTPS_PROXY": "http://proxy", "REGION": "us", "AGENTJOBS_GATEWAY_URL": "https://evil"}
    pod = pod_of(defaults=replace(DEFAULTS, env=given), env=[{"name": "REGION", "value": "eu"}])
    env = [(one["name"], one.get("value")) for one in pod["spec"]["containers"][0]["env"]]

    assert {("HTTPS_PROXY", "http://proxy"), ("REGION", "eu"), ("AGENTJOBS_GATEWAY_URL", "https://gateway")} < set(env)
    assert len(dict(env)) == len(env)


def test_pull_secrets_of_the_installation_are_added_to_the_jobs():
    defaults = replace(DEFAULTS, image_pull_secrets=("ours", "both"))
    pod = pod_of(defaults=defaults, imagePullSecrets=[{"name": "both"}, {"name": "theirs"}])

    assert pod["spec"]["imagePullSecrets"] == [{"name": "both"}, {"name": "theirs"}, {"name": "ours"}]


def test_labels_of_the_job_are_added_to_ours():
    labels = pod_of(labels={"team": "search", LABEL_JOB: "other"})["metadata"]["labels"]

    assert (labels["team"], labels[LABEL_JOB]) == ("search", "hello")


def test_scheduling_fields_and_service_account_are_passed_on():
    pod = pod_of(
        nodeSelector={"disk": "ssd"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        affinity={"nodeAffinity": {}},
        topologySpreadConstraints=[{"maxSkew": 1}],
        priorityClassName="high",
        runtimeClassName="gvisor",
        imagePullSecrets=[{"name": "registry"}],
        serviceAccountName="reviewer",
        runAsUser=1001,
        fsGroup=1002,
    )["spec"]

    assert (pod["nodeSelector"], pod["affinity"]) == ({"disk": "ssd"}, {"nodeAffinity": {}})
    assert {"key": "gpu", "operator": "Exists"} in pod["tolerations"]
    assert pod["topologySpreadConstraints"] == [{"maxSkew": 1}]
    assert (pod["priorityClassName"], pod["runtimeClassName"]) == ("high", "gvisor")
    assert (pod["imagePullSecrets"], pod["serviceAccountName"]) == ([{"name": "registry"}], "reviewer")
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (1001, 1002)


def test_volumes_of_the_job_are_added_to_ours():
    pod = pod_of(
        volumes=[{"name": "data", "emptyDir": {}}],
        volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": True}],
        envFrom=[{"secretRef": {"name": "keys"}}],
    )["spec"]

    assert [volume["name"] for volume in pod["volumes"]] == ["tmp", "token", "data"]
    assert {"name": "data", "mountPath": "/data", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}]


def test_node_selectors_of_the_job_are_added_to_those_of_the_installation():
    tolerations = (Toleration(key="agents", operator="Exists"),)
    defaults = replace(DEFAULTS, node_selector={"pool": "agents", "disk": "any"}, tolerations=tolerations)

    pod = pod_of(defaults=defaults, nodeSelector={"disk": "ssd"}, tolerations=[{"key": "gpu", "operator": "Exists"}])

    assert pod["spec"]["nodeSelector"] == {"pool": "agents", "disk": "ssd"}
    assert [toleration["key"] for toleration in pod["spec"]["tolerations"]][-2:] == ["agents", "gpu"]


def needed_by(mode, **more):
    spec = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    model = AgentJobSpec.model_validate({**spec, **more, "isolation": {"egress": {"mode": mode}}})
    return prerequisites(namespace="default", job="hello", uid="uid", spec=model, defaults=DEFAULTS)


def test_only_a_restricted_job_has_a_prerequisite_which_is_its_networkpolicy():
    assert [(one.kind, one.name, one.field) for one in needed_by("Restricted")] == [
        ("NetworkPolicy", "hello-egress", "spec.isolation.egress")
    ]
    assert needed_by("Open") == ()


def test_the_claim_of_a_named_worktree_is_a_prerequisite_that_no_job_owns():
    git = {"url": "https://example.com/shop.git"}
    needed = needed_by("Restricted", workspace={"git": git, "worktree": {"mode": "Named", "name": "x"}})

    assert [(one.kind, one.field, one.is_owned) for one in needed] == [
        ("PersistentVolumeClaim", "spec.workspace", False),
        ("NetworkPolicy", "spec.isolation.egress", True),
    ]
