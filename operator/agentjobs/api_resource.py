"""A resource of the Kubernetes API, as a value. `kube.resources` has the constants."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource: the parts of its URLs and of its objects' `apiVersion` and `kind`."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """An object's `apiVersion`: `group/version`, or only the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The prefix of all URL paths of this resource's version, without a trailing slash."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def is_custom(self) -> bool:
        """Whether it is a custom resource: Kubernetes' own groups have no dot, or end in `k8s.io`."""
        return "." in self.group and not self.group.endswith("k8s.io")

    def key(self, name: tuple[str, str]) -> tuple[str, str, str]:
        """Return the key of the object with this namespace and name, unique among all kinds."""
        return (self.kind, *name)
