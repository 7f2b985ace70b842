"""What an installation can set, read once from the environment by the command that starts a process.

Every variable is `AGENTJOBS_` and the field's name in capitals. A value is passed down as an argument from there;
nothing else reads the environment. A wrong value ends the process with a message that names the variable.
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
from agentjobs.errors import Invalid

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
    """Read `1h30m` as everywhere else in our API."""
    return parse_duration(value) if isinstance(value, str) else value


def _json(value: object) -> object:
    """Read JSON ourselves: what is none is then named like any other wrong value."""
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
    """Least severity that is logged."""

    log_format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for people."""


class _ProbedSettings(_Settings):
    """Settings of a process that only probes and Prometheus reach."""

    probe_address: str = ":8081"
    """`host:port` of `/healthz`, `/readyz` and `/metrics`; no host listens on all interfaces."""

    @field_validator("probe_address")
    @classmethod
    def _has_port(cls, value: str) -> str:
        host_and_port(value)
        return value


class _ModelsSettings(_Settings):
    """What operator and model proxy share."""

    models_file: Path | None = None
    """File of models: providers, keys, aliases, limits, prices. Unset, there is no provider but those that variables of
    providers' own clients name (`GOOGLE_API_KEY` and the like), and the shipped prices hold."""


class OperatorSettings(_ModelsSettings, _ProbedSettings):
    """Settings of `agentjobs operator`."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; unset in a cluster, where the pod's service account is used."""

    namespaces: Names = ()
    """Namespaces to serve, separated by commas; none means all of the cluster."""

    gateway_url: str
    """Address at which runner pods reach the gateway, as `https://agentjobs-gateway.agentjobs.svc`."""

    gateway_ca: str | None = None
    """Path, as the runner's container sees it, of the PEM file that the gateway's certificate is checked against."""

    gateway_ca_file: Path | None = None
    """PEM file, as the operator sees it, that each runner pod gets a copy of; in place of `gateway_ca`. At most 64 KiB.

    When its content changes the operator ends gracefully, so that it is started again and reads it anew.
    """

    gateway_egress: Rules = ()
    """How runner pods reach the gateway, as a JSON list of egress rules of a NetworkPolicy. Needed for jobs with
    `isolation.egress.mode: Restricted`. Ports are those of the gateway's pods: `[{"to": [{"namespaceSelector": …,
    "podSelector": …}], "ports": [{"port": 8443}]}]`."""

    models_url: str | None = None
    """Address at which runner pods reach the model proxy, as `https://agentjobs-proxy.agentjobs.svc`. Unset, they ask
    providers themselves, with keys of their own environment, and no budget counts dollars."""

    models_egress: Rules = ()
    """How runner pods reach the model proxy, in the form of `gateway_egress`. Needed as that is, unless both have the
    same address."""

    dns_egress: Rules = CLUSTER_DNS
    """How runner pods reach DNS, in the same form; by default pods of `kube-system` with `k8s-app: kube-dns`."""

    runner_image: str = "ghcr.io/agentjobs/runner:0.1.0"
    """Image of runner pods whose job names none."""

    runner_image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Pull policy of runner pods whose job names none."""

    runner_resources: dict[str, Any] = Field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        }
    )
    """Resources of runner containers whose job names none, as JSON: `{"requests": {…}, "limits": {…}}`."""

    runner_node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes for runner pods, as JSON; labels that a job asks for come on top and win."""

    runner_tolerations: tuple[Toleration, ...] = ()
    """Taints that every runner pod tolerates, as JSON: `[{"key": "…", "value": "…", "effect": "NoSchedule"}]`."""

    service_accounts: Names = ()
    """Service accounts that jobs may name for their pods, separated by commas; `default` is always allowed."""

    images: Names = ()
    """Images that jobs may name, separated by commas: `ghcr.io/acme/agent:1.2`, or with a `*` at the end all that begin
    so, as `ghcr.io/acme/*`. Compared as written, no registry or tag is added. None: any image."""

    runner_image_pull_secrets: Names = ()
    """Secrets that images of runner pods are pulled with, separated by commas; they must be in the job's namespace."""

    runner_env: dict[str, str] = Field(default_factory=dict)
    """Variables of every runner container, as a JSON object; a job's own win. Not for secrets: jobs' pods show them."""

    worktree_storage_class: str | None = None
    """Storage class of the volumes of Named worktrees; unset, the cluster's default."""

    worktree_access_modes: AccessModes = ("ReadWriteOnce",)
    """Access modes of these volumes, separated by commas."""

    git_cache_size: Quantity | None = None
    """Size of the volume that each namespace gets for copies of repositories, as `20Gi`; unset, there is none."""

    git_cache_storage_class: str | None = None
    """Its storage class; unset, the cluster's default."""

    git_cache_access_modes: AccessModes = ("ReadWriteMany",)
    """Its access modes, separated by commas. With `ReadWriteOnce` all jobs with a workspace run on one node."""

    queues: Slots = Field(default_factory=lambda: {"agents": 10, "scheduled": 5})
    """The queues that every namespace has without an AgentQueue, each with the number of jobs that hold a slot there at
    once, as a JSON object; 0 stops one. `agents` and `scheduled` are what jobs and schedules use that name none."""

    follow_up_depth: int = Field(default=10, ge=1, le=1000)
    """How many jobs may come before one in a chain of follow-ups. It ends chains that would go round for ever."""

    sinks: Names = ()
    """Names of the sinks that jobs may notify, separated by commas; the notifier knows where they are."""

    history_retention: Duration = timedelta(days=90)
    """How long PostgreSQL keeps a job after its end, once its object is gone; `0s` for ever."""

    event_retention: Duration = timedelta(days=30)
    """How long it keeps the timelines of such a job; `0s` as long as the job."""

    session_retention: Duration = timedelta(days=90)
    """How long it keeps a session with its artifacts, and what is a user's or an app's, after the last use; `0s` for
    ever."""

    workers: int = Field(default=32, ge=1, le=256)
    """How many jobs are reconciled at once; more than 32 pays only with a very slow API server.

    A quarter as many work on idle objects.
    """

    resync: Duration = Field(default=timedelta(hours=1), ge=timedelta(seconds=10))
    """How often what is known is compared with the API server, to repair what a watch may have missed; at least
    `10s`."""

    leader_elect: bool = True
    """Whether to hold a Lease while working; switch it off only where nothing else can start a second operator."""

    lease_namespace: str = "agentjobs"
    """Namespace of the Lease: the operator's own."""

    lease_name: str = "agentjobs-operator"
    """Name of the Lease; two installations in one namespace need two."""

    lease_duration: Duration = timedelta(seconds=15)
    """How long a standby waits for a leader that no longer renews."""

    lease_deadline: Duration = timedelta(seconds=10)
    """How long a leader continues without having renewed; less than `lease_duration`."""

    lease_retry: Duration = Field(default=timedelta(seconds=2), ge=timedelta(milliseconds=100))
    """How often the leader renews and a standby looks; at least `100ms`."""

    identity: str | None = None
    """Name of this process in the Lease and in Events; unset: host name and a random part."""

    @model_validator(mode="after")
    def _lease_is_ordered(self) -> "OperatorSettings":
        if not self.lease_retry < self.lease_deadline < self.lease_duration:
            raise ValueError(
                f"lease_retry {self.lease_retry} must be less than lease_deadline {self.lease_deadline}, "
                f"and that less than lease_duration {self.lease_duration}"
            )
        return self


