"""A Git server in a pod: tests/gitservers.py with one repository, `team/app`, in a namespace of a test's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GITSERVERS = Path(__file__).parents[1] / "gitservers.py"
PORT = 8080
PASSWORD = "pass/word with%odd:signs"
"""Of the Secrets `reader` and `writer`."""
LABELS = {"app": "git"}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "git"},
    "spec": {"selector": LABELS, "ports": [{"port": PORT}]},
}
_SERVE = f"""
import http.server, pathlib, time
import gitservers

gitservers.ThreadingHTTPServer = lambda _, handler: http.server.ThreadingHTTPServer(("0.0.0.0", {PORT}), handler)
root = pathlib.Path("/tmp/root")
(root / "team").mkdir(parents=True)
gitservers.Repositories(root).make("team/app", {{"README.md": "hello"}})
gitservers.HttpServer(root)
time.sleep(10**6)
"""
_NOBODY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass
class GitServer:
    """Run git in the repository by calling it: `repository("show", "main:README.md")` returns what git printed."""

    kubectl: Any
    namespace: str
    image: str
    """A runner's, which has Git."""
    pull_policy: str

    def __call__(self, *arguments: str) -> str:
        words = ("exec", "git", "--", "git", "-C", "/tmp/root/team/app.git", *arguments)
        printed: str = self.kubectl(*words, namespace=self.namespace)
        return printed

    def start(self, apply: Callable[..., None]) -> None:
        container = {
            "name": "git",
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "command": ["python", "/serve/serve.py"],
            "readinessProbe": {"periodSeconds": 1, "tcpSocket": {"port": PORT}},
            "volumeMounts": [{"name": "serve", "mountPath": "/serve"}],
            "securityContext": _NOBODY,
        }
        files = {"serve.py": _SERVE, "gitservers.py": GITSERVERS.read_text()}
        spec = {"containers": [container], "volumes": [{"name": "serve", "configMap": {"name": "serve"}}]}
        secret = {"username": "reader", "password": PASSWORD}
        apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "serve"}, "data": files},
            SERVICE,
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "git", "labels": LABELS}, "spec": spec},
            *(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": secret}
                for name in ("reader", "writer")
            ),
        )
        self.kubectl("wait", "pod/git", "--for=condition=Ready", "--timeout=240s", namespace=self.namespace)

    def workspace(self, **publish: Any) -> dict[str, Any]:
        """`spec.workspace` of a job that works in the repository, and publishes what it is told to."""
        url = f"http://git.{self.namespace}.svc:{PORT}/team/app.git"
        git = {"url": url, "ref": "main", "secretRef": {"name": "reader"}}
        return {"git": git, **({"publish": {"secretRef": {"name": "writer"}, **publish}} if publish else {})}
