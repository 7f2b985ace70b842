"""What the end of a start means for its job: whether it is charged, by rules and limits, and what follows.

The next start continues after the recorded steps. So after new steps, a time-out is a snooze, bounded by `maxSnoozes`,
and a lost pod counts against no limit, bounded by the work itself.

Pure, a part of `decide`. In one observation, a valid success takes precedence over cancel, deadline and every other
end.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from agentjobs.api.conditions import CancelledReason, CompleteReason, Phase, SuspendedReason
from agentjobs.api.job.spec import AgentJobSpec, Rule
from agentjobs.api.job.status import AttemptRecord
from agentjobs.contract import MAX_SUMMARY_BYTES, ErrorClass, Result, Verdict, cut
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again, Decision, EndStart, Finish, Keep, NeedOrDecision, Suspend
from agentjobs.core.job.budget import after_start
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.job.policy import FINAL_ACTIONS, matching_rule
from agentjobs.core.job.progress import checkpoint_of
from agentjobs.core.job.retry import backoff
from agentjobs.core.pods.diagnose import SNOOZE_DELAY, StartEnding, stopped
from agentjobs.core.pods.pod import Pod

# Ten records, conditions and a result fit into 16 KiB of status; history has the runner's complete report.
RECORD_BYTES = 512
RETRY_DELAY = timedelta(seconds=5)
DEADLINE_SLACK = timedelta(seconds=1)  # the kubelet counts whole seconds
_TIMED_OUT = (ErrorClass.ATTEMPT_TIMEOUT, ErrorClass.PROGRESS_TIMEOUT)
_OVER_BUDGET = (ErrorClass.BUDGET_EXCEEDED, ErrorClass.MAX_TURNS_EXCEEDED)
SUSPENDED = "spec.suspend is true; set it to false and the job continues"


def end_start(
    seen: Observation, active: AttemptRecord, pod: Pod | None, ending: StartEnding, now: datetime
) -> NeedOrDecision:
    """Decide whether the ended start is charged, and what follows; or return a need to answer first."""
    ending = _as_answered(seen, ending)
    requested = pod is not None and pod.uid == seen.stopped
    ending = stopped(seen.job, ending, seen.stop, requested=requested)
    may_continue = (
        ending.verdict in (Verdict.RETRY, Verdict.SNOOZE) or ending.outcome is not None or _is_over_budget(ending)
    )
    unknown = seen.spec is None and not seen.unreadable
    may_continue = may_continue or seen.job.has_rules
    if unknown and may_continue and not seen.history_available and not seen.job.must_end:
        # The accepted spec is only in Postgres, which is unreachable, because of an invalid edit or a template.
        return Decision(Keep(), again=now + RETRY_DELAY)
    ran = _ran(active, pod, now)
    rule = _rule(seen, ending, pod)
    if rule is not None:
        ending = replace(ending, message=_describe(rule, ending))
        next_step, charged = _by_rule(seen, active, ending, rule, now)
        return _ended(seen, _record(seen, active, pod, ending, charged, now), next_step, ran, rule.name)
    ending = _as_published(seen, ending)
    if _depends_on_steps(seen, ending, ran):
        if seen.progress is None and seen.history_available:
            return needs.StartProgress(active.start)
        if seen.progress is None and (not ending.infra or _spent(seen, ending)):
            # The next start needs Postgres too, so waiting loses nothing.
            return Decision(Keep(), again=now + RETRY_DELAY)
        ending = _after_steps(seen, ending)
    next_step, charged = _next_step(seen, active, ending, ran, now)
    return _ended(seen, _record(seen, active, pod, ending, charged, now), next_step, ran)


def _as_answered(seen: Observation, ending: StartEnding) -> StartEnding:
    """Turn an ending that ends the job into a success if its final answer is stored.

    Another start would have repeated that answer, but none follows. An end of the job reported by a container is kept.
    """
    answer = _final_answer(seen) if ending.verdict in (Verdict.RETRY, Verdict.SNOOZE) else None
    if answer is None:
        return ending
    message = f"the answer was stored before this start failed: {ending.reason}: {ending.message}"
    summary = cut(answer["text"], MAX_SUMMARY_BYTES)
    return StartEnding(Verdict.SUCCEED, "", message, summary=summary, outcome=answer.get("outcome"))


def answered(seen: Observation, end: Finish) -> Finish:
    """Turn an end of a waiting job into a success if its final answer is stored."""
    answer = _final_answer(seen) if end.phase is Phase.FAILED else None
    if answer is None or any(answer.get("outcome") in rule.on_outcomes for rule in seen.legal_spec.result_policy.rules):
        return end
    message = f"the answer was stored by an earlier start: {end.reason}: {end.message}"
    return Finish(
        Phase.SUCCEEDED,
        CompleteReason.RESULT_ACCEPTED,
        message,
        cut(answer["text"], MAX_SUMMARY_BYTES),
        answer.get("outcome"),
    )


def _final_answer(seen: Observation) -> Result | None:
    """Return the final answer from history, if it was read and has one; it is read when a job ends.

    An answer that must be published first does not count, nor one after which a rule may run the job again.
    """
    spec, answer = seen.spec, seen.result.answer if seen.result else None
    if answer is None or spec is None or (spec.workspace is not None and spec.workspace.publishes):
        return None
    outcome = answer.get("outcome")
    rules = (rule for rule in spec.result_policy.rules if outcome in rule.on_outcomes)
    return answer if all(rule.action in FINAL_ACTIONS for rule in rules) else None


def _as_published(seen: Observation, ending: StartEnding) -> StartEnding:
    """Turn a success into a failure if a rule that has reached its limit prevented publishing.

    The publish container does not know how often a rule has fired. An unpublished answer must not count as a success.
    """
    withheld = ending.published is not None and not ending.published["branch"]
    if not withheld or ending.outcome is None or seen.spec is None:
        return ending
    rules = (rule for rule in seen.spec.result_policy.rules if ending.outcome in rule.on_outcomes)
    first = next(rules, None)
    if first is None or first.action == "Succeed":
        return ending
    message = f"the answer was not published: {ending.message}; and rule {first.name} has reached its limit"
    return replace(ending, verdict=Verdict.FAIL, reason=ErrorClass.PUBLISH_REFUSED, message=message, published=None)


def _record(
    seen: Observation, active: AttemptRecord, pod: Pod | None, ending: StartEnding, charged: bool, now: datetime
) -> AttemptRecord:
    """Return the status entry of an ended start."""
    ended = min(now, pod.terminated.finished) if pod and pod.terminated and pod.terminated.finished else now
    known = seen.known_progress
    return replace(
        active,
        # A node's clock may differ from ours; an end before the beginning or in the future would mislead.
        ended=max(ended, active.started or ended),
        verdict=ending.verdict.value,
        reason="" if ending.verdict is Verdict.SUCCEED else ending.reason,
        charged=charged,
        message=cut(ending.message, RECORD_BYTES),
        from_step=known.before if known else None,
        to_step=known.last if known else None,
    )


def _ended(
    seen: Observation, record: AttemptRecord, next_step: Again | Finish | Suspend, ran: timedelta, rule: str = ""
) -> Decision:
    known = seen.known_progress
    return Decision(
        EndStart(record, next_step, ran, rule, checkpoint_of(known) if known else None),
        again=next_step.at if isinstance(next_step, Again) else None,
    )


def _depends_on_steps(seen: Observation, ending: StartEnding, ran: timedelta) -> bool:
    """Whether recorded steps affect what follows: they are kept, and the job continues."""
    spec = seen.spec
    if spec is None or seen.job.must_end or spec.steps.checkpoint != "Steps":
        return False
    if ending.infra:
        return ending.reason != ErrorClass.SUSPENDED
    return (
        ending.verdict is Verdict.RETRY
        and ending.reason in _TIMED_OUT
        and ending.began
        and not _is_past_deadline(seen, spec, ending, ran)
    )


def _after_steps(seen: Observation, ending: StartEnding) -> StartEnding:
    """Adjust the ending of a start that recorded steps after which the next one continues."""
    progress = seen.progress
    if progress is None or not progress.advanced:
        return ending
    message = f"{ending.message}; the last recorded step is {progress.last}"
    if ending.infra:
        return replace(ending, message=message)
    return replace(
        ending, verdict=Verdict.SNOOZE, delay=max(SNOOZE_DELAY, ending.delay or SNOOZE_DELAY), message=message
    )


def _is_past_deadline(seen: Observation, spec: AgentJobSpec, ending: StartEnding, ran: timedelta) -> bool:
    """Whether a start was stopped because the job's running time is used up: pods get the remaining time."""
    return ending.reason == ErrorClass.ATTEMPT_TIMEOUT and time_left(seen, spec, ran) <= DEADLINE_SLACK


