"""AgentJob.spec.runtime: the pod of a start, with the field names of a pod."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from agentjobs.api.fields import CONFIG_KEY, DNS_LABEL, DNS_SUBDOMAIN, ENV_NAME, MOUNT_PATH, Quantity
from agentjobs.api.model import Boolean, Integer, Model, loose

RESERVED_ENV_PREFIX: Final = "AGENTJOBS_"


class KeyRef(Model):
    """A key of a ConfigMap or Secret, read by the kubelet."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the object.")
    key: str = Field(min_length=1, max_length=253, pattern=CONFIG_KEY, description="Key in its data.")
    optional: Boolean | None = Field(
        default=None, description="Whether the pod may start without the object or key. Default: false."
    )


class FieldRef(Model):
    """A field of the pod."""

    api_version: str | None = Field(default=None, max_length=63, description="Default: v1.")
    field_path: str = Field(min_length=1, max_length=253, description="Path of the field, e.g. `metadata.name`.")


class ResourceFieldRef(Model):
    """A resource of a container of the pod."""

    container_name: str | None = Field(default=None, max_length=63, description="Default: the runner's container.")
    resource: str = Field(min_length=1, max_length=63, description="The resource, e.g. `limits.memory`.")
    divisor: Quantity | None = Field(default=None, description="Unit of the value. Default: 1.")


class EnvVarSource(Model):
    """Where a variable's value comes from: exactly one of the four."""

    secret_key_ref: KeyRef | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyRef | None = Field(default=None, description="A key of a ConfigMap.")
    field_ref: FieldRef | None = Field(default=None, description="A field of the pod.")
    resource_field_ref: ResourceFieldRef | None = Field(default=None, description="A resource of the container.")


class EnvVar(Model):
    """An environment variable, as in a pod."""

    name: str = Field(
        min_length=1,
        max_length=253,
        pattern=ENV_NAME,
        description="Name of the variable; the prefix `AGENTJOBS_` is reserved.",
    )
    value: str | None = Field(default=None, max_length=32768, description="Its value.")
    value_from: EnvVarSource | None = Field(default=None, description="Source of the value, as in a pod.")


class Resources(Model):
    """Compute resources of the runner's container, as in a pod."""

    requests: dict[str, Quantity] | None = Field(
        default=None, max_length=16, description="What the scheduler reserves, e.g. `cpu: 250m`, `memory: 512Mi`."
    )
    limits: dict[str, Quantity] | None = Field(
        default=None, max_length=16, description="The most that the container may use."
    )


class Reference(Model):
    """An object in the job's namespace, by name."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Its name.")


class OptionalReference(Reference):
    """An object in the job's namespace that may be missing."""

    optional: Boolean | None = Field(default=None, description="Whether the pod may start without it. Default: false.")


class EnvFrom(Model):
    """Variables from all keys of a ConfigMap or Secret."""

    prefix: str | None = Field(default=None, max_length=63, description="Prefix of each variable.")
    config_map_ref: OptionalReference | None = Field(default=None, description="The ConfigMap.")
    secret_ref: OptionalReference | None = Field(default=None, description="The Secret.")


class Toleration(Model):
    """A taint the pod tolerates, as in a pod."""

    key: str | None = Field(default=None, max_length=316, description="Key of the taint; without it, all match.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Default: Equal.")
    value: str | None = Field(default=None, max_length=63, description="Value of the taint, with Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; without it, all match."
    )
    toleration_seconds: Integer | None = Field(default=None, ge=0, description="For how long, with NoExecute.")


class VolumeMount(Model):
    """Where a volume is in the runner's container."""

    name: str = Field(min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of the volume.")
    mount_path: str = Field(
        min_length=1,
        max_length=1024,
        pattern=MOUNT_PATH,
        description="Absolute path. /tmp and /var/run/agentjobs are reserved.",
    )
    sub_path: str | None = Field(default=None, max_length=1024, description="Path inside the volume.")
    read_only: Boolean | None = Field(default=None, description="Default: false.")


class Runtime(Model):
    """The pod of one start."""

    image: str | None = Field(
        default=None, min_length=1, max_length=1024, description="Image of the runner. Default: the operator's setting."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled. Default: the operator's setting."
    )
    resources: Resources | None = Field(
        default=None, description="Compute resources of the runner's container. Default: the operator's setting."
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=64,
        description="Environment of the runner's container.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    termination_grace_period_seconds: Integer = Field(
        default=60, ge=0, le=3600, description="Seconds from SIGTERM to SIGKILL. Default: 60."
    )
    pod_retention: Literal["Keep", "KeepOnFailure", "Delete"] = Field(
        default="Keep",
        description="What happens to finished pods: Keep keeps them as long as their job, KeepOnFailure only those "
        "that did not succeed, Delete none. Default: Keep.",
    )
    env_from: tuple[EnvFrom, ...] = Field(
        default=(), max_length=32, description="Variables from all keys of ConfigMaps and Secrets, as in a pod."
    )
    image_pull_secrets: tuple[Reference, ...] = Field(
        default=(), max_length=16, description="Secrets to pull the image with."
    )
    labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=32, description="Additional labels of the pod."
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict, max_length=32, description="Annotations of the pod."
    )
    run_as_user: Integer = Field(
        default=65532,
        ge=0,
        le=2147483647,
        description="User the runner runs as; root (0) only with `isolation.profile: Baseline`. Default: 65532.",
    )
    fs_group: Integer = Field(
        default=65532, ge=1, le=2147483647, description="Group that owns the pod's volumes. Default: 65532."
    )
    service_account_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Service account of the pod; must be in the operator's allow list. Default: `default`.",
    )
    automount_service_account_token: Boolean = Field(
        default=False,
        description="Whether the pod gets a token for the API server. Needs serviceAccountName. Default: false.",
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=32, description="Labels of the nodes the pod may run on."
    )
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32, description="Taints the pod tolerates.")
    affinity: dict[str, Any] = Field(
        default_factory=dict,
        description="Affinity, as in a pod.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    topology_spread_constraints: tuple[dict[str, Any], ...] = loose("How pods are spread, as in a pod.", 16)
    priority_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Priority of the pod on its node.",
    )
    runtime_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Runtime class, e.g. gVisor.",
    )
    volumes: tuple[dict[str, Any], ...] = loose("Volumes of the pod, as in a pod; no hostPath.", 32)
    volume_mounts: tuple[VolumeMount, ...] = Field(
        default=(), max_length=64, description="Where the volumes are in the runner's container."
    )