class ServerSettings(_Settings):
    """Settings of a process that others reach."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; unset in a cluster, where the pod's service account is used."""

    host: str = "0.0.0.0"  # noqa: S104  runner pods come from other machines
    """Interface to listen on."""

    tls_cert: Path | None = None
    """PEM file of the certificate chain; unset with `tls_key` serves plain http, for development only."""

    tls_key: Path | None = None
    """PEM file of the certificate's key."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        return self


class _PodServerSettings(ServerSettings):
    """Settings of a process that runner pods reach."""

    check_addresses: bool = True
    """Whether a runner's token counts only from the address of its pod: a stolen one is worth nothing elsewhere.

    Switch it off where something on the way replaces addresses, as sidecars of some service meshes do.
    """


class GatewaySettings(_PodServerSettings):
    """Settings of `agentjobs gateway`."""

    port: int = Field(default=8443, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    triggers_file: Path | None = None
    """YAML file that says which signed calls make jobs of which templates; read again when it changes. Unset: none."""


class ProxySettings(_PodServerSettings):
    """Settings of `agentjobs proxy`."""

    port: int = Field(default=8444, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    models_file: Path | None = None
    """YAML file that says which providers, keys, models, limits and prices there are; read again when it changes.

    Unset: the variables that the providers' own clients know (`GOOGLE_API_KEY`, `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`),
    for development.
    """

    drain: Duration = timedelta(seconds=20)
    """How long calls under way may go on when the process is told to end; then they are cut, and settled. A platform's
    grace period must be ten seconds longer."""


class NotifierSettings(_ProbedSettings):
    """Settings of `agentjobs notifier`."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; unset in a cluster, where the pod's service account is used. It is asked once, for the
    cluster's name."""

    sinks_file: Path
    """YAML file that says which sinks there are; read again when it changes."""

    notification_longest_wait: Duration = Field(default=timedelta(hours=1), ge=timedelta(seconds=5))
    """How long a notification that failed waits for its next try at most; at least `5s`."""

    notification_give_up_after: Duration = Field(default=timedelta(days=3), ge=timedelta(minutes=1))
    """How long it is tried; at least `1m`."""


def operator_settings(**values: Any) -> OperatorSettings:
    """Read the operator's settings; `values` win over the environment. Raises Invalid naming each wrong variable."""
    try:
        return OperatorSettings(**values)
    except ValidationError as error:
        raise named(error) from None


def gateway_settings(**values: Any) -> GatewaySettings:
    """Read the gateway's settings; `values` win over the environment. Raises Invalid naming each wrong variable."""
    try:
        return GatewaySettings(**values)
    except ValidationError as error:
        raise named(error) from None


def proxy_settings(**values: Any) -> ProxySettings:
    """Read the model proxy's settings; `values` win over the environment. Raises Invalid naming each wrong variable."""
    try:
        return ProxySettings(**values)
    except ValidationError as error:
        raise named(error) from None


def notifier_settings(**values: Any) -> NotifierSettings:
    """Read the notifier's settings; `values` win over the environment. Raises Invalid naming each wrong variable."""
    try:
        return NotifierSettings(**values)
    except ValidationError as error:
        raise named(error) from None


def named(error: ValidationError) -> Invalid:
    """Name the variables and the rules they break, never the values: they may be secrets."""
    problems = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        variable = str(problem["loc"][0]).upper() if problem["loc"] else ""
        place = ".".join(str(part) for part in problem["loc"][1:])
        rule = (f"{place}: " if place else "") + problem["msg"].removeprefix("Value error, ")
        problems.append(f"{PREFIX}{variable}: {rule}" if variable else rule)
    return Invalid("settings: " + "; ".join(problems))


def host_and_port(address: str) -> tuple[str | None, int]:
    """Split `host:port`; an empty host means all interfaces (None). `[::1]:8081` is IPv6.

    Raises:
        ValueError: no port, or none between 0 and 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{address!r} is not an address: write host:port or :port, as in ':8081'")
    return host.strip("[]") or None, int(port)