def cancelled(job: Job, when: str = "") -> Finish:
    """Return the end of a cancelled, replaced or deleted job; `when` completes the message."""
    if not job.cancel:
        return Finish(Phase.CANCELLED, CancelledReason.DELETED, f"the job was deleted{when}")
    if job.replaced_by:
        return Finish(Phase.CANCELLED, CancelledReason.REPLACED, f"its schedule replaced it by {job.replaced_by}{when}")
    return Finish(Phase.CANCELLED, CancelledReason.REQUESTED, f"spec.cancel was set{when}")


def _ran(active: AttemptRecord, pod: Pod | None, now: datetime) -> timedelta:
    """Return how long the container ran by the node's clock, which may have been set meanwhile."""
    if pod is None or pod.container_started is None:
        return timedelta(0)
    ended = pod.terminated.finished if pod.terminated and pod.terminated.finished else now
    most = now - (active.started or pod.created)
    return max(timedelta(0), min(most, ended - pod.container_started))


def _next_step(
    seen: Observation, active: AttemptRecord, ending: StartEnding, ran: timedelta, now: datetime
) -> tuple[Again | Finish | Suspend, bool]:
    """Apply the job's requests and limits to an ending. The second value is whether an attempt is charged."""
    if _is_undecided(seen, ending):
        return _undecided(seen, ending, now)
    if ending.verdict is Verdict.SUCCEED:
        return _finish(ending, Phase.SUCCEEDED, CompleteReason.RESULT_ACCEPTED), False
    if seen.job.must_end:
        return cancelled(seen.job), False
    if ending.verdict is Verdict.CANCEL:
        return Finish(Phase.CANCELLED, CancelledReason.CANCELLED, ending.message), False
    if _is_over_budget(ending) and seen.spec is not None:
        next_step = after_start(seen, seen.spec, ending, now)
        if seen.job.suspend and not isinstance(next_step, Finish):
            return Suspend(SuspendedReason.REQUESTED, SUSPENDED), False
        return next_step, False
    if ending.verdict is Verdict.FAIL or seen.spec is None:
        return Finish(Phase.FAILED, ending.reason, ending.message), False
    if ending.reason == ErrorClass.SUSPENDED:
        # We stopped it ourselves, so nothing is charged.
        return (_suspension(seen) if seen.must_stop else Again(now, infra=False, free=True)), False
    if _is_past_deadline(seen, seen.spec, ending, ran):
        return Finish(Phase.FAILED, ErrorClass.DEADLINE_EXCEEDED, "timeouts.running was exceeded"), False
    following, charged = _again(seen, seen.spec, active, ending, now)
    if seen.job.suspend and isinstance(following, Again):
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED, at=following.at), charged
    return following, charged


