"""The installation's defaults for pods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Toleration
from agentjobs.api.job.workspace import DEFAULT_SIZE


@dataclass(frozen=True, slots=True)
class Storage:
    """The spec of PersistentVolumeClaims that the operator creates."""

    size: str
    class_name: str | None = None
    """None for the cluster's default class; empty for volumes without a class."""
    access_modes: Sequence[str] = ("ReadWriteOnce",)


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """The operator's settings that are about pods."""

    gateway_url: str
    image: str
    image_pull_policy: str | None = None
    gateway_ca: str | None = None
    """Path in the runner's container of the CA file (PEM) for the gateway's certificate."""
    gateway_ca_bundle: str | None = None
    """The CA certificates (PEM); each pod gets them as a file, instead of `gateway_ca`."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Node selector of every pod; a job's own takes precedence."""
    tolerations: Sequence[Toleration] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every runner container; a job's own take precedence."""
    image_pull_secrets: Sequence[str] = ()
    """Image pull secrets of every pod, in the job's namespace, in addition to the job's own."""
    service_accounts: frozenset[str] = frozenset()
    """Service accounts that jobs may name."""
    gateway_egress: tuple[EgressRule, ...] = ()
    """Egress rules to the gateway, for network policies; without them, egress cannot be restricted."""
    models_url: str | None = None
    """Address of the model proxy; None if pods call providers directly."""
    models_egress: tuple[EgressRule, ...] = ()
    """Egress rules to the model proxy; not needed if it has the gateway's address."""
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    """The installation's aliases, and their models."""
    max_llm_calls: int | None = None
    """Default limit on model calls of a job; None for no limit."""
    dns_egress: tuple[EgressRule, ...] = ()
    """Egress rules to DNS."""
    images: Sequence[str] = ()
    """Images that jobs may use; `*` at the end matches any suffix; empty: all."""
    worktrees: Storage = Storage(DEFAULT_SIZE)
    """Volumes of Named worktrees, whose size is the job's."""
    git_cache: Storage | None = None
    """The cache of repositories of each namespace; None if disabled."""
