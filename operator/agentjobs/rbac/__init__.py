"""The RBAC rules of operator, gateway, model proxy, notifier and dashboard, and the objects to apply.

`chart` writes the chart's templates from them.

The operator's rules for the kinds that it watches come from their rows in `reconcile.kinds`, all others from the YAML
files next to this module. Used by the chart, `agentjobs dev` and the tests. Never connects to a cluster.
"""

from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any, Final, Literal

import yaml

from agentjobs.engine.kinds import Kind
from agentjobs.reconcile.kinds import KINDS

Part = Literal["operator", "gateway", "proxy", "notifier", "dashboard"]
Object = dict[str, Any]

_GROUP: Final = "rbac.authorization.k8s.io"


def roles(part: Part, *, kinds: Iterable[Kind[Any, Any]] = KINDS) -> list[Object]:
    """Return the ClusterRole of a part and, if it needs one in its own namespace, its Role without a namespace."""
    text = files(__package__).joinpath(f"{part}.yaml").read_text(encoding="utf-8")
    cluster, *others = yaml.safe_load_all(text)
    if part == "operator":
        cluster["rules"] = [*_rules(kinds), *cluster["rules"]]
    return [cluster, *others]


def _rules(kinds: Iterable[Kind[Any, Any]]) -> Iterator[Object]:
    """Return a rule for each set of verbs of the rows."""
    for kind in kinds:
        for subresource, verbs in kind.access.items():
            name = f"{kind.resource.plural}/{subresource}" if subresource else kind.resource.plural
            yield {"apiGroups": [kind.resource.group], "resources": [name], "verbs": list(verbs)}


def trigger_role() -> Object:
    """Return the gateway's Role for a namespace of signed triggers, without the namespace."""
    found: Object = yaml.safe_load(files(__package__).joinpath("triggers.yaml").read_text(encoding="utf-8"))
    return found


def impersonation_role() -> Object:
    """Return the dashboard's ClusterRole for sign-in by OpenID Connect or by headers."""
    found: Object = yaml.safe_load(files(__package__).joinpath("impersonation.yaml").read_text(encoding="utf-8"))
    return found


def impersonation_objects(*, namespace: str) -> list[Object]:
    """Return the ClusterRole and its binding for the dashboard whose service account is in `namespace`."""
    role = impersonation_role()
    name = role["metadata"]["name"]
    binding = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "agentjobs-dashboard", "namespace": namespace}],
    }
    return [role, binding]


def trigger_objects(*, namespace: str, account: str) -> list[Object]:
    """Return the Role and its binding for signed triggers of a namespace.

    Args:
        account: the namespace of the gateway's service account.
    """
    role = trigger_role()
    name = role["metadata"]["name"]
    where = {"name": name, "namespace": namespace}
    binding = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": where,
        "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "agentjobs-gateway", "namespace": account}],
    }
    return [role | {"metadata": where}, binding]


def objects(part: Part, *, namespace: str) -> list[Object]:
    """Return a service account `agentjobs-PART` in `namespace` with exactly the part's roles, in all namespaces."""
    name = f"agentjobs-{part}"
    meta = {"name": name, "namespace": namespace}
    made: list[Object] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}]
    for role in roles(part):
        where = {"namespace": namespace} if role["kind"] == "Role" else {}
        made.append({**role, "metadata": {**role["metadata"], **where}})
        made.append(
            {
                "apiVersion": f"{_GROUP}/v1",
                "kind": f"{role['kind']}Binding",
                "metadata": {"name": role["metadata"]["name"], **where},
                "roleRef": {"apiGroup": _GROUP, "kind": role["kind"], "name": role["metadata"]["name"]},
                "subjects": [{"kind": "ServiceAccount", **meta}],
            }
        )
    return made
