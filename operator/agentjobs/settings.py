"""The settings of an installation, read once from the environment by the command that starts a process.

Every variable is `AGENTJOBS_` and the field's name in upper case. Values are passed down as arguments; nothing else
reads the environment. An invalid value ends the process with a message that names the variable.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agentjobs.api.fields import DNS_LABEL, Quantity
from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Toleration
from agentjobs.api.queues.spec import MAX_QUEUE_NAME, MAX_SLOTS
from agentjobs.durations import parse_duration
from agentjobs.errors import Misconfigured

PREFIX = "AGENTJOBS_"

CLUSTER_DNS = (
    EgressRule.model_validate(
        {
            "to": [
                {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                }
            ],
            "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
        }
    ),
)


def _names(value: object) -> object:
    """Read `a, b` as a list of names."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _duration(value: object) -> object:
    """Read a duration such as `1h30m`, as everywhere in our API."""
    return parse_duration(value) if isinstance(value, str) else value


def _json(value: object) -> object:
    """Parse JSON ourselves, so that invalid JSON is reported like any other invalid value."""
    return json.loads(value) if isinstance(value, str) else value


Rules = Annotated[tuple[EgressRule, ...], NoDecode, BeforeValidator(_json)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
AccessModes = Annotated[
    tuple[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"], ...], NoDecode, BeforeValidator(_names)
]
Slots = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_QUEUE_NAME, pattern=DNS_LABEL)],
        Annotated[int, Field(ge=0, le=MAX_SLOTS)],
    ],
    NoDecode,
    BeforeValidator(_json),
]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: SecretStr
    """PostgreSQL, as `postgresql://user:password@host/name`."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum severity of log lines."""

    log_format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for people."""


class _ProbedSettings(_Settings):
    """Settings of a process that serves only probes and Prometheus."""

    probe_address: str = ":8081"
    """`host:port` of `/healthz`, `/readyz` and `/metrics`; without host, on all interfaces."""

    @field_validator("probe_address")
    @classmethod
    def _has_port(cls, value: str) -> str:
        host_and_port(value)
        return value


class _ModelsSettings(_Settings):
    """Settings of both operator and model proxy."""

    models_file: Path | None = None
    """Models file: providers, keys, aliases, limits, prices. Unset: only the providers configured by variables of
    their own clients (`GOOGLE_API_KEY` and the like), with the built-in prices."""


class OperatorSettings(_ModelsSettings, _ProbedSettings):
    """Settings of `agentjobs operator`."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; unset in a cluster, where the pod's service account is used."""

    namespaces: Names = ()
    """Namespaces to serve, separated by commas; empty for all."""

    gateway_url: str
    """Address of the gateway for runner pods, e.g. `https://agentjobs-gateway.agentjobs.svc`."""

    gateway_ca: str | None = None
    """Path in the runner's container of the CA file (PEM) for the gateway's certificate."""

    gateway_ca_file: Path | None = None
    """Path in the operator's container of a CA file (PEM) that is copied to each runner pod; instead of `gateway_ca`.
    At most 64 KiB.

    When its content changes, the operator ends gracefully, so that it is restarted and reads the file again.
    """

    gateway_egress: Rules = ()
    """Egress rules of a NetworkPolicy from runner pods to the gateway, as a JSON list. Required for jobs with
    `isolation.egress.mode: Restricted`. Ports are those of the gateway's pods: `[{"to": [{"namespaceSelector": …,
    "podSelector": …}], "ports": [{"port": 8443}]}]`."""

    models_url: str | None = None
    """Address of the model proxy for runner pods, e.g. `https://agentjobs-proxy.agentjobs.svc`. Unset: they call
    providers directly, with keys of their own environment, and budgets in dollars are not possible."""

    models_egress: Rules = ()
    """Egress rules to the model proxy, in the form of `gateway_egress`. Required like those, unless both have the same
    address."""

    dns_egress: Rules = CLUSTER_DNS
    """Egress rules to DNS, in the same form; by default pods of `kube-system` with `k8s-app: kube-dns`."""

    runner_image: str = "ghcr.io/agentjobs/runner:0.1.0"
    """Default image of runner pods."""

    runner_image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Default pull policy of runner pods."""

    runner_resources: dict[str, Any] = Field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        }
    )
    """Default resources of runner containers, as JSON: `{"requests": {…}, "limits": {…}}`."""

    runner_node_selector: dict[str, str] = Field(default_factory=dict)
    """Node selector of runner pods, as JSON; a job's labels are added and take precedence."""

    runner_tolerations: tuple[Toleration, ...] = ()
    """Tolerations of every runner pod, as JSON: `[{"key": "…", "value": "…", "effect": "NoSchedule"}]`."""

    service_accounts: Names = ()
    """Service accounts that jobs may use for their pods, separated by commas; `default` is always allowed."""

    images: Names = ()
    """Images that jobs may use, separated by commas: `ghcr.io/acme/agent:1.2`, or a prefix with `*`, such as
    `ghcr.io/acme/*`. Compared literally, no registry or tag is added. Empty: any image."""

    runner_image_pull_secrets: Names = ()
    """Image pull secrets of runner pods, separated by commas; they must be in the job's namespace."""

    runner_env: dict[str, str] = Field(default_factory=dict)
    """Variables of every runner container, as a JSON object; a job's own take precedence. Not for secrets, because they
    are visible in pods."""

    worktree_storage_class: str | None = None
    """Storage class of the volumes of Named worktrees; unset for the cluster's default."""

    worktree_access_modes: AccessModes = ("ReadWriteOnce",)
    """Access modes of these volumes, separated by commas."""

    git_cache_size: Quantity | None = None
    """Size of each namespace's volume for copies of repositories, e.g. `20Gi`; unset for none."""

    git_cache_storage_class: str | None = None
    """Its storage class; unset for the cluster's default."""

    git_cache_access_modes: AccessModes = ("ReadWriteMany",)
    """Its access modes, separated by commas. With `ReadWriteOnce` all jobs with a workspace run on one node."""

    queues: Slots = Field(default_factory=lambda: {"agents": 10, "scheduled": 5})
    """The queues that every namespace has without an AgentQueue, each with its number of slots, as a JSON object; 0
    stops a queue. `agents` and `scheduled` are the defaults of jobs and schedules."""

    follow_up_depth: int = Field(default=10, ge=1, le=1000)
    """Maximum number of jobs before one in a chain of follow-ups. It ends endless chains."""

    sinks: Names = ()
    """Names of the sinks that jobs may notify, separated by commas; the notifier has their addresses."""

    history_retention: Duration = timedelta(days=90)
    """How long PostgreSQL keeps a job after its end, once its object is gone; `0s`: forever."""

    event_retention: Duration = timedelta(days=30)
    """How long it keeps the timelines of such a job; `0s`: as long as the job."""

    session_retention: Duration = timedelta(days=90)
    """How long it keeps a session with its artifacts, and data of users and apps, after the last use; `0s`: forever.
    """

    workers: int = Field(default=32, ge=1, le=256)
    """How many jobs are reconciled at the same time; more than 32 only help with a very slow API server.

    A quarter as many workers process idle objects.
    """

    resync: Duration = Field(default=timedelta(hours=1), ge=timedelta(seconds=10))
    """How often the caches are compared with the API server, to repair events that a watch may have missed; at least
    `10s`.
    """

    leader_elect: bool = True
    """Whether to hold a Lease while working; disable it only if a second operator cannot be started."""

    lease_namespace: str = "agentjobs"
    """Namespace of the Lease: the operator's own."""

    lease_name: str = "agentjobs-operator"
    """Name of the Lease; two installations in one namespace need different names."""

    lease_duration: Duration = timedelta(seconds=15)
    """How long a standby waits for a leader that no longer renews."""

    lease_deadline: Duration = timedelta(seconds=10)
    """How long a leader continues without a renewal; less than `lease_duration`."""

    lease_retry: Duration = Field(default=timedelta(seconds=2), ge=timedelta(milliseconds=100))
    """How often the leader renews and a standby checks; at least `100ms`."""

    identity: str | None = None
    """Name of this process in the Lease and in Events; unset: host name and a random part."""

    @model_validator(mode="after")
    def _lease_is_ordered(self) -> "OperatorSettings":
        if not self.lease_retry < self.lease_deadline < self.lease_duration:
            raise ValueError(
                f"lease_retry {self.lease_retry} must be less than lease_deadline {self.lease_deadline}, which must "
                f"be less than lease_duration {self.lease_duration}"
            )
        return self


