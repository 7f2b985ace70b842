"""What must hold after any storm, judged from what was seen from the outside. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.storm.effects import STEPS
from tests.storm.plan import Plan
from tests.storm.shapes import is_pretended, is_scheduled, kind_of, shape_of
from tests.storm.witness import TERMINAL, Evidence, Rows, SeenJob

from agentjobs.core.schedule.job import triggered_name


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    promise: str
    job: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.job}: {self.what}"


def violations(plan: Plan, seen: Evidence, *, refused: Mapping[str, str]) -> list[Violation]:
    """Return every broken promise. `refused` says why the API server did not take a job."""
    return [
        *_every_job_ends(plan, seen, refused),
        *_terminal_is_final(seen),
        *_one_pod_a_start(seen),
        *_history_is_whole(seen),
        *_nothing_is_left(seen),
        *_limits_hold(seen),
        *_schedules_start_once(seen),
        *_recorded_steps_are_not_repeated(seen),
    ]


def _every_job_ends(plan: Plan, seen: Evidence, refused: Mapping[str, str]) -> Iterator[Violation]:
    promise = "every job ends as it may"
    by_name = defaultdict(list)
    for job in seen.jobs.values():
        by_name[job.name].append(job)
    for wish in plan.wishes:
        shape = shape_of(wish.name)
        if wish.name in refused:
            if "Refused" not in shape.ends:
                yield Violation(promise, wish.name, f"the API server refused it: {refused[wish.name]}")
            continue
        if not by_name[wish.name] and "Deleted" not in shape.ends:  # it may have come and gone between two watches
            yield Violation(promise, wish.name, "was created and never seen")
        *replaced, last = by_name[wish.name] or [None]
        if last is not None and (end := _end(last)) not in shape.ends:
            yield Violation(promise, wish.name, f"{end or 'waits: ' + _why(last)}; may end {sorted(shape.ends)}")
        elif last is not None and shape.reasons and last.phase == "Failed" and _reason(last) not in shape.reasons:
            yield Violation(promise, wish.name, f"failed with {_reason(last)}, not {sorted(shape.reasons)}")
        for old in replaced:
            if not old.gone:
                yield Violation(promise, wish.name, f"its predecessor {old.uid} is still there")


def _end(job: SeenJob) -> str:
    """How a job ended; empty when it did not."""
    if job.phase in TERMINAL:
        return job.phase
    return "Deleted" if job.gone else ""


def _reason(job: SeenJob) -> str:
    conditions = job.status.get("conditions") or []
    return next((str(one.get("reason")) for one in conditions if one.get("type") == "Failed"), "")


def _why(job: SeenJob) -> str:
    told = [f"{one.get('type')}={one.get('status')} {one.get('reason')}" for one in job.status.get("conditions") or []]
    return f"{job.phase}, {', '.join(told) or 'no condition'}"


def _terminal_is_final(seen: Evidence) -> Iterator[Violation]:
    for job in seen.jobs.values():
        for after in job.changed_after[:1]:
            assert job.final is not None
            what = f"{job.final.get('phase')} of {job.final.get('starts')} starts became {after}"
            yield Violation("terminal is final", job.name, what)


def _one_pod_a_start(seen: Evidence) -> Iterator[Violation]:
    promise = "one pod a start"
    made: Counter[tuple[str, int]] = Counter()
    for pod in seen.pods.values():
        made[pod.owner, pod.start] += 1
    for (owner, start), count in made.items():
        job = seen.jobs.get(owner)
        name = job.name if job else owner
        if count > 1:
            yield Violation(promise, name, f"start {start} had {count} pods")
        if job is None:
            yield Violation(promise, name, f"a pod of start {start} belongs to no job that ever was")
        elif not job.gone and start > int(job.status.get("starts", 0)):
            yield Violation(promise, name, f"a pod of start {start}, but there were {job.status.get('starts', 0)}")
    for uid, rows in seen.rows.items():
        for row in rows.starts:
            if row["pod_uid"] is not None and row["pod_uid"] not in seen.pods:
                name = seen.jobs[uid].name if uid in seen.jobs else uid
                yield Violation(
                    promise, name, f"start {row['start']} was claimed by a pod nobody saw: {row['pod_uid']}"
                )


def _history_is_whole(seen: Evidence) -> Iterator[Violation]:
    promise = "history is whole"
    for job in seen.jobs.values():
        rows = seen.rows.get(job.uid)
        if rows is None:
            if job.phase != "Pending":
                yield Violation(promise, job.name, f"no row of it, and it was {job.phase}")
            continue
        for what in (*_of_starts(job, rows), *_of_transitions(job, rows)):
            yield Violation(promise, job.name, what)
    for uid in seen.rows.keys() - seen.jobs.keys():
        if seen.rows[uid].job["deleted_at"] is not None:
            continue  # it came and went between two watches
        yield Violation(promise, seen.rows[uid].job["name"], "a row of a job nobody saw")


def _of_starts(job: SeenJob, rows: Rows) -> Iterator[str]:
    status = job.status
    numbers = [row["start"] for row in rows.starts]
    expected = list(range(1, int(status.get("starts", 0)) + 1))
    # A start is recorded before it is claimed; a job that was deleted or stopped between the two has one row more.
    if numbers != expected and numbers != [*expected, len(expected) + 1]:
        yield f"rows of starts {numbers}, the status says {len(expected)}"
    records = {one["start"]: one for one in status.get("attemptHistory") or []}
    for row in rows.starts:
        if row["ended_at"] is None and row["start"] <= len(expected):
            yield f"start {row['start']} is open"
        record = records.get(row["start"])
        if record and record.get("ended") and _told(row) != _told(record):
            yield f"start {row['start']}: {_told(row)} in history, {_told(record)} in the status"
    attempts = [row["attempt"] for row in rows.starts]
    if any(later - earlier not in (0, 1) for earlier, later in zip([0, *attempts], attempts, strict=False)):
        yield f"attempts {attempts} of its starts"
    if len(rows.results) > 1:
        yield f"{len(rows.results)} results"
    if job.phase == "Succeeded" and not is_pretended(job.name) and not rows.results:
        yield "it succeeded and there is no result"


def _told(source: dict[str, object]) -> tuple[object, object, object]:
    return source.get("attempt"), source.get("verdict") or "", source.get("reason") or ""


def _of_transitions(job: SeenJob, rows: Rows) -> Iterator[str]:
    numbers = [row["transition"] for row in rows.transitions]
    expected = list(range(1, int(job.status.get("transitions", 0)) + 1))
    if job.phase in TERMINAL:
        if (job.phase, expected[-1:]) != (rows.job["phase"], [rows.job["transition"]]):
            said = f"{rows.job['phase']}, {rows.job['transition']}"
            yield f"{job.phase} by transition {expected[-1:]}, the row says {said}"
        if sum(row["finished"] for row in rows.transitions) != 1:
            yield f"{sum(row['finished'] for row in rows.transitions)} ends in history"
    elif job.gone and rows.job["deleted_at"] is None:
        yield "it was deleted and its row is open"
    # Of transitions in between the status tells the last only: one whose operator died before the row was written
    # may be missing. None may come twice, or from nowhere.
    if numbers != sorted(set(numbers)) or not set(numbers) <= set(expected):
        yield f"transitions {numbers}, the status says {len(expected)}"


def _nothing_is_left(seen: Evidence) -> Iterator[Violation]:
    promise = "nothing is left behind"
    for pod in seen.pods.values():
        job = seen.jobs.get(pod.owner)
        name = job.name if job else pod.name
        ended = job is None or job.gone or job.phase in TERMINAL
        if pod.gone or not ended:
            continue
        if pod.held:
            yield Violation(promise, name, f"pod {pod.name} is held by our finalizer")
        if job is None or job.gone:
            yield Violation(promise, name, f"pod {pod.name} is there without its job")
        elif pod.phase not in ("Succeeded", "Failed"):
            yield Violation(promise, name, f"pod {pod.name} is {pod.phase} and its job has ended")
    for job in seen.jobs.values():
        if not job.gone and job.finalizers:
            yield Violation(promise, job.name, f"finalizers {job.finalizers}")
        if not job.gone and kind_of(job.name) == "ttl" and job.phase in TERMINAL:
            yield Violation(promise, job.name, "its time to live is over")
    for rows in seen.rows.values():
        ended = rows.job["deleted_at"] is not None or rows.job["phase"] in TERMINAL
        if rows.slots and ended:
            yield Violation(promise, rows.job["name"], "it has ended and holds a slot")
    if len(seen.leases) > 1:
        yield Violation(promise, "-", f"Leases {seen.leases}")


def _limits_hold(seen: Evidence) -> Iterator[Violation]:
    """Slots are PostgreSQL's, sessions the leader's: these alone are forgiven while no one could know who leads."""
    for crowd in seen.crowds:
        if not (crowd.of_session and any(begin <= crowd.version <= end for begin, end in seen.gaps)):
            yield Violation("limits hold", "-", f"at {crowd.at:.1f} s {crowd.what}")


def _schedules_start_once(seen: Evidence) -> Iterator[Violation]:
    """Every minute and every trigger has one job, no matter which operator led and what the clock said."""
    promise = "schedules start once"
    made = Counter(rows.job["name"] for rows in seen.rows.values() if rows.job["schedule"])
    for name, count in made.items():
        if count > 1:
            yield Violation(promise, name, f"{count} jobs had this name")
    for schedule, status in seen.schedules.items():
        if status.get("active"):
            yield Violation(promise, schedule, f"starts are open: {[one.get('name') for one in status['active']]}")
        trigger = status.get("lastTrigger")
        if trigger and triggered_name(schedule, trigger) not in made:
            yield Violation(promise, schedule, f"trigger {trigger} made no job")
        minutes = {int(found[1]) for name in made if (found := re.fullmatch(rf"{schedule}-(\d+)", name))}
        if minutes and (lost := {*range(min(minutes), max(minutes))} - minutes):
            yield Violation(promise, schedule, f"no job for the minutes {sorted(lost)}")
    for job in seen.jobs.values():
        # The oldest are deleted.
        if is_scheduled(job.name) and _end(job) not in ("Succeeded", "Deleted"):
            yield Violation(promise, job.name, f"waits: {_why(job)}")


def repeats(seen: Evidence) -> int:
    """How many steps were taken by more than one start, counted once for each start after the first."""
    return len(seen.effects) - len({(name, step) for name, _, step in seen.effects})


def _recorded_steps_are_not_repeated(seen: Evidence) -> Iterator[Violation]:
    """A step that another followed was recorded before: no later start may take it again, and none is left out."""
    promise = "no recorded step is repeated"
    by_name = {job.name: job for job in seen.jobs.values()}
    taken: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for name, start, step in seen.effects:
        taken[name][start, step] += 1
    for name, calls in taken.items():
        rows = seen.rows.get(by_name[name].uid) if name in by_name else None
        known = [row["start"] for row in rows.starts] if rows is not None else None
        for (start, step), count in sorted(calls.items()):
            if count > 1:
                yield Violation(promise, name, f"start {start} took step {step} {count} times")
            if known is not None and start not in known:
                yield Violation(promise, name, f"start {start} took step {step} and is not in history")
            if before := [earlier for earlier, other in calls if earlier < start and other > step]:
                yield Violation(promise, name, f"start {start} took step {step}, which start {before[0]} was past")
    for name, job in by_name.items():
        if kind_of(name) == "tool" and job.uid in seen.rows and seen.rows[job.uid].results:
            lost = set(range(1, STEPS + 1)) - {step for _, step in taken[name]}
            if lost:
                yield Violation(promise, name, f"it gave an answer without its steps {sorted(lost)}")
