"""Verbs on models: available models and their limits (models), usage and cost (usage)."""

import csv
import io
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentjobs.amounts import dollars
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import (
    Context,
    Everywhere,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    checked,
    output,
    seconds_of,
    talking,
)
from agentjobs.cli.printing import NARROW, age, formatted, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.api.recorded_models import LimitLeft, ModelKey, ModelPrice, ModelsOverview, Rates
    from agentjobs.api.recorded_usage import ModelUsage, UsageBy, UsageReport

BY: Final = ("namespace", "queue", "model", "user", "partition", "provider", "day")
MOST_LINES: Final = 500
_COUNTS: Final = ("CALLS", "INPUT", "OUTPUT", "CACHED", "THINKING", "COST")
_EACH: Final = {60.0: "a minute", 86_400.0: "a day"}
# Spreadsheets treat these as formulas; names come from jobs.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    app.command("models")(models)
    app.command("usage")(usage)


def complete_models(context: typer.Context, incomplete: str) -> list[str]:
    """Return the installation's models for shell completion; nothing on an error."""
    given = context.params
    wanted = {name: given.get(name) for name in ("kubeconfig", "context", "namespace")}
    try:
        seen = _overview(**wanted, gateway=given.get("gateway"), gateway_ca=given.get("gateway_ca"), everywhere=False)
        return sorted({name for name in _names(seen) if name.startswith(incomplete)})
    except Exception:  # a shell cannot show an error during completion
        return []


def complete_by(incomplete: str) -> list[str]:
    """Return the sides of usage for shell completion; after a comma the remaining ones."""
    *before, last = incomplete.split(",")
    return [",".join([*before, word]) for word in BY if word.startswith(last) and word not in before]


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models or aliases; by default all.", metavar="[MODEL...]", autocompletion=complete_models),
    ] = None,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show the models of the installation.

    Shows providers with the names of their keys, what remains of each limit, aliases, prices, and the jobs that call a
    model now. Limited to what the namespace may use; with -A all namespaces.

    Examples:
        agentjobs models
        agentjobs models team/fast
        agentjobs models -A -o json
    """
    checked(format_, "json", "yaml")
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    seen = _overview(**where, gateway=gateway, gateway_ca=gateway_ca, everywhere=everywhere)
    if names:
        seen = chosen(seen, names)
    if format_:
        show(formatted(seen.model_dump(mode="json", by_alias=True), format_))
        return
    if page := overview_page(seen, now=datetime.now(UTC)):
        show(page)
    if not seen.proxies:
        show("No model proxy is running, so providers and limits are unknown.", error=True)
    elif not seen.providers:
        cure = "configure one in the models file, or start `agentjobs dev` with a key such as GOOGLE_API_KEY."
        show(f"No model provider is available: {cure}", error=True)


def usage(
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help=f"{', '.join(BY[:-1])} or {BY[-1]}; several with commas.",
            autocompletion=complete_by,
        ),
    ] = "model",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="First day: 7d for the last seven days, or 2026-11-01.")
    ] = "30d",
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="Last day, such as 2026-11-30; by default today.")
    ] = None,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("table", "json", "csv")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show the usage and cost of model calls.

    Most expensive first, or by day; days are UTC. Covers one namespace, or all with -A, which needs the right to list
    AgentJobs in all namespaces. Includes deleted jobs.

    Examples:
        agentjobs usage
        agentjobs usage --by day --since 7d
        agentjobs usage -A --by namespace,model -o csv
    """
    checked(format_, "table", "json", "csv")
    from agentjobs.client.model_operations import ModelOperations

    sides = sides_of(by)
    today = datetime.now(UTC).date()
    last = _day(until, "--until") if until else today
    first = first_day(since, last)
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with talking(**where, url=gateway, ca=gateway_ca) as talk:
        do = ModelOperations(talk.do.namespace, talk.do.retry_for)
        report = talk.run(do.usage(sides, since=first, until=last, limit=MOST_LINES, everywhere=everywhere))
    if format_ == "json":
        show(formatted(report.model_dump(mode="json", by_alias=True), "json"))
    elif format_ == "csv":
        show(usage_csv(report, sides))
    elif report.items:
        show(usage_table(report, sides))
    else:
        place = "any namespace" if everywhere else f"namespace {do.namespace}"
        show(f"No model calls ended from {first} to {last} in {place}.", error=True)
    if report.more:
        show(f"Only the first {MOST_LINES} lines are shown; the total covers all.", error=True)