class ServerSettings(_Settings):
    """Settings of a server process."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; unset in a cluster, where the pod's service account is used."""

    host: str = "0.0.0.0"  # noqa: S104  runner pods come from other machines
    """Interface to listen on."""

    tls_cert: Path | None = None
    """PEM file of the certificate chain; without it and `tls_key`, serves plain http, for development only."""

    tls_key: Path | None = None
    """PEM file of the certificate's key."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key must be set together")
        return self


class _PodServerSettings(ServerSettings):
    """Settings of a server process for runner pods."""

    check_addresses: bool = True
    """Whether a runner's token is only valid from its pod's address, so that a stolen one is useless elsewhere.

    Disable it if something in between changes addresses, like sidecars of some service meshes.
    """


class GatewaySettings(_PodServerSettings):
    """Settings of `agentjobs gateway`."""

    port: int = Field(default=8443, ge=0, le=65535)
    """Port to listen on; 0 for a free one."""

    triggers_file: Path | None = None
    """YAML triggers file: which signed calls create jobs of which templates; reloaded when it changes. Unset: none.
    """


class ProxySettings(_PodServerSettings):
    """Settings of `agentjobs proxy`."""

    port: int = Field(default=8444, ge=0, le=65535)
    """Port to listen on; 0 for a free one."""

    models_file: Path | None = None
    """YAML file of providers, keys, models, limits and prices; reloaded when it changes.

    Unset: the variables of the providers' own clients (`GOOGLE_API_KEY`, `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`), for
    development.
    """

    drain: Duration = timedelta(seconds=20)
    """How long calls may continue after SIGTERM; then they are cut and settled. The pod's grace period must be ten
    seconds longer."""


class NotifierSettings(_ProbedSettings):
    """Settings of `agentjobs notifier`."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; unset in a cluster, where the pod's service account is used. Only used once, to read the
    cluster's uid."""

    sinks_file: Path
    """YAML sinks file; reloaded when it changes."""

    notification_longest_wait: Duration = Field(default=timedelta(hours=1), ge=timedelta(seconds=5))
    """Maximum wait between tries of a failed notification; at least `5s`."""

    notification_give_up_after: Duration = Field(default=timedelta(days=3), ge=timedelta(minutes=1))
    """How long it is retried; at least `1m`."""


