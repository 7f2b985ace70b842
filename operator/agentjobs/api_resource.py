"""A resource of the Kubernetes API, as a value. The constants of those that we use stand in `kube.resources`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource: what a URL needs and what an object of it says about itself."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version` as it stands in an object's `apiVersion`; the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path all URLs of this resource's version begin with, without a trailing slash."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition serves it: groups of Kubernetes' own have no dot, or end in `k8s.io`."""
        return "." in self.group and not self.group.endswith("k8s.io")

    def key(self, name: tuple[str, str]) -> tuple[str, str, str]:
        """Return the key of one object, of that namespace and name, among those of all kinds."""
        return (self.kind, *name)
