"""What the chart makes: who may do what, who reaches whom, what is kept, and that parts meet where they should."""

import base64
import datetime
import json
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.rbac import roles
from agentjobs.rbac.chart import CLUSTER_SCOPED
from agentjobs.reconcile.kinds import KINDS

ROOT = Path(__file__).parents[3]
TRIAL = {"postgresql": {"enabled": True}}
OWN = {"database": {"existingSecret": "db"}}
SOME = {"watchedNamespaces": ["team-a", "team-b"]}
CLUSTER = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


def rules_of(objects, kind, end, namespace=None):
    return [
        rule
        for obj in objects.of(kind, end)
        if obj["metadata"].get("namespace") == namespace
        for rule in obj.get("rules") or ()
    ]


# By their components; the rights of the model proxy are those of `agentjobs proxy`.
PARTS = {"operator": "operator", "gateway": "gateway", "model-proxy": "proxy"}


@pytest.mark.parametrize("part", PARTS)
def test_a_process_has_exactly_the_permissions_of_its_role(trial, part):
    cluster, *own = roles(PARTS[part])

    made = rules_of(trial, "ClusterRole", f"-{part}")
    assert sorted(map(json.dumps, made)) == sorted(map(json.dumps, cluster["rules"]))
    assert rules_of(trial, "Role", f"-{part}", "agentjobs-system") == [rule for role in own for rule in role["rules"]]


@pytest.mark.parametrize("part", PARTS)
def test_an_installation_for_some_namespaces_has_permissions_only_there(render, part):
    objects = render(TRIAL, SOME)
    cluster = {
        res.partition("/")[0] for rule in rules_of(objects, "ClusterRole", f"-{part}") for res in rule["resources"]
    }
    there = [rules_of(objects, "Role", f"-{part}-jobs", namespace) for namespace in SOME["watchedNamespaces"]]

    assert cluster <= CLUSTER_SCOPED
    assert (
        there[0]
        == there[1]
        == [rule for rule in roles(PARTS[part])[0]["rules"] if not set(rule["resources"]) & CLUSTER_SCOPED]
    )
    assert not objects.of("ClusterRole", "-uninstall-jobs")


def test_every_role_is_bound_to_the_account_of_its_pods(full):
    for part in PARTS:
        account = full.one("Deployment", f"-{part}")["spec"]["template"]["spec"]["serviceAccountName"]
        subjects = [
            obj["subjects"]
            for obj in full
            if obj["kind"].endswith("Binding") and obj["metadata"]["name"].endswith(part)
        ]

        assert subjects
        assert all(
            one == [{"kind": "ServiceAccount", "name": account, "namespace": "agentjobs-system"}] for one in subjects
        )