def operator_settings(**values: Any) -> OperatorSettings:
    """Read the operator's settings; `values` override the environment. Raises Misconfigured with all invalid ones."""
    try:
        return OperatorSettings(**values)
    except ValidationError as error:
        raise named(error) from None


def gateway_settings(**values: Any) -> GatewaySettings:
    """Read the gateway's settings; `values` override the environment. Raises Misconfigured with all invalid ones."""
    try:
        return GatewaySettings(**values)
    except ValidationError as error:
        raise named(error) from None


def proxy_settings(**values: Any) -> ProxySettings:
    """Read the model proxy's settings; `values` override the environment. Raises Misconfigured, naming each invalid
    variable.
    """
    try:
        return ProxySettings(**values)
    except ValidationError as error:
        raise named(error) from None


def notifier_settings(**values: Any) -> NotifierSettings:
    """Read the notifier's settings; `values` override the environment. Raises Misconfigured with all invalid ones."""
    try:
        return NotifierSettings(**values)
    except ValidationError as error:
        raise named(error) from None


def named(error: ValidationError) -> Misconfigured:
    """Return the variables and the rules that they break, without values, which may be secrets."""
    problems = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        variable = str(problem["loc"][0]).upper() if problem["loc"] else ""
        place = ".".join(str(part) for part in problem["loc"][1:])
        broken = "is required" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
        rule = (f"{place}: " if place else "") + broken
        problems.append(f"{PREFIX}{variable}: {rule}" if variable else rule)
    return Misconfigured("settings: " + "; ".join(problems))


def host_and_port(address: str) -> tuple[str | None, int]:
    """Split `host:port`; an empty host means all interfaces (None). `[::1]:8081` is IPv6.

    Raises:
        ValueError: no port, or not between 0 and 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{address!r} is not an address: use host:port or :port, e.g. ':8081'")
    return host.strip("[]") or None, int(port)
