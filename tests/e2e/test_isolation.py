"""What code in the pod of a job may not do: each attack is tried from inside a pod, and refused.

The attacks are tests/e2e/agents/probe.py, an agent in the examples' image. That no call of operator and gateway is
denied is asserted at the end of every session.
"""

import contextlib
import json

import pytest

SECRETIVE = ["PASSWORD", "DATABASE", "SECRET", "API_KEY", "PGHOST"]


def probe(a_job, name, tries, **spec):
    """A job that carries out `tries`."""
    return a_job(name, agent={"module": {"ref": "probe:agent", "args": tries}}, **spec)


def answer(jobs, name):
    """What the tries of a job ended in."""
    status = jobs.finished(name)
    assert status["phase"] == "Succeeded", status
    return json.loads(jobs.result(name))


def token_of(kubectl, pod, namespace):
    """The token that the pod shows to the gateway, or one just like it."""
    bound = f"--bound-object-name={pod['metadata']['name']}", f"--bound-object-uid={pod['metadata']['uid']}"
    audience = "--audience=agentjobs-gateway"
    return kubectl(
        "create", "token", "default", audience, "--bound-object-kind=Pod", *bound, namespace=namespace
    ).strip()


@pytest.fixture(scope="module")
def tokens(kubectl, shared_namespace, shared_jobs, a_job, apply_to):
    """Tokens of a pod that runs, of one that ended, and of one that is gone."""
    for name, seconds in (("victim", 45), ("ended", 0), ("gone", 0)):
        apply_to(shared_namespace, *probe(a_job, name, {"held": {"do": "hold", "seconds": seconds}}))
    made = {"victim": token_of(kubectl, shared_jobs.running("victim"), shared_namespace)}
    for name in ("ended", "gone"):
        shared_jobs.finished(name)
        made[name] = token_of(kubectl, shared_jobs.pod(name), shared_namespace)
    kubectl("delete", "agentjob", "gone", namespace=shared_namespace)
    kubectl("wait", "pod/gone-1", "--for=delete", "--timeout=180s", namespace=shared_namespace)
    return made


@pytest.fixture(scope="module")
def attacks(release, provider, shared_namespace, shared_jobs, a_job, apply_to, tokens):
    """How the attacks of one pod ended."""
    gateway = f"https://{release.name}-gateway.{release.namespace}.svc"
    mine, theirs = f"{gateway}/v1/attempt", f"{gateway}/v1/namespaces/{shared_namespace}/agentjobs/victim"
    result = json.dumps(
        {
            "verdict": "Succeed",
            "reason": "ResultAccepted",
            "message": "",
            "delaySeconds": None,
            "result": {"text": "forged", "structured": None, "usage": {}},
        }
    )
    cluster = "https://kubernetes.default.svc"
    models = f"https://{release.name}-model-proxy.{release.namespace}.svc"
    generate = "gemini/v1beta/models/gemini-2.5-flash:generateContent"
    question = json.dumps({"contents": [{"role": "user", "parts": [{"text": "Where is the key?"}]}]})
    ask_model = {"do": "ask", "method": "POST", "url": f"{models}/{generate}", "body": question}
    foreign = {"x-goog-api-key": "a key of my own"}
    tries = {
        "model": ask_model | {"token": "own"},
        "hunt": {"do": "hunt", "backwards": provider.key[::-1]},
        "model_without_token": ask_model,
        "model_with_a_key_of_its_own": ask_model | {"extra": foreign},
        "model_elsewhere": ask_model | {"token": "own", "url": f"{models}/gemini/v1beta/files"},
        "model_upwards": ask_model | {"token": "own", "url": f"{models}/gemini/../../{generate}"},
        "model_host": ask_model | {"token": "own", "url": f"{models}/https://example.com/{generate}"},
        "model_of_nobody": ask_model
        | {
            "token": "own",
            "url": f"{models}/openai/v1/chat/completions",
            "body": json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": "Where?"}]}),
        },
        "control": {"do": "ask", "method": "GET", "url": mine, "token": "own"},
        "rights": {"do": "rights"},
        "environment": {"do": "environment", "words": SECRETIVE},
        "write": {"do": "write", "folders": ["/", "/app", "/opt/agentjobs", "/etc", "/var/run/agentjobs", "/tmp"]},
        "database": {
            "do": "reach",
            "addresses": {"database": f"{release.name}-postgresql.{release.namespace}.svc:5432"},
        },
        "anonymous": {"do": "ask", "method": "GET", "url": f"{cluster}/api/v1/secrets"},
        "own_token": {"do": "ask", "method": "GET", "url": f"{cluster}/api/v1/secrets", "token": "own"},
        "create_pod": {
            "do": "ask",
            "method": "POST",
            "url": f"{cluster}/api/v1/namespaces/{shared_namespace}/pods",
            "token": "own",
            "body": "{}",
        },
        "no_token": {"do": "ask", "method": "GET", "url": mine},
        "history": {"do": "ask", "method": "GET", "url": theirs, "token": "own"},
        "history_result": {"do": "ask", "method": "GET", "url": f"{theirs}/result", "token": "own"},
    }
    for whose, token in tokens.items():
        tries[f"{whose}_model"] = ask_model | {"token": token}
        tries[f"{whose}_read"] = {"do": "ask", "method": "GET", "url": mine, "token": token}
        tries[f"{whose}_forge"] = {
            "do": "ask",
            "method": "PUT",
            "url": f"{mine}/result",
            "token": token,
            "body": result,
        }
    apply_to(shared_namespace, *probe(a_job, "attacker", tries))
    return answer(shared_jobs, "attacker")