def test_roles_for_users_include_every_kind(trial):
    kinds = [kind.resource.plural for kind in KINDS if kind.resource.is_custom]
    viewer, submitter = trial.one("ClusterRole", "-viewer"), trial.one("ClusterRole", "-submitter")
    owners = [trial.one("ClusterRole", end) for end in ("-submitter", "-queue-admin", "-author")]
    written = [name for role in owners for rule in role["rules"] for name in rule["resources"]]

    assert sorted(viewer["rules"][0]["resources"]) == sorted(kinds)
    assert sorted(written) == sorted(kinds)
    assert viewer["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert submitter["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert not {"get", "list", "watch"} & set(submitter["rules"][0]["verbs"])


def test_every_pod_meets_the_restricted_standard(full):
    for name, template in full.pods().items():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name


def test_the_log_of_a_process_that_exits_immediately_is_its_termination_message(full):
    for name, template in full.pods().items():
        ours = [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]
        if not name.endswith(("postgresql", "uninstall")):
            assert {one.get("terminationMessagePolicy") for one in ours} == {"FallbackToLogsOnError"}, name


def test_the_trial_database_has_the_settings_that_the_official_image_requires(trial):
    """Its start script, as user 999 (its own `postgres`): three variables, a folder it may own, two to write to."""
    spec = trial.one("StatefulSet", "-postgresql")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    given = {one["name"]: one for one in container["env"]}
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}

    assert container["image"] == "docker.io/library/postgres:17"
    assert {given["POSTGRES_USER"]["value"], given["POSTGRES_DB"]["value"]} == {"agentjobs"}
    assert given["POSTGRES_PASSWORD"]["valueFrom"]["secretKeyRef"]["key"] == "password"
    assert {spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {999}
    # It makes the folder and takes all others' rights to it away, which it may not do with a volume's root.
    assert given["PGDATA"]["value"].startswith("/var/lib/postgresql/data/")
    assert set(mounts) == {"/var/lib/postgresql/data", "/var/run/postgresql", "/tmp"}
    # While it makes the database it listens on its socket alone; who asked that would find it ready too early.
    assert "127.0.0.1" in container["readinessProbe"]["exec"]["command"]
    assert not {"command", "args"} & set(container)


def test_passwords_are_only_in_secrets(full):
    secret = full.one("Secret", "-postgresql")["data"]
    password = base64.b64decode(secret["password"]).decode()
    others = [obj for obj in full if obj["kind"] != "Secret"]

    assert len(password) == 32
    assert f":{password}@agentjobs-postgresql.agentjobs-system.svc:5432/" in base64.b64decode(secret["url"]).decode()
    assert password not in yaml.safe_dump(others)
    assert "PRIVATE KEY" not in yaml.safe_dump(others)


def test_database_addresses_come_from_the_named_secret_and_that_of_the_migration_from_its_own(render):
    objects = render(OWN, {"database": {"key": "dsn", "migration": {"existingSecret": "owner"}}})
    operator = objects.one("Deployment", "-operator")["spec"]["template"]["spec"]
    gateway = objects.one("Deployment", "-gateway")["spec"]["template"]["spec"]
    references = [
        container["env"][0]["valueFrom"]["secretKeyRef"]
        for container in (operator["initContainers"][0], operator["containers"][0], gateway["containers"][0])
    ]

    assert references == [{"name": "owner", "key": "url"}, {"name": "db", "key": "dsn"}, {"name": "db", "key": "dsn"}]
    assert not objects.of("StatefulSet")


def certificate(obj, key):
    return x509.load_pem_x509_certificate(base64.b64decode(obj["data"][key]))


def test_the_generated_certificate_is_signed_by_the_ca_and_valid_for_the_runners_address(trial):
    authority = certificate(trial.one("Secret", "-gateway-authority"), "tls.crt")
    tls = trial.one("Secret", "-gateway-tls")
    leaf = certificate(tls, "tls.crt")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    leaf.verify_directly_issued_by(authority)
    reached = {"agentjobs-gateway.agentjobs-system.svc", "agentjobs-model-proxy.agentjobs-system.svc", "localhost"}
    assert reached <= set(names.get_values_for_type(x509.DNSName))
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert trial.one("ConfigMap", "-gateway-ca")["data"]["ca.crt"].encode() in authority.public_bytes(Encoding.PEM)
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    renewal = datetime.date.fromisoformat(tls["metadata"]["annotations"]["agentjobs.dev/renew-after"])
    assert lifetime == datetime.timedelta(days=1825)
    assert abs((leaf.not_valid_after_utc.date() - renewal).days - 1825 / 3) < 3


def test_operators_have_the_ca_certificate_and_never_a_key(render):
    sources = {}
    for name, values in {
        "Generated": {},
        "Secret": {"tls": {"mode": "Secret", "secretName": "mine"}},
        "System": {"tls": {"mode": "Secret", "secretName": "mine", "trust": "System"}},
    }.items():
        volumes = render(OWN, values).one("Deployment", "-operator")["spec"]["template"]["spec"]["volumes"]
        sources[name] = [volume for volume in volumes if volume["name"] == "gateway-ca"]

    assert sources["Generated"][0]["configMap"] == {"name": "agentjobs-gateway-ca"}
    assert sources["Secret"][0]["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert sources["System"] == []


def test_the_certificate_resource_has_the_names_and_the_secret_that_are_used(render):
    objects = render(OWN, {"tls": {"mode": "CertManager", "certManager": {"issuerRef": {"name": "ca"}}}})
    asked = objects.one("Certificate")
    volumes = objects.one("Deployment", "-gateway")["spec"]["template"]["spec"]["volumes"]

    assert asked["apiVersion"] == "cert-manager.io/v1"
    assert asked["spec"]["issuerRef"] == {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}
    for part in ("gateway", "model-proxy"):
        assert f"agentjobs-{part}.agentjobs-system.svc" in asked["spec"]["dnsNames"]
    assert asked["spec"]["secretName"] in [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert not objects.of("Secret")


def test_crds_are_those_of_the_repository_and_are_kept_after_an_uninstall(trial):
    ours = [
        crd for file in sorted((ROOT / "crds").glob("*.yaml")) for crd in yaml.safe_load_all(file.read_text()) if crd
    ]
    made = trial.of("CustomResourceDefinition")

    assert {crd["metadata"]["name"]: crd["spec"] for crd in made} == {
        crd["metadata"]["name"]: crd["spec"] for crd in ours
    }
    assert {crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in made} == {"keep"}


def test_two_releases_share_only_the_crds(render):
    first = render(TRIAL, {"watchedNamespaces": ["a"], "crds": {"install": True}}, name="one", namespace="one")
    second = render(TRIAL, {"watchedNamespaces": ["b"], "crds": {"install": False}}, name="two", namespace="two")
    of = lambda objects: {(obj["kind"], obj["metadata"]["name"]) for obj in objects if obj["kind"] in CLUSTER}  # noqa: E731

    assert not of(first) & of(second)
    assert {obj["metadata"]["namespace"] for obj in first if obj["kind"] not in CLUSTER} == {"one", "a"}


def selects(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(one["operator"] == "Exists" and one["key"] in labels for one in selector.get("matchExpressions") or ())


def labels_of_a_runner():
    spec = AgentJobSpec.model_validate(
        {"agent": {"model": "m", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    )
    defaults = PodDefaults(gateway_url="https://gateway", image="runner")
    pod = runner_pod(namespace="n", job="j", uid="u", start=1, attempt=1, ran=0, spec=spec, defaults=defaults)
    return pod["metadata"]["labels"]


def test_network_policies_allow_exactly_these_connections(trial):
    pods = {name.partition("-")[2]: template["metadata"]["labels"] for name, template in trial.pods().items()}
    pods["runner"] = labels_of_a_runner()
    reach = {}
    for policy in trial.of("NetworkPolicy"):
        (target,) = [name for name, labels in pods.items() if selects(policy["spec"]["podSelector"], labels)]
        peers = [peer["podSelector"] for rule in policy["spec"]["ingress"] for peer in rule["from"]]
        reach[target] = sorted(name for name, labels in pods.items() if any(selects(peer, labels) for peer in peers))

    assert reach == {
        "gateway": ["runner"],
        "model-proxy": ["runner"],
        "operator": [],
        "postgresql": ["gateway", "model-proxy", "operator"],
    }


@pytest.mark.parametrize(
    ("variable", "part"), [("AGENTJOBS_GATEWAY_EGRESS", "gateway"), ("AGENTJOBS_MODELS_EGRESS", "model-proxy")]
)
def test_restricted_jobs_can_reach_the_pods_that_they_need(trial, variable, part):
    operator = trial.one("Deployment", "-operator")["spec"]["template"]["spec"]["containers"][0]
    server = trial.one("Deployment", f"-{part}")["spec"]["template"]
    (rule,) = json.loads(next(one["value"] for one in operator["env"] if one["name"] == variable))

    assert selects(rule["to"][0]["podSelector"], server["metadata"]["labels"])
    assert rule["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "agentjobs-system"}
    assert [port["port"] for port in rule["ports"]] == [server["spec"]["containers"][0]["ports"][0]["containerPort"]]


def test_services_and_monitors_find_the_pods_and_ports_they_name(full):
    ports = {
        name.partition("-")[2]: [
            port["name"] for one in template["spec"]["containers"] for port in one.get("ports", ())
        ]
        for name, template in full.pods().items()
    }
    pods = full.one("PodMonitor", "-operator")

    for part in ("gateway", "model-proxy", "postgresql"):
        assert full.one("Service", f"-{part}")["spec"]["ports"][0]["targetPort"] in ports[part]
    for part in ("gateway", "model-proxy"):
        monitor, service = full.one("ServiceMonitor", f"-{part}"), full.one("Service", f"-{part}")
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] == service["spec"]["ports"][0]["name"]
        assert endpoint["tlsConfig"]["serverName"] == f"{service['metadata']['name']}.agentjobs-system.svc"
        assert selects(monitor["spec"]["selector"], service["metadata"]["labels"])
    assert pods["spec"]["podMetricsEndpoints"][0]["port"] in ports["operator"]
    assert monitor["metadata"]["labels"]["release"] == pods["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["endpoints"][0]["tlsConfig"]["ca"]["configMap"]["name"]
        == full.one("ConfigMap", "-gateway-ca")["metadata"]["name"]
    )


def test_alerts_are_those_of_the_documentation(full):
    shown = yaml.safe_load((ROOT / "docs" / "reference" / "alerts.yaml").read_text())

    assert full.one("PrometheusRule")["spec"] == shown


def test_the_grafana_dashboard_has_the_label_and_the_folder_annotation(full, trial):
    board = full.one("ConfigMap", "-grafana-dashboard")

    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert board["metadata"]["annotations"] == {"grafana_folder": "Agents", "team": "platform"}
    assert board["data"] == {
        "agentjobs.json": (ROOT / "helm" / "agentjobs" / "files" / "grafana-dashboard.json").read_text()
    }
    assert not trial.of("ConfigMap", "-grafana-dashboard")


def test_a_pod_disruption_budget_never_blocks_a_drain(render, full):
    budgets = full.of("PodDisruptionBudget")

    assert {budget["spec"]["maxUnavailable"] for budget in budgets} == {1}
    assert len(budgets) == 5
    alone = {"operator": {"replicas": 1}, "gateway": {"replicas": 1}, "modelProxy": {"replicas": 1}}
    assert not render(TRIAL, alone).of("PodDisruptionBudget")


def test_a_deployment_with_an_autoscaler_sets_no_replicas(full, trial):
    for part in ("gateway", "model-proxy"):
        assert "replicas" not in full.one("Deployment", f"-{part}")["spec"]
        scaler = full.one("HorizontalPodAutoscaler", f"-{part}")
        assert scaler["spec"]["scaleTargetRef"]["name"] == f"agentjobs-{part}"
        assert trial.one("Deployment", f"-{part}")["spec"]["replicas"] == 2


def test_the_notes_have_the_next_commands_and_a_warning_about_the_trial_database(trial, render):
    own = render(OWN, SOME).notes

    assert "kubectl -n agentjobs-system rollout status" in trial.notes
    assert "WARNING: postgresql.enabled=true" in trial.notes
    assert "WARNING: postgresql" not in own
    assert "kubectl -n team-a wait --for=condition=Finished agentjob/hello" in own


def test_the_notes_warn_of_images_that_are_not_published(trial, render):
    own = {"repository": "registry.example.com/x"}
    built = render({"postgresql": {"enabled": True}}, {"image": own, "runner": {"image": own}}).notes

    assert ("none is published yet" in trial.notes, "none is published yet" in built) == (True, False)


def test_the_notes_have_instructions_for_users_with_a_client_certificate(trial):
    assert "--clusterrole=agentjobs-viewer" in trial.notes
    assert "AGENTJOBS_TOKEN=$(kubectl -n default create token" in trial.notes


def test_the_first_job_in_the_notes_is_valid(trial):
    from agentjobs.api.job.validation import validate_job
    from agentjobs_runner.adk.scripted import parse

    shown = trial.notes.split("<<'YAML'\n")[1].split("\nYAML\n")[0]
    config_map, job = yaml.safe_load_all(shown)

    assert validate_job(job) == []
    assert parse(config_map["data"]["script"], job["spec"]["agent"]["model"]).starts[0][0].text.startswith("Hello")


def kept(objects):
    notes = {obj["kind"]: obj["metadata"].get("annotations") or {} for obj in objects}
    return {kind for kind, annotations in notes.items() if annotations.get("helm.sh/resource-policy") == "keep"}


def test_only_objects_with_data_are_kept_after_an_uninstall(render, trial):
    kept = lambda objects: {  # noqa: E731
        obj["kind"]
        for obj in objects
        if (obj["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
    }
    fleeting = render(
        TRIAL, {"postgresql": {"persistence": {"enabled": False}}, "crds": {"install": True, "keep": False}}
    )

    assert kept(trial) == {"CustomResourceDefinition", "Secret"}
    assert kept(fleeting) == set()
