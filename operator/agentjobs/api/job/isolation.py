"""AgentJob.spec.isolation: pod security and network policy of a job's pods.

Rules of a NetworkPolicy are fully typed here: an API server drops unknown fields, and a rule whose misspelt `to` was
dropped allows everything.
"""

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from agentjobs.api.model import Integer, Model
from agentjobs.refused_value import RefusedValue

MAX_PORT = 65535

Label = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=316)]


def parse_network(value: object) -> str:
    """Return an address range such as `203.0.113.0/24` unchanged.

    Raises:
        RefusedValue: it is not a range; the message names value and cure.
    """
    try:
        if isinstance(value, str) and "/" in value:
            ipaddress.ip_network(value, strict=False)
            return value
    except ValueError:
        pass
    raise RefusedValue(value, "is not a range of addresses; use e.g. 203.0.113.0/24 or 2001:db8::/64")


def parse_port(value: object) -> int | str:
    """Return a port's number or name.

    Raises:
        RefusedValue: it is not a port; the message names value and cure.
    """
    if type(value) is int and 1 <= value <= MAX_PORT:
        return value
    if isinstance(value, str) and 1 <= len(value) <= 63 and not value.isdigit():
        return value
    raise RefusedValue(value, f"is not a port; use a number from 1 to {MAX_PORT} or a port's name")


Network = Annotated[
    str, BeforeValidator(parse_network), WithJsonSchema({"type": "string", "minLength": 3, "maxLength": 64})
]
Port = Annotated[
    int | str, BeforeValidator(parse_port), WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 63})
]


class Expression(Model):
    """A condition on one label."""

    key: LabelKey = Field(description="The label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How its value is compared.")
    values: tuple[Label, ...] = Field(default=(), max_length=64, description="Values, for In and NotIn.")


class Selector(Model):
    """Labels that must hold; an empty one selects all."""

    match_labels: dict[str, Label] = Field(default_factory=dict, max_length=32, description="Labels and their values.")
    match_expressions: tuple[Expression, ...] = Field(default=(), max_length=32, description="Conditions on labels.")


class IpBlock(Model):
    """A range of addresses."""

    cidr: Network = Field(description="The range, e.g. `203.0.113.0/24`.")
    # `except` is a Python keyword.
    without: tuple[Network, ...] = Field(default=(), alias="except", max_length=64, description="Ranges left out.")


class Peer(Model):
    """A destination: addresses, or pods selected by labels and namespaces."""

    ip_block: IpBlock | None = Field(default=None, description="Addresses; cannot be combined with selectors.")
    namespace_selector: Selector | None = Field(
        default=None, description="Namespaces by labels. Default: the job's namespace."
    )
    pod_selector: Selector | None = Field(default=None, description="Pods by labels. Default: all of the namespaces.")


class PortRange(Model):
    """A port or a range of ports."""

    protocol: Literal["TCP", "UDP", "SCTP"] = Field(default="TCP", description="Default: TCP.")
    port: Port | None = Field(default=None, description="Number or name. Default: all.")
    end_port: Integer | None = Field(default=None, ge=1, le=MAX_PORT, description="Last port of a range from `port`.")


class EgressRule(Model):
    """Traffic that may leave, as in a NetworkPolicy."""

    to: tuple[Peer, ...] = Field(default=(), max_length=64, description="Destinations. Default: any.")
    ports: tuple[PortRange, ...] = Field(default=(), max_length=64, description="Ports. Default: all.")

    def dump(self) -> dict[str, Any]:
        """Return the rule in the form of a NetworkPolicy."""
        rule: dict[str, Any] = _lean(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        return rule


def _lean(value: Any) -> Any:
    """Remove empty values, as the API server does; an empty selector has a meaning and is kept."""
    if isinstance(value, dict):
        selector = ("namespaceSelector", "podSelector")
        return {key: _lean(item) for key, item in value.items() if item not in ([], {}) or key in selector}
    return [_lean(item) for item in value] if isinstance(value, list) else value


class Egress(Model):
    """What the pods of the job may reach."""

    mode: Literal["Open", "Restricted"] = Field(
        default="Open",
        description="Open does not restrict the network. Restricted creates a NetworkPolicy for the job: its pods "
        "reach only DNS, the gateway, the model proxy and what `allow` names. The cluster's network must enforce "
        "policies. Default: Open.",
    )
    allow: tuple[EgressRule, ...] = Field(
        default=(),
        max_length=32,
        description="With Restricted: further allowed destinations, such as the model's provider; as `egress` of a "
        "NetworkPolicy. A job with a workspace needs its Git host here, and for pull requests the host of its API.",
    )


class Isolation(Model):
    """Pod security and network policy of the job's pods."""

    profile: Literal["Restricted", "Baseline"] = Field(
        default="Restricted",
        description="Pod Security Standard of the pods. Baseline also allows root as `runtime.runAsUser`, the default "
        "capabilities, a writable root file system, and more volume types; the namespace must admit it. Default: "
        "Restricted.",
    )
    egress: Egress = Field(default_factory=Egress, description="What the pods may reach.")
