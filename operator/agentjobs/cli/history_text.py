"""The history of one job as text for people: its starts, phases and entries. Pure. All times are UTC."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from agentjobs import contract
from agentjobs.amounts import dollars
from agentjobs.cli.printing import NARROW, age, counted, facts, lasted, published_words, table

if TYPE_CHECKING:
    from agentjobs.api.recorded import RecordedEntry
    from agentjobs.api.recorded_usage import JobModelUsage, RecordedCall

# A sentence of at least this length is shown once per page.
_LONG: Final = 40
_SEE_ABOVE: Final = "(see above)"
# The part of a text that an entry shows, unless everything is requested.
_TEXT: Final = 100


class ShownTexts:
    """Long sentences of a page. An error is passed on from entry to job; its repetitions are left out.

    `always` repeats them.
    """

    def __init__(self, *texts: str, always: bool = False) -> None:
        self._always = always
        self._texts = [text for text in texts if len(text) >= _LONG]

    def once(self, text: str | None) -> str:
        """Return the text, without what the page has already shown."""
        for known in () if self._always else self._texts:
            if text and (whole := re.compile(rf"(?<!\w){re.escape(known)}(?!\w)")).search(text):
                return whole.sub(_SEE_ABOVE, text)
        if text and len(text) >= _LONG:
            self._texts.append(text)
        return text or ""


def used_of(used: "Sequence[Mapping[str, int]]", models: "Sequence[JobModelUsage]" = ()) -> dict[str, int]:
    """Return a job's usage, by `contract.USAGE`: for calls and tokens the larger of two counts, as in its status.

    One is recorded by its starts, one by the model proxy: not every call is a step.
    """
    total = {name: sum(each.get(name, 0) for each in used) for name in contract.USAGE}
    booked = {
        "llmCalls": sum(model.calls for model in models),
        "inputTokens": sum(model.input_tokens for model in models),
        "outputTokens": sum(model.output_tokens for model in models),
    }
    return total | {name: max(total[name], count) for name, count in booked.items()}


def job_head(
    job: Mapping[str, Any], starts: Sequence[Mapping[str, Any]], models: "Sequence[JobModelUsage]" = ()
) -> str:
    """Return the facts about a job that come before its starts."""
    used = [start["usage"] for start in starts if start["usage"]]
    return facts(
        {
            "Job": f"{job['namespace']}/{job['name']}",
            "Phase": phase_words(job["phase"], job["reason"]),
            "Because": job.get("message"),
            "Created": f"{moment(job['created'])} UTC",
            "Deleted": job["deleted"] and f"{moment(job['deleted'])} UTC",
            "Schedule": job.get("schedule"),
            "Partition": job.get("partitionKey"),
            "Used": (used or models) and used_words(used_of(used, models), cost_of(starts)),
            "Published": _published(job.get("workspace")),
            "Uid": job["uid"],
        }
    )


def _published(workspace: Mapping[str, Any] | None) -> str:
    return (
        published_words(workspace["branch"], workspace["commit"], workspace.get("pullRequest") or "")
        if workspace
        else ""
    )


def starts_table(starts: Sequence[Mapping[str, Any]], shown: ShownTexts, steps: Mapping[int, str] | None = None) -> str:
    """Return one line per start. `steps` are the steps of each start, for an additional column."""
    days = _days(start["started"] for start in starts)
    costly = cost_of(starts) is not None
    rows = [
        [
            start["start"],
            start["attempt"],
            _clock(start["started"], days),
            took(start["started"], start["ended"]),
            *([steps.get(start["start"], "-")] if steps else []),
            start["verdict"] or ("" if start["ended"] else "…"),
            start["reason"],
            {True: "yes", False: "no", None: ""}[start["charged"]],
            _tokens(start["usage"]),
            *([_dollars(start.get("costUSD"))] if costly else []),
            shown.once(start["message"]),
        ]
        for start in starts
    ]
    columns = ["START", "ATTEMPT", "AT (UTC)", "TOOK", "VERDICT", "REASON", "CHARGED", "TOKENS", "MESSAGE"]
    if steps:
        columns.insert(columns.index("VERDICT"), "STEPS")
    if costly:
        columns.insert(columns.index("MESSAGE"), "COST")
    return table(columns, rows, gap=NARROW, prose=True) if rows else ""


def phases_table(changes: Sequence[Mapping[str, Any]], shown: ShownTexts) -> str:
    """Return one line per change of the job's phase."""
    days = _days(item["time"] for item in changes)
    rows = [
        [item["transition"], _clock(item["time"], days), item["phase"], item["reason"], shown.once(item["message"])]
        for item in changes
    ]
    return table(["#", "AT (UTC)", "PHASE", "REASON", "MESSAGE"], rows, gap=NARROW, prose=True) if rows else ""


