"""The filters of `agentjobs history`: its options, and their translation to `JobFilter`."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import complete_names, complete_queues, complete_schedules
from agentjobs.cli.parameters import complete_templates

if TYPE_CHECKING:
    from agentjobs.api.job_filter import JobFilter

_ORDERS: Final = ("newest", "oldest", "ended", "cost")


def _complete_phases(incomplete: str) -> list[str]:
    from agentjobs.api.job_filter import PHASES

    return [phase for phase in PHASES if phase.lower().startswith(incomplete.lower())]


def _complete_orders(incomplete: str) -> list[str]:
    return [order for order in _ORDERS if order.startswith(incomplete)]


def _several(option: str, metavar: str, what: str, **more: Any) -> Any:
    return typer.Option(option, metavar=metavar, help=f"Only jobs {what}; repeatable (any of them).", **more)


Names = Annotated[list[str] | None, _several("--name", "NAME", "with this name", autocompletion=complete_names)]
Phases = Annotated[
    list[str] | None,
    _several("--phase", "PHASE", "in this phase, or Deleted", autocompletion=_complete_phases),
]
Reasons = Annotated[list[str] | None, _several("--reason", "REASON", "whose phase has this reason")]
Outcomes = Annotated[list[str] | None, _several("--outcome", "OUTCOME", "whose answer has this outcome")]
Queues = Annotated[list[str] | None, _several("--queue", "NAME", "of this queue", autocompletion=complete_queues)]
Models = Annotated[list[str] | None, _several("--model", "MODEL", "with this agent.model")]
Schedules = Annotated[
    list[str] | None,
    _several("--schedule", "NAME", "of this AgentSchedule", autocompletion=complete_schedules),
]
Partitions = Annotated[list[str] | None, _several("--partition", "KEY", "with this partitionKey")]
Templates = Annotated[
    list[str] | None, _several("--template", "NAME", "of this AgentTemplate", autocompletion=complete_templates)
]
Labels = Annotated[
    str | None,
    typer.Option("--selector", "-l", metavar="LABELS", help="Only jobs accepted with these labels: team=docs,stage."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only jobs created since this: 2h, 7d or 2026-12-01T09:00:00Z."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Only jobs created before this; same format as --since.")
]
EndedSince = Annotated[
    str | None,
    typer.Option("--ended-since", metavar="TIME", help="Only jobs that ended since this; same format as --since."),
]
EndedUntil = Annotated[
    str | None,
    typer.Option("--ended-until", metavar="TIME", help="Only jobs that ended before this; same format as --since."),
]
MinCost = Annotated[
    str | None, typer.Option("--min-cost", metavar="USD", help="Only jobs that cost at least this, in US dollars.")
]
MaxCost = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="Only jobs that cost at most this, in US dollars.")
]
Text = Annotated[
    str | None,
    typer.Option("--text", metavar="WORDS", help="Only jobs with these words in name, reason or message."),
]
Order = Annotated[
    str | None,
    typer.Option(
        "--order",
        metavar="ORDER",
        help="newest, oldest, ended (last ended first) or cost (most expensive first).",
        autocompletion=_complete_orders,
    ),
]


def read(given: Mapping[str, str | Sequence[str] | None], *, now: datetime) -> "JobFilter":
    """Return the filter that the options describe.

    Raises:
        Failure: an option has an invalid value; the message names the option.
    """
    from agentjobs import errors
    from agentjobs.api.job_filter import JobFilter

    try:
        return JobFilter.parse(pair for option, value in given.items() for pair in _pairs(option, value, now=now))
    except errors.Invalid as error:
        parameter, _, message = str(error).partition(": ")
        option = next((key for key, name in _PARAMETERS.items() if name == parameter), parameter)
        raise Failure(f"--{option}: {message}", code=USAGE) from None


def misspelt(reasons: Sequence[str]) -> Iterator[str]:
    """Yield a hint for each reason that is nearly one of ours; programs may have reasons of their own."""
    from agentjobs.api import conditions
    from agentjobs.contract import ErrorClass

    known = {member.value for member in ErrorClass}
    for kind in conditions.DescribedEnum.__subclasses__():
        known |= {member.value for member in kind} if kind.__name__.endswith("Reason") else set()
    for reason in reasons:
        near = () if reason in known else difflib.get_close_matches(reason, known, n=1)
        yield from (f"--reason={reason}: did you mean {member}?" for member in near)


_PARAMETERS: Final = {
    "selector": "label",
    "ended-since": "endedSince",
    "ended-until": "endedUntil",
    "min-cost": "minCost",
    "max-cost": "maxCost",
}
"""Parameters of REST by option, where they differ."""
_TIMES: Final = frozenset({"since", "until", "ended-since", "ended-until"})


def _pairs(option: str, value: str | Sequence[str] | None, *, now: datetime) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    parameter = _PARAMETERS.get(option, option)
    if option == "selector":
        yield from ((parameter, label) for label in _labels(str(value)))
    elif option in _TIMES:
        yield parameter, _time(option, str(value), now=now)
    else:
        yield from ((parameter, item) for item in ([value] if isinstance(value, str) else value))


def _labels(selector: str) -> Iterator[str]:
    """Yield the labels of a selector; history supports `key=value` and `key` only."""
    for part in filter(None, map(str.strip, selector.split(","))):
        key, is_whole, value = part.replace("==", "=", 1).partition("=")
        if any(character in part for character in "!( ") or "=" in value:
            raise Failure(f"--selector: history does not support {part!r}; use key=value or key.", code=USAGE)
        yield f"{key}={value}" if is_whole else key


def _time(option: str, text: str, *, now: datetime) -> str:
    from agentjobs.durations import DURATION_PATTERN, format_time, parse_duration, parse_time

    if re.fullmatch(DURATION_PATTERN, text, re.ASCII):
        try:
            return format_time(now.astimezone(UTC) - parse_duration(text))
        except ValueError as error:
            raise Failure(f"--{option}: {error}.", code=USAGE) from None
    try:
        return format_time(parse_time(text))
    except ValueError:
        raise Failure(
            f"--{option}: {text[:40]!r} is neither a duration, such as 2h or 7d, nor a time, "
            "such as 2026-12-01T09:00:00Z.",
            code=USAGE,
        ) from None