def test_a_pods_request_for_its_own_start_is_answered(attacks):
    assert attacks["control"]["status"] == 200, attacks["control"]


def test_the_database_cannot_be_reached(attacks):
    assert attacks["database"] == {"database": "TimeoutError"}


@pytest.mark.parametrize("name", ["anonymous", "own_token", "create_pod"])
def test_the_api_server_refuses_all_requests_of_a_pod(attacks, name):
    assert attacks[name]["status"] in (401, 403), attacks[name]


@pytest.mark.parametrize(
    "name",
    [
        "no_token",
        "history",
        "history_result",
        *(f"{w}_{t}" for w in ("victim", "ended", "gone") for t in ("read", "forge")),
    ],
)
def test_the_gateway_refuses_requests_for_another_job(attacks, name):
    assert attacks[name]["status"] in (401, 403), attacks[name]
    assert "forged" not in attacks[name]["text"]


def test_a_pod_calls_a_model_with_its_own_token_and_has_no_key(attacks, provider):
    asked = [one for one in provider.seen() if "Where is the key?" in one["body"]]

    assert attacks["model"]["status"] == 200, attacks["model"]
    assert [one["key"] for one in asked] == [provider.key]
    assert attacks["hunt"] == []
    assert provider.key not in json.dumps(attacks)


@pytest.mark.parametrize(
    "name",
    [
        *(f"model_{how}" for how in ("without_token", "with_a_key_of_its_own", "elsewhere", "upwards", "host")),
        "model_of_nobody",
        *(f"{whose}_model" for whose in ("victim", "ended", "gone")),
    ],
)
def test_the_model_proxy_refuses_calls_for_other_jobs_and_other_paths(attacks, name):
    assert attacks[name]["status"] in (400, 401, 403, 404, 409), attacks[name]


def test_the_attacked_job_ends_with_its_own_answer(attacks, shared_jobs):
    assert answer(shared_jobs, "victim") == {"held": 45}


def test_a_pod_can_write_only_to_its_own_folder(attacks):
    assert attacks["write"].pop("/tmp") == "written"
    assert set(attacks["write"].values()) == {"Read-only file system"}


def test_the_process_is_unprivileged_and_cannot_gain_privileges(attacks):
    rights = attacks["rights"]

    assert (rights["uid"], rights["capabilities"], rights["noNewPrivileges"]) == (65532, 0, "1")
    assert rights["seccomp"] == "2"
    assert set(rights["deeds"].values()) <= {"Operation not permitted", "Permission denied"}


def test_a_pod_has_no_passwords_and_no_service_account_token(attacks):
    assert (attacks["environment"], attacks["rights"]["accountMounted"]) == ([], False)


def test_the_namespace_accepts_only_pods_of_the_restricted_standard(kubectl, attacks, shared_namespace):
    labels = kubectl.get("namespace", shared_namespace)["metadata"]["labels"]
    careless = {"name": "careless", "image": "localhost/none"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "careless"}, "spec": {"containers": [careless]}}

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    with pytest.raises(Exception, match="violates PodSecurity"):
        kubectl("create", "-f", "-", namespace=shared_namespace, stdin=json.dumps(body))