def _suspension(seen: Observation) -> Suspend:
    """Return the suspension for which a start was stopped. The job's own request takes precedence over its queue's."""
    if seen.job.suspend or seen.stop is None:
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED)
    return Suspend(seen.stop.reason, seen.stop.message)


def _is_over_budget(ending: StartEnding) -> bool:
    return ending.verdict is Verdict.FAIL and ending.reason in _OVER_BUDGET


def _is_undecided(seen: Observation, ending: StartEnding) -> bool:
    """Whether what follows depends on rules and limits that this version cannot read."""
    if not seen.unreadable or seen.job.must_end or ending.verdict is Verdict.CANCEL:
        return False
    if ending.verdict is Verdict.SUCCEED:
        return ending.outcome is not None and seen.job.has_rules
    return ending.verdict is not Verdict.FAIL or _is_over_budget(ending) or seen.job.has_rules


def _undecided(seen: Observation, ending: StartEnding, now: datetime) -> tuple[Again | Suspend, bool]:
    """Record the end, and leave the rest to a version that can read the job.

    A failure is charged, so that limits hold; the next start repeats a stored final answer.
    """
    charged = ending.began and ending.verdict in (Verdict.RETRY, Verdict.FAIL) and not _is_over_budget(ending)
    free = ending.infra or not (charged or ending.verdict in (Verdict.SNOOZE, Verdict.SUCCEED))
    at = now + (SNOOZE_DELAY if ending.delay is None else ending.delay)
    if seen.job.suspend:
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED, at=at), charged
    return Again(at, infra=free), charged


def _rule(seen: Observation, ending: StartEnding, pod: Pod | None) -> Rule | None:
    """Return the job's rule for this ending. A request to stop takes precedence over rules about failures."""
    job, spec = seen.job, seen.spec
    if spec is None or (job.must_end and ending.verdict is not Verdict.SUCCEED):
        return None
    if ending.reason == ErrorClass.SUSPENDED:
        return None
    return matching_rule(spec.result_policy, ending, pod, fired=job.status.rule_counts)


