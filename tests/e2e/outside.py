"""Clients and receivers outside of an installation: a pod that gets notifications and calls the gateway.

It runs the receiver of the example. Whose calls make jobs, and of which template, is in `values`.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECEIVER = Path(__file__).parents[2] / "examples" / "notifications" / "receiver.py"
TEMPLATE = "triage"
SINK = "outside"
SECONDS = 240


@dataclass
class Outside:
    """A pod of its own namespace, and a namespace in which its signed calls make jobs."""

    kubectl: Any
    installation: str
    """Namespace of the installation."""
    image: str
    pull_policy: str
    gateway: str = "agentjobs-gateway"
    """Its Service."""
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    key: str = field(default_factory=lambda: f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}", repr=False)

    @property
    def namespace(self) -> str:
        return f"{self.installation}-outside"

    @property
    def jobs(self) -> str:
        """Where its calls make jobs."""
        return f"{self.installation}-webhooks"

    @property
    def values(self) -> dict[str, Any]:
        """What the chart has to know of it."""
        key, secret = ({"name": "outside", "key": one} for one in ("key", "secret"))
        sink = {"name": SINK, "url": f"http://receiver.{self.namespace}.svc:8077/", "signingKeySecretKeyRef": key}
        trigger = {
            "namespace": self.jobs,
            "template": TEMPLATE,
            "signature": "GitHub",
            "secrets": [secret],
            "when": {"action": ["opened"]},
            "parameters": {"number": "issue.number", "title": "issue.title"},
        }
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}}
        return {
            "notifications": {"sinks": [sink]},
            "triggers": [trigger],
            "networkPolicy": {"gatewayFrom": [here]},
        }

    def keep_keys(self) -> None:
        """Use the keys of an installation that is there: it would see others only after a minute."""
        kept = (self.kubectl.get("secret", "outside", self.installation) or {}).get("data", {})
        self.key, self.secret = (
            base64.b64decode(kept[name]).decode() if name in kept else made
            for name, made in (("key", self.key), ("secret", self.secret))
        )

    def start(self) -> None:
        self.keep_keys()
        container = {
            "name": "receiver",
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "command": ["python", "-c", _SERVE],
            "env": [{"name": "RECEIVER_KEY", "value": self.key}, {"name": "PYTHONPATH", "value": "/example"}],
            "readinessProbe": {"periodSeconds": 1, "tcpSocket": {"port": 8077}},
            "volumeMounts": [{"name": "example", "mountPath": "/example"}],
        }
        files = {"name": "example", "configMap": {"name": "example"}}
        spec = {"containers": [container], "volumes": [files], "terminationGracePeriodSeconds": 0}
        labels = {"app": "receiver"}
        for kind, place, name, rest in (
            *(("Namespace", None, name, {}) for name in (self.installation, self.namespace, self.jobs)),
            ("Secret", self.installation, "outside", {"stringData": {"key": self.key, "secret": self.secret}}),
            ("ConfigMap", self.namespace, "example", {"data": {"receiver.py": RECEIVER.read_text()}}),
            ("Service", self.namespace, "receiver", {"spec": {"selector": labels, "ports": [{"port": 8077}]}}),
            ("Pod", self.namespace, "receiver", {"spec": spec}),
        ):
            meta = {"name": name, "labels": labels} if kind == "Pod" else {"name": name}
            body = {"apiVersion": "v1", "kind": kind, "metadata": meta, **rest}
            self.kubectl("apply", "-f", "-", namespace=place, stdin=json.dumps(body))
        ready = ("wait", "pod/receiver", "--for=condition=Ready", f"--timeout={SECONDS}s")
        self.kubectl(*ready, namespace=self.namespace, seconds=SECONDS + 10)

    def stop(self, *, keep: bool) -> None:
        """Remove the pod, and without `keep` what an installation that stays refers to."""
        for name in (self.namespace, *([] if keep else [self.jobs])):
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def told(self, subject: str) -> list[str]:
        """The events of a job, `namespace/name`, that came with a valid signature, each once."""
        lines = [line.split() for line in self.kubectl("logs", "receiver", namespace=self.namespace).splitlines()]
        return [event for event, about, *_ in lines if about == subject]

    def call(self, body: dict[str, Any], *, namespace: str = "", secret: str = "") -> tuple[int, dict[str, Any]]:
        """Call as GitHub does, through the Service of the gateway; returns status and answer."""
        text = json.dumps(body)
        digest = hmac.new((secret or self.secret).encode(), text.encode(), hashlib.sha256).hexdigest()
        return self._post(namespace or self.jobs, text, "X-Hub-Signature-256", f"sha256={digest}")

    def call_as(self, token: str, body: dict[str, Any], *, namespace: str) -> tuple[int, dict[str, Any]]:
        """Call with a Kubernetes token."""
        return self._post(namespace, json.dumps(body), "Authorization", f"Bearer {token}")

    def _post(self, namespace: str, text: str, header: str, value: str) -> tuple[int, dict[str, Any]]:
        service = f"https://{self.gateway}.{self.installation}.svc"
        authority = self.kubectl.get("configmap", f"{self.gateway}-ca", self.installation)["data"]["ca.crt"]
        asked = {
            "url": f"{service}/v1/namespaces/{namespace}/triggers/{TEMPLATE}",
            "authority": authority,
            "headers": {header: value, "Content-Type": "application/json"},
            "body": text,
        }
        words = ("exec", "-i", "receiver", "--", "python", "-c", _CALL)
        status, answer = json.loads(self.kubectl(*words, namespace=self.namespace, stdin=json.dumps(asked)))
        return status, answer


_SERVE = """
from http.server import ThreadingHTTPServer
from receiver import Receiver

ThreadingHTTPServer(("", 8077), Receiver).serve_forever()
"""
_CALL = """
import json, ssl, sys, urllib.error, urllib.request
asked = json.load(sys.stdin)
call = urllib.request.Request(asked["url"], asked["body"].encode(), asked["headers"], method="POST")
trust = ssl.create_default_context(cadata=asked["authority"])
try:
    answer = urllib.request.urlopen(call, context=trust, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, json.loads(answer.read() or b"{}")]))
"""