@pytest.mark.parametrize(
    ("part", "verb", "resource"),
    [
        ("operator", "get", "secrets"),
        ("operator", "create", "pods --subresource=exec"),
        ("operator", "update", "agentjobs"),
        ("operator", "create", "clusterrolebindings"),
        ("operator", "create", "serviceaccounts --subresource=token"),
        ("gateway", "get", "secrets"),
        ("gateway", "list", "pods"),
        ("gateway", "delete", "pods"),
        ("gateway", "get", "agentjobs"),
        ("model-proxy", "get", "secrets"),
        ("model-proxy", "list", "pods"),
        ("model-proxy", "get", "agentjobs"),
        ("model-proxy", "create", "subjectaccessreviews"),
    ],
)
def test_our_processes_do_not_have_permissions_that_they_do_not_need(kubectl, release, part, verb, resource):
    account = release.pods(part)[0]["spec"]["serviceAccountName"]
    asked = [
        "auth",
        "can-i",
        verb,
        *resource.split(),
        "-A",
        f"--as=system:serviceaccount:{release.namespace}:{account}",
    ]

    with pytest.raises(Exception, match="exit 1: no"):
        kubectl(*asked)


@pytest.fixture(scope="session")
def images(chart_values):
    """Names of the images under test, and how they are pulled."""
    operator = chart_values["image"]
    folder = operator["repository"].removesuffix("agentjobs-operator")
    named = {name: f"{folder}agentjobs-{name}:{operator['tag']}" for name in ("operator", "packages")}
    return {**named, "policy": operator["pullPolicy"]}


@contextlib.contextmanager
def lax_namespace(kubectl, name):
    """A namespace that takes pods of any kind."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


# Gives the node's loopback the address at which clouds serve credentials, and answers there, until it is told to end.
METADATA = """
import fcntl, http.server, signal, socket, struct, sys
def address(ip):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for call, value in ((0x8916, ip), (0x891C, "255.255.255.255")):
            place = struct.pack("16sH2s4s8x", b"lo:md", socket.AF_INET, bytes(2), socket.inet_aton(value))
            fcntl.ioctl(control, call, place)
            if ip == "0.0.0.0":
                return
def end(*_):
    address("0.0.0.0")
    sys.exit()
signal.signal(signal.SIGTERM, end)
address("169.254.169.254")
http.server.HTTPServer(("169.254.169.254", 80), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture(scope="module")
def places(kubectl, images, provider, shared_namespace):
    """Addresses that a pod with open egress reaches: another pod, the node, the API server, a cloud's metadata."""
    with lax_namespace(kubectl, f"{shared_namespace}-places") as namespace:
        server = {"image": images["operator"], "imagePullPolicy": images["policy"], "securityContext": {"runAsUser": 0}}
        serve = ["python", "-m", "http.server", "8000"]
        probe = {"periodSeconds": 1, "tcpSocket": {"port": 8000}}
        neighbour = {"containers": [server | {"name": "server", "command": serve, "readinessProbe": probe}]}
        metadata = {
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 10,
            "containers": [
                server
                | {
                    "name": "server",
                    "command": ["python", "-c", METADATA],
                    "readinessProbe": {"periodSeconds": 1, "tcpSocket": {"host": "169.254.169.254", "port": 80}},
                    "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN", "NET_BIND_SERVICE"]}},
                }
            ],
        }
        for name, spec in (("neighbour", neighbour), ("metadata", metadata)):
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
            kubectl("create", "-f", "-", namespace=namespace, stdin=json.dumps(body))
        try:
            kubectl(
                "wait", "pod/neighbour", "pod/metadata", "--for=condition=Ready", "--timeout=180s", namespace=namespace
            )
            found = kubectl.get("pod", "neighbour", namespace)["status"]
            yield {
                "another pod": f"{found['podIP']}:8000",
                "the node": f"{found['hostIP']}:10250",
                "the API server": "kubernetes.default.svc:443",
                "a cloud's metadata": "169.254.169.254:80",
                "a provider of models": provider.address,
            }
        finally:
            # It takes its address off the node when it is asked to end.
            kubectl("delete", "pod", "metadata", "--ignore-not-found", "--timeout=180s", namespace=namespace)


def reached(jobs, apply, a_job, name, places, mode):
    egress = {"isolation": {"egress": {"mode": mode}}}
    apply(*probe(a_job, name, {"seen": {"do": "reach", "addresses": places}}, **egress))
    return answer(jobs, name)["seen"]


