"""Answers of REST about many jobs: a busy installation and an idle one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from agentjobs.api.recorded import RecordedJob, RecordedJobs
from agentjobs.api.recorded_overview import (
    Activity,
    ActivitySlice,
    FailureReason,
    Namespaces,
    OpenCounts,
    OpenJobs,
    UsagePoint,
    UsageSeries,
)

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202egnp.exe\u0007 </textarea>' + "x" * 5000
_MODELS = ("claude-sonnet-4-5-20250929", "gemini-flash-latest", "gpt-5.1-mini")
_FAILURES = (
    ("ToolError", "tool `find_order` raised KeyError: 'customer_id' (after 3 attempts)"),
    ("ModelRateLimited", "429 from api.anthropic.com: the organisation's rate limit of 400,000 input tokens a minute"),
    ("OOMKilled", "the container used more than its limit of 512 MiB"),
    ("InvalidOutput", "the answer does not fit output.schema: 'severity' is not one of ['low', 'high']"),
)


def a_job(name="report-1", *, phase="Succeeded", age=timedelta(minutes=5), now=None, **fields):
    """A job of a list; a test spells what it is about."""
    now = now or datetime.now(UTC)
    ended = phase in ("Succeeded", "Failed", "Cancelled", "Skipped")
    given = {
        "uid": uid_of(name),
        "namespace": "team-a",
        "name": name,
        "phase": phase,
        "reason": {"Succeeded": "ResultAccepted", "Running": "Admitted", "Queued": "WaitingForSlot"}.get(phase, ""),
        "message": "",
        "created": now - age,
        "changed": now - age / 2,
        "finished": now - age / 3 if ended else None,
        "deleted": None,
        "attempts": 1,
        "starts": 1,
        "queue": "default",
        "model": _MODELS[0],
    }
    return RecordedJob(**(given | fields))


def uid_of(name):
    """The uid of a sample of this name."""
    return str(uuid5(NAMESPACE_URL, name))


def a_page(*jobs, cursor=None):
    return RecordedJobs(items=list(jobs), cursor=cursor)


def failed(number=0, **fields):
    reason, message = _FAILURES[number % len(_FAILURES)]
    names = ("triage-invoices", "nightly-report", "refund-check", "summarise-tickets")
    given = {"phase": "Failed", "reason": reason, "message": message, "attempts": 3, "starts": 4}
    given["age"] = timedelta(minutes=7 + 11 * number)
    return a_job(f"{names[number % 4]}-{number:04}", **(given | fields))


def running(number=0, **fields):
    given = {"phase": "Running", "cost_usd": Decimal("0.0132") * (number + 1), "model": _MODELS[number % 3]}
    given["age"] = timedelta(minutes=2 + 3 * number)
    return a_job(f"research-{number:04}", **(given | fields))


def counts(now):
    def waits(queue, phase, reason, jobs, minutes, namespace="team-a"):
        return OpenJobs(
            namespace=namespace,
            queue=queue,
            phase=phase,
            reason=reason,
            jobs=jobs,
            since=now - timedelta(minutes=minutes),
        )

    return OpenCounts(
        items=[
            waits("default", "Running", "Admitted", 23, 12),
            waits("reports", "Running", "Admitted", 8, 40),
            waits("default", "Queued", "WaitingForSlot", 148, 37),
            waits("reports", "Queued", "WaitingForSlot", 12, 9, "team-b"),
            waits("reports", "Queued", "BudgetHeld", 31, 190),
            waits("default", "Retrying", "WaitingForBackoff", 5, 3),
            waits("default", "Scheduled", "WaitingForStartTime", 64, 600),
            waits("default", "Pending", "TemplateNotFound", 1, 1500),
            waits("default", "Suspended", "Requested", 2, 4000),
        ]
    )


def activity(request):
    """As REST answers, for the time that is asked about."""
    since, until, seconds = _asked(request)
    slices, begin, number = [], since, 0
    while begin < until:
        load = 40 + (number * 37) % 61
        bad = (number * 7) % 11 if number % 5 else 23
        slices.append(
            ActivitySlice(
                begin=begin, created=load + 4, started=load + bad, succeeded=load, failed=bad, cancelled=number % 3
            )
        )
        begin, number = begin + timedelta(seconds=seconds), number + 1
    failures = [
        FailureReason(reason=reason, jobs=jobs, latest=until - timedelta(minutes=minutes))
        for reason, jobs, minutes in (
            ("ToolError", 112, 7),
            ("ModelRateLimited", 64, 18),
            ("InvalidOutput", 31, 40),
            ("OOMKilled", 9, 300),
            ("QueueTimeout", 2, 700),
        )
    ]
    return Activity(since=since, until=until, seconds=seconds, slices=slices, failures=failures)


def usage(request):
    """As REST answers, for the time and the kind of key that are asked about."""
    since, until, seconds = _asked(request)
    by = request.url.params["by"]
    keys = {
        "queue": ["default", "reports", "coding", ""],
        "model": [*_MODELS, "openrouter/deepseek-chat"],
        "partition": ["customer-1", "customer-2", "customer-3", ""],
    }[by]
    items, begin, number = [], since, 0
    while begin < until:
        for place, key in enumerate(keys):
            much = (5 + (number * 11 + place * 5) % 17) * (4 - place)
            items.append(
                UsagePoint(
                    begin=begin,
                    key=key,
                    calls=much,
                    input_tokens=much * 9100,
                    output_tokens=much * 700,
                    cost_usd=Decimal(much) / 50,
                )
            )
        begin, number = begin + timedelta(seconds=seconds), number + 1
    return UsageSeries(since=since, until=until, seconds=seconds, by=by, items=items, keys=keys)


def _asked(request):
    since, until = (datetime.fromisoformat(request.url.params[name]) for name in ("since", "until"))
    return since, until, max(60, int((until - since).total_seconds()) // 84)


def answer_busily(answers, *, now=None, failures=6, list_of=None):
    """Let REST answer as in an installation where much happens.

    Args:
        list_of: jobs, from the request for a list that is neither of the running nor of the failed.
    """
    now = now or datetime.now(UTC)

    def listed(request):
        phases = request.url.params.get_list("phase")
        if list_of is not None:
            return list_of(request)
        if phases == ["Running"]:
            return a_page(*(running(number) for number in range(6)), cursor="next")
        return a_page(*(failed(number) for number in range(failures)))

    answers["/v1/namespaces"] = Namespaces(items=["team-a", "team-b"], everywhere=True)
    answers["/v1/counts"] = counts(now)
    answers["/v1/activity"] = activity
    answers["/v1/usage/series"] = usage
    answers["/v1/agentjobs"] = listed


def answer_with_nothing(answers, *, namespaces=()):
    """Let REST answer as in an installation that is new."""

    def nothing(request):
        since, until, seconds = _asked(request)
        return Activity(since=since, until=until, seconds=seconds, slices=[], failures=[])

    def unused(request):
        since, until, seconds = _asked(request)
        by = request.url.params["by"]
        return UsageSeries(since=since, until=until, seconds=seconds, by=by, items=[], keys=[])

    answers["/v1/namespaces"] = Namespaces(items=list(namespaces), everywhere=True)
    answers["/v1/counts"] = OpenCounts(items=[])
    answers["/v1/activity"] = nothing
    answers["/v1/usage/series"] = unused
    answers["/v1/agentjobs"] = a_page()


def mixed(count=50, now=None):
    """Jobs of all phases, as a list has them."""
    phases = (
        "Succeeded",
        "Running",
        "Failed",
        "Queued",
        "Succeeded",
        "Retrying",
        "Succeeded",
        "Cancelled",
        "Succeeded",
    )
    made = []
    for number in range(count):
        phase = phases[number % len(phases)]
        if phase == "Failed":
            made.append(failed(number, now=now))
            continue
        waits = phase in ("Queued", "Retrying")
        made.append(
            a_job(
                f"{('triage', 'digest', 'review', 'research')[number % 4]}-{number:04}",
                phase=phase,
                age=timedelta(minutes=1 + 7 * number),
                now=now,
                namespace=("team-a", "team-b")[number % 2],
                schedule="morning-digest" if number % 4 == 1 else "",
                template="triage" if number % 4 == 0 else "",
                outcome=("approved", None, "needs-review")[number % 3] if phase == "Succeeded" else None,
                cost_usd=None if waits else Decimal("0.0371") * (number % 9),
                message="The queue default has 8 of 8 slots taken; 47 jobs are before it." if phase == "Queued" else "",
                model=_MODELS[number % 3],
                starts=1 + number % 3,
                queue=("default", "reports")[number % 2],
            )
        )
    return made
