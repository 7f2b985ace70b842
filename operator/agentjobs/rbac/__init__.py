"""What operator and gateway may do in a cluster: the YAML files beside this module, and their objects ready to apply.

The one place for it: the chart, `agentjobs dev` and the tests take it from here. Never talks to a cluster.
"""

from importlib.resources import files
from typing import Any, Final, Literal

import yaml

Part = Literal["operator", "gateway"]
Object = dict[str, Any]

_GROUP: Final = "rbac.authorization.k8s.io"


def roles(part: Part) -> list[Object]:
    """Return the ClusterRole of a part and, where it needs one in its own namespace, its Role without a namespace."""
    text = files(__package__).joinpath(f"{part}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def objects(part: Part, *, namespace: str) -> list[Object]:
    """Return a service account `agentjobs-PART` in `namespace` that has the roles in all namespaces, and no more."""
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