def sides_of(words: str) -> "list[UsageBy]":
    """Return the sides that --by lists.

    Raises:
        Failure: one of them is unknown.
    """
    from agentjobs.api.recorded_usage import UsageBy

    sides = [word.strip() for word in words.split(",")]
    if wrong := [side for side in sides if side not in BY or sides.count(side) > 1]:
        known = f"use {', '.join(BY[:-1])} or {BY[-1]}, each once, separated by commas"
        problem = "repeated" if wrong[0] in BY else "unknown"
        raise Failure(f"--by={words}: {wrong[0]!r} is {problem}; {known}.", code=USAGE)
    return [UsageBy(side) for side in sides]


def first_day(since: str, last: date) -> date:
    """Return the first day that --since means; a duration includes the last day.

    Raises:
        Failure: it is neither a duration nor a day, or after the last day.
    """
    if since[:4].isdigit() and "-" in since:
        first = _day(since, "--since")
        if first > last:
            raise Failure(
                f"--since={since} is after the last day, {last}; use a day before it, or --until.", code=USAGE
            )
        return first
    try:
        seconds = seconds_of(since, option="--since")
    except Failure as failure:
        raise Failure(f"{str(failure).rstrip('.')}, or a day such as 2026-11-01.", code=USAGE) from None
    if seconds is None:
        raise Failure("--since=0 is not a time; use 7d or a day such as 2026-11-01.", code=USAGE)
    length = timedelta(days=max(1, math.ceil(seconds / 86_400)) - 1)
    # The first days of the calendar have fewer days before them.
    return last - min(length, last - date.min)


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure(f"{option}={text} is not a day; use the format 2026-11-30.", code=USAGE) from None


def usage_table(report: "UsageReport", sides: "Sequence[UsageBy]") -> str:
    """Return one line per combination of sides, and the total."""
    rows: list[list[object]] = [[*(line.by[side] for side in sides), *_counted(line)] for line in report.items]
    rows.append(["TOTAL", *[" "] * (len(sides) - 1), *_counted(report.total)])
    return table([*(side.upper() for side in sides), *_COUNTS], rows, gap=NARROW)


def usage_csv(report: "UsageReport", sides: "Sequence[UsageBy]") -> str:
    """Return the lines as CSV, without the total; names that look like formulas begin with `'`."""
    fields = [field for field in type(report.total).model_fields.values() if field.alias]
    names = [str(field.alias) for field in fields]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*sides, *names])
    for line in report.items:
        values = line.model_dump(mode="json", by_alias=True)
        writer.writerow([*(_in_cell(line.by[side]) for side in sides), *(values[name] for name in names)])
    return text.getvalue().rstrip("\n")


