"""What the installation, not the job, says about every pod."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Toleration
from agentjobs.api.job.workspace import DEFAULT_SIZE


@dataclass(frozen=True, slots=True)
class Storage:
    """What a PersistentVolumeClaim that we make asks for."""

    size: str
    class_name: str | None = None
    """None for the cluster's own default class; empty for volumes without a class."""
    access_modes: Sequence[str] = ("ReadWriteOnce",)


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """The operator's settings that are about pods."""

    gateway_url: str
    image: str
    image_pull_policy: str | None = None
    gateway_ca: str | None = None
    """Path in the runner's container of the PEM file that the gateway's certificate is checked against."""
    gateway_authorities: str | None = None
    """The PEM certificates themselves: each pod gets them as a file, and `gateway_ca` does not count."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes for every pod; a job's own win."""
    tolerations: Sequence[Toleration] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every runner container; a job's own win."""
    image_pull_secrets: Sequence[str] = ()
    """Secrets, in the job's namespace, that the images of every pod may be pulled with, beside the job's own."""
    service_accounts: frozenset[str] = frozenset()
    """Service accounts that jobs may name."""
    gateway_egress: tuple[EgressRule, ...] = ()
    """How pods reach the gateway, for network policies; without any, no job can be restricted."""
    models_url: str | None = None
    """Where pods reach the model proxy; None where they ask providers themselves."""
    models_egress: tuple[EgressRule, ...] = ()
    """How pods reach the model proxy, as `gateway_egress`; none are needed where it has the gateway's address."""
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    """The installation's names for models, and the model that each stands for."""
    max_llm_calls: int | None = None
    """Limit on calls of models of jobs whose budget says none; None for no limit."""
    dns_egress: tuple[EgressRule, ...] = ()
    """How pods reach DNS."""
    images: Sequence[str] = ()
    """Images that jobs may name, a `*` at the end meaning all that begin so; none: any."""
    worktrees: Storage = Storage(DEFAULT_SIZE)
    """Of the volumes of Named worktrees, whose size is the job's."""
    git_cache: Storage | None = None
    """Of the cache of repositories that each namespace has; None where there is none."""