def _by_rule(
    seen: Observation, active: AttemptRecord, ending: StartEnding, rule: Rule, now: datetime
) -> tuple[Again | Finish | Suspend, bool]:
    """Apply a rule, within the job's limits."""
    success = ending.verdict is Verdict.SUCCEED
    if success:
        # A rejected answer counts as an error of the agent.
        ending = replace(ending, reason=ErrorClass.RESULT_ERROR)
    match rule.action:
        case "Succeed":
            reason = CompleteReason.RESULT_ACCEPTED if success else CompleteReason.RULE
            return _finish(ending, Phase.SUCCEEDED, reason), False
        case "Cancel":
            return _finish(ending, Phase.CANCELLED, CancelledReason.RULE), False
        case "Fail":
            return _finish(ending, Phase.FAILED, ending.reason), False
    if seen.job.must_end:
        return replace(cancelled(seen.job), summary=ending.summary, outcome=ending.outcome), False
    if rule.action == "Suspend":
        return Suspend(SuspendedReason.RULE, ending.message), False
    assert seen.spec is not None
    verdict = Verdict.SNOOZE if rule.action == "Snooze" else Verdict.RETRY
    if verdict is Verdict.RETRY and rule.delay is not None:
        # The rule's delay replaces the backoff.
        next_step, charged = _retry(seen, seen.spec, active, replace(ending, delay=None), now)
        return (replace(next_step, at=now + rule.delay) if isinstance(next_step, Again) else next_step), charged
    return _again(seen, seen.spec, active, replace(ending, verdict=verdict, delay=rule.delay, infra=False), now)


def _describe(rule: Rule, ending: StartEnding) -> str:
    """Return the message of an ending that a rule decided."""
    if ending.verdict is Verdict.SUCCEED:
        return f"rule {rule.name}: the answer's outcome is {ending.outcome}"
    return f"rule {rule.name}: {ending.reason}: {ending.message}"


def _finish(ending: StartEnding, phase: Phase, reason: str) -> Finish:
    """End the job with this ending, and with its answer if any."""
    return Finish(phase, reason, ending.message, ending.summary, ending.outcome, published=ending.published)


def _again(
    seen: Observation, spec: AgentJobSpec, active: AttemptRecord, ending: StartEnding, now: datetime
) -> tuple[Again | Finish, bool]:
    at = now + (SNOOZE_DELAY if ending.delay is None else ending.delay)
    if ending.infra and seen.progress is not None and seen.progress.advanced and spec.steps.checkpoint == "Steps":
        return Again(at, infra=False, free=True), False
    if ending.verdict is Verdict.SNOOZE and not _spent(seen, ending):
        return Again(at, infra=ending.infra), False
    return _retry(seen, spec, active, ending, now)


def time_left(seen: Observation, spec: AgentJobSpec, ran: timedelta = timedelta(0)) -> timedelta:
    """Return the remaining time of `timeouts.running`."""
    if spec.timeouts.running is None:
        return timedelta.max
    return spec.timeouts.running - timedelta(seconds=seen.job.status.running_seconds) - ran


def _spent(seen: Observation, ending: StartEnding) -> bool:
    """Whether the job has used up its free endings of this kind."""
    status, retry = seen.job.status, seen.spec.retry if seen.spec else None
    if retry is None:
        return True
    if ending.infra:
        return status.infra_restarts >= retry.max_infra_restarts
    return status.snoozes >= retry.max_snoozes


def _retry(
    seen: Observation, spec: AgentJobSpec, active: AttemptRecord, ending: StartEnding, now: datetime
) -> tuple[Again | Finish, bool]:
    """Retry after a failure. Charged if a container began, or if free endings are used up."""
    # A start whose container never ran costs no attempt, but must not repeat forever either.
    charged = ending.began or seen.job.status.infra_restarts >= spec.retry.max_infra_restarts
    if charged and active.attempt >= spec.retry.max_attempts:
        message = f"attempt {active.attempt} of {spec.retry.max_attempts} failed: {ending.message}"
        return _finish(replace(ending, message=message), Phase.FAILED, ending.reason), True
    seed = f"{seen.job.uid}/{active.start}"
    wait = backoff(spec.retry.backoff, active.attempt, seed=seed)
    if ending.delay is not None:
        wait = max(wait, ending.delay)
    return Again(now + wait, infra=not charged), charged
