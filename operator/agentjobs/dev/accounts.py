"""Creates service accounts with roles, and their tokens, for the parts of a development cluster.

If a part ran as administrator, missing permissions would not be noticed.
"""

from collections.abc import Sequence
from typing import Final

from devcluster.client import NAMESPACES, SERVICE_ACCOUNTS, ApiError, Client, Object, Resource

_RBAC: Final = "rbac.authorization.k8s.io"
CLUSTER_ROLES: Final = (
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
)
_RESOURCES: Final = {
    resource.kind: resource
    for resource in (
        NAMESPACES,
        SERVICE_ACCOUNTS,
        Resource(_RBAC, "v1", "roles", "Role"),
        Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
        *CLUSTER_ROLES,
    )
}
_TOKEN_SECONDS: Final = 365 * 24 * 3600  # longer than a development cluster runs


async def apply(client: Client, objects: Sequence[Object]) -> None:
    """Create or update namespaces, accounts, roles and bindings."""
    for obj in objects:
        resource = _RESOURCES[obj["kind"]]
        meta = obj["metadata"]
        namespace, name = meta.get("namespace"), meta["name"]
        try:
            await client.create(resource, namespace, obj)
        except ApiError as error:
            if error.code != 409:
                raise
            changed: Object = {key: obj[key] for key in ("rules", "subjects") if key in obj}
            if changed:
                await client.patch(resource, namespace, name, changed)


def renamed(objects: Sequence[Object], prefix: str) -> list[Object]:
    """Return the objects with `prefix-` before the names of ClusterRoles and their bindings, which are cluster-wide."""
    made = []
    for obj in objects:
        changed = obj
        if obj["kind"].startswith("ClusterRole"):
            changed = obj | {"metadata": obj["metadata"] | {"name": f"{prefix}-{obj['metadata']['name']}"}}
        if (obj.get("roleRef") or {}).get("kind") == "ClusterRole":
            changed = changed | {"roleRef": obj["roleRef"] | {"name": f"{prefix}-{obj['roleRef']['name']}"}}
        made.append(changed)
    return made


async def token(client: Client, namespace: str, name: str) -> str:
    """Return a token of a service account."""
    request: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_SECONDS},
    }
    path = SERVICE_ACCOUNTS.path(namespace, name, "token")
    answer = await client.request("POST", path, body=request)
    return str(answer["status"]["token"])