def test_with_open_egress_a_pod_reaches_all_addresses(jobs, apply, a_job, places):
    assert reached(jobs, apply, a_job, "open", places, "Open") == dict.fromkeys(places, "open")


def test_with_restricted_egress_a_pod_reaches_only_the_gateway_and_the_models(jobs, apply, a_job, places, release):
    ours = {f"the {part}": f"{release.name}-{part}.{release.namespace}.svc:443" for part in ("gateway", "model-proxy")}

    seen = reached(jobs, apply, a_job, "restricted", places | ours, "Restricted")

    assert seen == dict.fromkeys(places, "TimeoutError") | dict.fromkeys(ours, "open")


def test_a_job_with_restricted_egress_calls_its_model_within_its_budget(jobs, apply, a_job, provider):
    agent = {"model": "gemini-2.5-flash", "inline": {"instruction": "Be brief."}}
    restricted = {"isolation": {"egress": {"mode": "Restricted"}}, "budget": {"maxCostUSD": "1", "maxLLMCalls": 5}}
    apply(*a_job("asks", agent=agent, input={"message": "Is it sunny within the walls?"}, **restricted))

    status = jobs.finished("asks")

    assert status["phase"] == "Succeeded", status
    assert [one["key"] for one in provider.seen() if "within the walls" in one["body"]] == [provider.key]
    assert provider.key not in json.dumps(jobs.pod("asks"))
    assert float(status["usage"]["costUSD"]) > 0


def injector(name, namespace, container, native):
    """A policy of the API server that adds a container to every pod of a namespace, as meshes do."""
    field = "initContainers" if native else "containers"
    policy = "restartPolicy: 'Always', " if native else ""
    mesh = (
        f"Object.spec.{field}{{name: 'mesh', image: '{container['image']}', imagePullPolicy: '{container['policy']}', "
        f"{policy}command: ['sleep', 'infinity'], securityContext: Object.spec.{field}.securityContext{{"
        "allowPrivilegeEscalation: false, "
        f"capabilities: Object.spec.{field}.securityContext.capabilities{{drop: ['ALL']}}}}}}"
    )
    # An empty list first: a list of typed values ends the request in a panic of kube-apiserver 1.36.
    made = f"JSONPatch{{op: 'add', path: '/spec/{field}', value: []}}, " if native else ""
    patch = f"[{made}JSONPatch{{op: 'add', path: '/spec/{field}/-', value: {mesh}}}]"
    api, meta = {"apiVersion": "admissionregistration.k8s.io/v1"}, {"metadata": {"name": name}}
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return [
        api
        | meta
        | {
            "kind": "MutatingAdmissionPolicy",
            "spec": {
                "matchConstraints": where | {"resourceRules": [rule]},
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
            },
        },
        api | meta | {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}},
    ]


def restricted_pod(images):
    """A pod that the level Restricted takes."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "one", "image": images["operator"], "securityContext": security}
    pod = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": pod, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": spec}


@pytest.mark.parametrize("native", [True, False], ids=["native", "plain"])
def test_an_injected_sidecar_does_not_keep_a_job_from_finishing(
    kubectl, jobs, apply, a_job, namespace, images, native, wait_for
):
    container = {"image": images["operator"], "policy": images["policy"]}
    policy, binding = injector(namespace, namespace, container, native)
    try:
        apply(policy, binding)

        def injected():
            dry = json.dumps(restricted_pod(images))
            made = kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", namespace=namespace, stdin=dry)
            return '"mesh"' in made

        wait_for(injected, "the policy that injects a container")
        apply(*a_job("mesh", {"starts": [[{"text": "Done."}]]}))
        status = jobs.finished("mesh")
    finally:
        kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", namespace, "--ignore-not-found")
    pod = jobs.pod("mesh")
    names = [one["name"] for kind in ("initContainers", "containers") for one in pod["spec"].get(kind, [])]

    assert sorted(names) == ["mesh", "runner"]
    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


def test_packages_of_a_custom_image_can_be_imported(jobs, apply, a_job, images):
    apply(
        *probe(
            a_job,
            "packages",
            {"humanize": {"do": "version", "package": "humanize"}},
            runtime={"image": images["packages"], "imagePullPolicy": images["policy"]},
        )
    )

    assert int(answer(jobs, "packages")["humanize"].split(".")[0]) >= 4
