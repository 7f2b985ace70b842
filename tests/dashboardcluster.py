"""A whole cluster with a dashboard, in a thread of its own, and the objects that tests make in it.

The browser's driver holds the event loop of the thread that it runs in.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal

from agentjobs.dev.up import DevCluster, up
from devcluster.client import CONFIG_MAPS, SERVICE_ACCOUNTS, ApiError, Resource

ROOT = Path(__file__).parents[1]
_ROLES = "rbac.authorization.k8s.io", "v1"
KINDS = {
    "ConfigMap": CONFIG_MAPS,
    "ServiceAccount": SERVICE_ACCOUNTS,
    "Role": Resource(*_ROLES, "roles", "Role"),
    "RoleBinding": Resource(*_ROLES, "rolebindings", "RoleBinding"),
    **{
        kind: Resource("agentjobs.dev", "v1alpha1", f"{kind.lower()}s", kind)
        for kind in ("AgentJob", "AgentQueue", "AgentSchedule", "AgentTemplate")
    },
}


class Whole:
    """What a user and a saboteur can do to the cluster."""

    def __init__(self, cluster: DevCluster, portal: BlockingPortal) -> None:
        self.cluster = cluster
        self.namespace = cluster.place.namespace
        self._portal = portal

    def call(self, function, *args, **kwargs):
        """Call in the cluster's event loop."""
        return self._portal.call(lambda: function(*args, **kwargs))

    def make(self, *bodies):
        """Make objects."""
        for body in bodies:
            self.call(self.cluster.client.create, KINDS[body["kind"]], self.namespace, body)

    def example(self, path, **renamed):
        """Make the objects of an example, with texts replaced."""
        text = (ROOT / "examples" / path).read_text()
        for old, new in renamed.items():
            text = text.replace(old, new)
        self.make(*yaml.safe_load_all(text))

    def job(self, name, *answers, **spec):
        """Make a job whose model gives these answers, with its script."""
        script = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}}
        agent = {"model": f"scripted/{name}/script", "inline": {"instruction": "Be brief."}}
        # A runner that is told to stop continues with its step for as long as it may.
        runtime = {"terminationGracePeriodSeconds": 1}
        # A call of a model that takes ten minutes is one that no one tries again meanwhile.
        long_timeout = {"llm": {"timeout": "1h"}}
        work = {"agent": agent, "input": {"message": "Go."}, "retry": {"maxAttempts": 1}} | spec
        work = {"runtime": runtime, "steps": long_timeout} | work
        self.make(
            script | {"data": {"script": json.dumps({"starts": [list(answers)]})}},
            {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": name}, "spec": work},
        )

    def delete(self, kind, name):
        """Delete an object; that it is gone already is fine."""
        try:
            self.call(self.cluster.client.delete, KINDS[kind], self.namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise

    def person(self, name, *rules):
        """Make a service account that may do what rules of a Role say; return a token of it."""
        account = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        role = {"apiGroup": _ROLES[0], "kind": "Role", "name": name}
        named = {"apiVersion": "/".join(_ROLES), "metadata": {"name": name}}
        self.make(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
            {"kind": "Role", "rules": list(rules), **named},
            {"kind": "RoleBinding", "subjects": [account], "roleRef": role, **named},
        )
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
        return self.call(self.cluster.client.request, "POST", path, body=body)["status"]["token"]


@contextmanager
def whole_cluster(folder, backend, forks) -> Iterator[Whole]:
    """Run a cluster until the block ends."""
    running = up(folder, apiserver=backend, working_folder=ROOT, forks=forks, dashboard=True)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running) as cluster:
        yield Whole(cluster, portal)