def entries_table(events: "Iterable[RecordedEntry]", shown: ShownTexts, *, full: bool) -> str:
    """Return one line per entry of a start's timeline; texts are cut unless `full`."""
    rows = [
        [
            f"{event.time.astimezone(UTC):%H:%M:%S}",
            event.author,
            event.kind,
            _entry(event.kind, event.data, shown, full),
        ]
        for event in events
    ]
    return table(["AT (UTC)", "AUTHOR", "ENTRY", "WHAT"], rows, gap=NARROW, prose=True) if rows else ""


def phase_words(phase: str, reason: str) -> str:
    """Return `Failed (ModelAuth)`."""
    return f"{phase} ({reason})" if reason else phase


def used_words(usage: Mapping[str, int], cost: Decimal | None = None) -> str:
    """Return the usage in words; with its cost, if known."""
    calls, tools, sent, received = (usage.get(name, 0) for name in contract.USAGE)
    usage_text = f"{counted(calls, 'model call')}, {counted(tools, 'tool call')}, {sent} tokens in, {received} out"
    return usage_text if cost is None else f"{usage_text}, {dollars(cost)}"


def cost_of(starts: Sequence[Mapping[str, Any]]) -> Decimal | None:
    """Return the total cost of starts; None if no cost is known."""
    known = [Decimal(start["costUSD"]) for start in starts if start.get("costUSD") is not None]
    return sum(known, Decimal(0)) if known else None


def models_table(models: "Sequence[JobModelUsage]") -> str:
    """Return one line per model that a job called, most expensive first."""
    rows = [
        [
            usage.model,
            usage.provider or "-",
            usage.calls,
            f"{usage.input_tokens}/{usage.output_tokens}",
            usage.cached_tokens,
            dollars(usage.cost_usd) + (" (estimated)" if usage.estimated else ""),
            ", ".join(
                f"{count} {what}"
                for count, what in ((usage.failed, "failed"), (usage.under_way, "in progress"))
                if count
            )
            or " ",
        ]
        for usage in models
    ]
    return table(["MODEL", "PROVIDER", "CALLS", "TOKENS", "CACHED", "COST", " "], rows, gap=NARROW) if rows else ""


def moment(time: str) -> str:
    """Return an RFC 3339 time in UTC, to the second."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def took(began: str | None, ended: str | None) -> str:
    """Return a duration in words."""
    return age(began, now=datetime.fromisoformat(ended)) if began and ended else ""


def _entry(kind: str, data: Mapping[str, Any], shown: ShownTexts, full: bool) -> str:
    match kind:
        case "model":
            text = ", ".join(call_words(call) for call in data.get("toolCalls") or ())
            text = text or f"{data.get('outputTokens') or '?'} tokens"
        case "tool":
            text = f"{data.get('name')}: {_plain(data.get('result'))}"
        case "text":
            text = str(data.get("text") or "")
        case "resumed":
            # Not `fromStep`: a call that had already begun has a lower number.
            text = f"{data.get('replayed')} steps replayed"
        case "started":
            text = f"attempt {data.get('attempt')}"
        case "ended":
            return shown.once(f"{data.get('verdict')} {data.get('reason')}: {data.get('message')}")
        case "error":
            return shown.once(f"{data.get('code')}: {data.get('message')}")
        case _:
            text = _pairs(data)
    return text if full or len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def call_words(call: Mapping[str, Any]) -> str:
    """Return a tool call with its arguments."""
    given = call.get("args") or {}
    arguments = (
        ", ".join(f"{name}={_plain(value)}" for name, value in given.items()) if isinstance(given, Mapping) else ""
    )
    return f"{call.get('name')}({arguments})"


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pairs(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in data.items())


def calls_table(calls: "Sequence[RecordedCall]") -> str:
    """Return one line per model call, in the order in which they began."""
    days = _days(call.began.isoformat() for call in calls)
    rows = [
        [
            call.start,
            _clock(call.began.isoformat(), days),
            lasted(call.began, call.ended),
            call.model if call.model == call.requested else f"{call.model} for {call.requested}",
            call.key or call.provider or "-",
            f"{call.input_tokens}/{call.output_tokens}",
            dollars(call.cost_usd) + (" (estimated)" if call.estimated else ""),
            " ".join(str(part) for part in (call.outcome or "in progress", call.status) if part),
            call.step or "-",
        ]
        for call in calls
    ]
    columns = ["START", "AT (UTC)", "TOOK", "MODEL", "KEY", "TOKENS", "COST", "ENDED", "STEP"]
    return table(columns, rows, gap=NARROW) if rows else ""


def _dollars(cost: str | None) -> str:
    return "" if cost is None else dollars(Decimal(cost))


def _tokens(usage: Mapping[str, int] | None) -> str:
    """Tokens in and out, as `1200/90`."""
    return f"{usage.get('inputTokens', 0)}/{usage.get('outputTokens', 0)}" if usage else ""


def _days(times: Iterable[str | None]) -> set[str]:
    return {moment(time)[:10] for time in times if time}


def _clock(time: str | None, days: set[str]) -> str:
    """Return the time of day; with the date if a table spans several days."""
    if not time:
        return ""
    return moment(time) if len(days) > 1 else moment(time)[11:]
