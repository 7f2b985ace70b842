"""Field types shared by the parts of a spec: names, durations, instants, quantities, and patterns of texts."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from agentjobs.durations import (
    DURATION_MAX_LENGTH,
    DURATION_MIN_LENGTH,
    DURATION_PATTERN,
    TIME_MAX_LENGTH,
    TIME_PATTERN,
    format_duration,
    format_time,
    parse_duration,
    parse_time,
)
from agentjobs.refused_value import RefusedValue

DNS_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
UID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""As the API server generates them. A name may have the same form."""
CONFIG_KEY: Final = "^[-._a-zA-Z0-9]+$"
# The form of App.name in google-adk 2.13, which also refuses `user`.
APP_NAME: Final = "^[a-zA-Z][a-zA-Z0-9_-]*$"
MOUNT_PATH: Final = "^/[^:]*$"
ENV_NAME: Final = "^[-._a-zA-Z][-._a-zA-Z0-9]*$"
MODULE_REF: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*(:[a-zA-Z_][a-zA-Z0-9_]*)?$"
TOOL_NAME: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*(:[a-zA-Z_][a-zA-Z0-9_]*)?$"
MODEL_NAME: Final = r"^[^\s]+$"
SERVER_NAME: Final = "^[a-zA-Z0-9_-]+$"
HTTP_URL: Final = r"^https?://[^\s/?#@]+([/?#][^\s]*)?$"
"""Without user and password, which do not belong in an object."""
# A token of RFC 9110, 5.6.2.
HEADER_NAME: Final = "^[-!#$%&'*+.^_`|~a-zA-Z0-9]+$"
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]+$"
MAX_PARTITION_KEY: Final = 253
DOLLARS: Final = r"^(0\.[0-9]*[1-9][0-9]*|[1-9][0-9]{0,8}(\.[0-9]+)?)$"
"""A positive amount in decimal notation."""
PARAMETER_NAME: Final = "^[a-zA-Z_][-a-zA-Z0-9_]*$"
IDENTIFIER: Final = "^[a-zA-Z_][a-zA-Z0-9_]*$"
"""Agent names. ADK requires a Python identifier; we require ASCII, which every label and log shows alike."""
QUANTITY_MAX_LENGTH: Final = 32
QUANTITY: Final = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$"

Duration = Annotated[
    timedelta,
    BeforeValidator(lambda value: value if isinstance(value, timedelta) else parse_duration(value)),
    PlainSerializer(format_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "minLength": DURATION_MIN_LENGTH,
            "maxLength": DURATION_MAX_LENGTH,
        }
    ),
]
Instant = Annotated[
    datetime,
    BeforeValidator(parse_time),
    PlainSerializer(format_time),
    WithJsonSchema({"type": "string", "pattern": TIME_PATTERN, "maxLength": TIME_MAX_LENGTH}),
]
Quantity = Annotated[
    str,
    BeforeValidator(lambda value: parse_quantity(value)),
    # Without a type: `cpu: 0.5` is valid in a pod, and int-or-string would refuse it.
    WithJsonSchema(
        {"x-kubernetes-preserve-unknown-fields": True, "pattern": QUANTITY, "maxLength": QUANTITY_MAX_LENGTH}
    ),
]


def parse_quantity(value: object) -> str:
    """Return a Kubernetes quantity (`250m`, `512Mi`, `2`, `0.5`) as text.

    Raises:
        RefusedValue: not a number or quantity; the message names value and cure.
    """
    text = str(value) if type(value) in (int, float) else value
    if isinstance(text, str) and len(text) <= QUANTITY_MAX_LENGTH and re.fullmatch(QUANTITY, text, re.ASCII):
        return text
    raise RefusedValue(value, "is not a quantity; use e.g. 250m, 0.5 or 512Mi")


_UNITS: Final[dict[str, Decimal]] = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{letter: Decimal(1000) ** -power for power, letter in enumerate("mun", 1)},
    "": Decimal(1),
}


def amount_of(quantity: str) -> Decimal:
    """Return the value of a Kubernetes quantity as a number; sizes in bytes.

    Raises:
        ValueError: it is not a quantity.
    """
    found = re.fullmatch(r"(.*?)([KMGTPE]i|[numkMGTPE]|)", parse_quantity(quantity))
    assert found is not None
    return Decimal(found[1]) * _UNITS[found[2]]