def _in_cell(text: str) -> str:
    text = harmless(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _counted(line: "ModelUsage") -> list[object]:
    tokens = (line.input_tokens, line.output_tokens, line.cached_tokens, line.thinking_tokens)
    return [line.calls, *tokens, dollars(line.cost_usd)]


def _overview(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    gateway: str | None,
    gateway_ca: str | None,
    everywhere: bool,
) -> "ModelsOverview":
    from agentjobs.client.model_operations import ModelOperations

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        do = ModelOperations(talk.do.namespace, talk.do.retry_for)
        return talk.run(do.overview(everywhere=everywhere))


def _names(seen: "ModelsOverview") -> list[str]:
    patterns = [name for price in seen.prices for name in price.models]
    return [*seen.aliases, *seen.aliases.values(), *(name for name in patterns if "*" not in name)]


def chosen(seen: "ModelsOverview", names: Sequence[str]) -> "ModelsOverview":
    """Return the part of an overview that concerns these models or aliases.

    Raises:
        Failure: no provider serves one of them.
    """
    from agentjobs.models.names import Pattern

    wanted = {name: seen.aliases.get(name, name) for name in names}
    matches = {
        (pattern, model): Pattern(pattern).matches(model)
        for model in wanted.values()
        for provider in seen.providers
        for pattern in provider.models
    }
    for name, model in wanted.items():
        if (seen.providers or seen.proxies) and not any(fits for (_, of), fits in matches.items() if of == model):
            stands = f" ({model})" if model != name else ""
            raise Failure(f"no provider serves {name}{stands}; `agentjobs models` lists the models.")
    serving = [
        provider
        for provider in seen.providers
        if any(matches[pattern, model] for pattern in provider.models for model in wanted.values())
    ]
    prices = [price for model in dict.fromkeys(wanted.values()) if (price := price_of(seen.prices, model))]
    return seen.model_copy(
        update={
            "providers": serving,
            "aliases": {name: model for name, model in seen.aliases.items() if name in wanted},
            "fallbacks": [entry for entry in seen.fallbacks if entry.model in wanted.values()],
            "prices": _once(prices),
            "exhausted": [entry for entry in seen.exhausted if entry.model in wanted.values()],
            "under_way": [entry for entry in seen.under_way if entry.model in wanted.values()],
        }
    )


def _once(prices: "Sequence[ModelPrice]") -> "list[ModelPrice]":
    found: list[ModelPrice] = []
    for price in prices:
        if price not in found:
            found.append(price)
    return found


def price_of(prices: "Sequence[ModelPrice]", model: str) -> "ModelPrice | None":
    """Return the price of a model: the installation's entries have precedence, then the most exact one."""
    from agentjobs.models.names import Pattern

    best, found = None, None
    for price in prices:
        for pattern in map(Pattern, price.models):
            if pattern.matches(model) and (best is None or pattern.exactness > best):
                best, found = pattern.exactness, price
    return found


def overview_page(seen: "ModelsOverview", *, now: datetime) -> str:
    """Return an overview for people. Long, stable parts (prices) come first; current state is last, near the prompt."""
    parts = [
        _prices_table(seen),
        _aliases_table(seen),
        _providers_table(seen),
        _exhausted_lines(seen, now),
        _under_way_table(seen, now),
        _allowed_line(seen),
    ]
    return "\n\n".join(part for part in parts if part)


def _providers_table(seen: "ModelsOverview") -> str:
    rows: list[list[object]] = []
    for provider in seen.providers:
        for key in provider.keys:
            first = [provider.name, provider.kind, key.name.partition("/")[2], " ".join(provider.models)]
            limits = [_limit_cells(limit) for limit in key.limits] or [["-", "-", "-"]]
            rows += [[*first, *cells, _state(key)] for cells in limits]
        if not provider.keys:
            rows.append(
                [provider.name, provider.kind, "no key for this namespace", " ".join(provider.models), *"---", " "]
            )
    return (
        table(["PROVIDER", "KIND", "KEY", "SERVES", "LIMIT", "OF", "LEFT", "STATE"], rows, gap=NARROW) if rows else ""
    )


def _limit_cells(limit: "LimitLeft") -> list[object]:
    what = {"inputTokens": "input tokens", "outputTokens": "output tokens"}.get(limit.counts, limit.counts)
    each = _EACH.get(limit.window)
    words = f"{limit.most} {what} {each}" if each else f"{limit.most} calls at a time"
    group = " ".join(limit.bucket.split(" ")[1:-1])
    return [words, "all" if group == "*" else group, limit.left]


def _state(key: "ModelKey") -> str:
    if not key.closed:
        return "open"
    closed = key.closed[0]
    of = f" for {closed.model}" if closed.model else ""
    return f"closed{of} until {closed.until.astimezone(UTC):%H:%M:%S}: {closed.reason}"


def _exhausted_lines(seen: "ModelsOverview", now: datetime) -> str:
    return "\n".join(
        harmless(f"{entry.model} is exhausted until {entry.until.astimezone(UTC):%H:%M:%S} UTC: {entry.reason}")
        for entry in seen.exhausted
        if entry.until > now
    )


def _under_way_table(seen: "ModelsOverview", now: datetime) -> str:
    rows = [
        [entry.namespace, entry.job, entry.model, entry.calls, age(entry.since.isoformat(), now=now)]
        for entry in seen.under_way
    ]
    return table(["NAMESPACE", "JOB", "MODEL", "CALLS", "FOR"], rows, gap=NARROW) if rows else ""


def _aliases_table(seen: "ModelsOverview") -> str:
    falls = {fallback.model: f"{', '.join(fallback.to)} after {fallback.after}" for fallback in seen.fallbacks}
    rows = [[name, model, falls.get(model, "-")] for name, model in sorted(seen.aliases.items())]
    rows += [["-", model, to] for model, to in falls.items() if model not in seen.aliases.values()]
    return table(["ALIAS", "MODEL", "FALLBACK"], rows, gap=NARROW) if rows else ""


def _prices_table(seen: "ModelsOverview") -> str:
    rows: list[list[object]] = []
    for price in seen.prices:
        until = f" until {price.until}" if price.until else ""
        rows.append([*_rates(price), ", ".join(price.models) + until])
        rows += [[*_rates(tier), f"… above {tier.above} tokens of input"] for tier in price.tiers]
    if not rows:
        return ""
    head = f"Dollars for a million tokens{f', checked {seen.prices_of}' if seen.prices_of else ''}:"
    return head + "\n" + table(["INPUT", "OUTPUT", "CACHED", "WRITTEN", "MODELS"], rows, gap=NARROW, prose=True)


def _rates(rates: "Rates") -> list[Decimal]:
    return [rates.input, rates.output, rates.cached_input, rates.cache_writes]


def _allowed_line(seen: "ModelsOverview") -> str:
    if seen.allowed_models is None:
        return ""
    return harmless(f"This namespace may use: {', '.join(seen.allowed_models) or 'no model'}.")
