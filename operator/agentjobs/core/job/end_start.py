"""What the end of a start means for its job: charged or not, by the job's rules and limits, and what follows.

A start that recorded new steps did not run for nothing, since the next one goes on after them. Hence a time-out is then
a snooze, and a lost pod counts against nothing; both are still bounded, by `maxSnoozes` and by the work itself.

Pure, a part of `decide`. In one observation a valid success beats cancel, deadline and every other end.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from agentjobs.api.conditions import CancelledReason, CompleteReason, Phase, SuspendedReason
from agentjobs.api.job.spec import AgentJobSpec, Rule
from agentjobs.api.job.status import AttemptRecord
from agentjobs.contract import MAX_SUMMARY_BYTES, ErrorClass, Result, Verdict, cut
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again, Answer, Decision, EndStart, Finish, Keep, Suspend
from agentjobs.core.job.budget import after_start
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.job.policy import FINAL_ACTIONS, matching_rule
from agentjobs.core.job.progress import checkpoint_of
from agentjobs.core.job.retry import backoff
from agentjobs.core.pods.diagnose import SNOOZE_DELAY, Ending, stopped
from agentjobs.core.pods.pod import Pod

# Ten records, conditions and a result fit into 16 KiB of status; the runner's own report is whole in history.
RECORD_BYTES = 512
ASK_AGAIN = timedelta(seconds=5)
DEADLINE_SLACK = timedelta(seconds=1)  # the kubelet counts whole seconds
_TIMED_OUT = (ErrorClass.ATTEMPT_TIMEOUT, ErrorClass.PROGRESS_TIMEOUT)
_OVER_BUDGET = (ErrorClass.BUDGET_EXCEEDED, ErrorClass.MAX_TURNS_EXCEEDED)
SUSPENDED = "spec.suspend is true; set it to false and the job continues"


def end_start(seen: Observation, active: AttemptRecord, pod: Pod | None, ending: Ending, now: datetime) -> Answer:
    """The active start is over: charge it or not, and say what follows; or what has to be known first."""
    ending = _as_answered(seen, ending)
    was_told = pod is not None and pod.uid == seen.stopped
    ending = stopped(seen.job, ending, seen.stop, was_told=was_told)
    may_continue = (
        ending.verdict in (Verdict.RETRY, Verdict.SNOOZE) or ending.outcome is not None or _is_over_budget(ending)
    )
    unknown = seen.spec is None and not seen.unreadable
    may_continue = may_continue or seen.job.has_rules
    if unknown and may_continue and not seen.history_available and not seen.job.must_end:
        # An accepted job's spec was broken by an edit, or is its template's, while Postgres, which knows it, is away.
        return Decision(Keep(), again=now + ASK_AGAIN)
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
            # What follows is a start, which needs Postgres too: nothing is lost by waiting.
            return Decision(Keep(), again=now + ASK_AGAIN)
        ending = _after_steps(seen, ending)
    next_step, charged = _next_step(seen, active, ending, ran, now)
    return _ended(seen, _record(seen, active, pod, ending, charged, now), next_step, ran)


def _as_answered(seen: Observation, ending: Ending) -> Ending:
    """The same ending, as a success where the job is about to end although its final answer is stored.

    Another start would have repeated that answer, but none follows. What a container itself calls the end of the job
    stays that.
    """
    answer = _final_answer(seen) if ending.verdict in (Verdict.RETRY, Verdict.SNOOZE) else None
    if answer is None:
        return ending
    message = f"the answer was stored before this start failed: {ending.reason}: {ending.message}"
    summary = cut(answer["text"], MAX_SUMMARY_BYTES)
    return Ending(Verdict.SUCCEED, "", message, summary=summary, outcome=answer.get("outcome"))


def answered(seen: Observation, end: Finish) -> Finish:
    """The same end of a job that waits for its next start, as a success where its final answer is stored."""
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
    """The answer that ends the job by itself, if history was asked and has one; it is asked when a job ends.

    An answer that has to be published first is none yet, and one that a rule may run the job again after is not final.
    """
    spec, answer = seen.spec, seen.result.answer if seen.result else None
    if answer is None or spec is None or (spec.workspace is not None and spec.workspace.publishes):
        return None
    outcome = answer.get("outcome")
    rules = (rule for rule in spec.result_policy.rules if outcome in rule.on_outcomes)
    return answer if all(rule.action in FINAL_ACTIONS for rule in rules) else None


def _as_published(seen: Observation, ending: Ending) -> Ending:
    """The same ending, as a failure if its answer was kept from being published by a rule that decides no more.

    What publishes does not know how often a rule has fired. By default an answer is taken; this one went nowhere.
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
    seen: Observation, active: AttemptRecord, pod: Pod | None, ending: Ending, charged: bool, now: datetime
) -> AttemptRecord:
    """What the status keeps of a start that is over."""
    ended = min(now, pod.terminated.finished) if pod and pod.terminated and pod.terminated.finished else now
    known = seen.known_progress
    return replace(
        active,
        # A node's clock may be another than ours; an end before the beginning or in the future would mislead.
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


def _depends_on_steps(seen: Observation, ending: Ending, ran: timedelta) -> bool:
    """Whether it matters for what follows that a start recorded steps: they are kept, and the job is to go on."""
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


def _after_steps(seen: Observation, ending: Ending) -> Ending:
    """The same ending, as one of a start whose steps the next one goes on after, if it recorded any."""
    progress = seen.progress
    if progress is None or not progress.advanced:
        return ending
    message = f"{ending.message}; the last recorded step is {progress.last}"
    if ending.infra:
        return replace(ending, message=message)
    return replace(
        ending, verdict=Verdict.SNOOZE, delay=max(SNOOZE_DELAY, ending.delay or SNOOZE_DELAY), message=message
    )


def _is_past_deadline(seen: Observation, spec: AgentJobSpec, ending: Ending, ran: timedelta) -> bool:
    """Whether a start was stopped because the job's running time is used up: pods get what is left of it."""
    return ending.reason == ErrorClass.ATTEMPT_TIMEOUT and time_left(seen, spec, ran) <= DEADLINE_SLACK


def cancelled(job: Job, when: str = "") -> Finish:
    """The end of a job that must end, named after who asked for it; `when` completes the sentence."""
    if not job.cancel:
        return Finish(Phase.CANCELLED, CancelledReason.DELETED, f"the job was deleted{when}")
    if job.replaced_by:
        return Finish(Phase.CANCELLED, CancelledReason.REPLACED, f"its schedule replaced it by {job.replaced_by}{when}")
    return Finish(Phase.CANCELLED, CancelledReason.REQUESTED, f"spec.cancel was set{when}")


def _ran(active: AttemptRecord, pod: Pod | None, now: datetime) -> timedelta:
    """How long the container of a pod ran, by the node's clock, which may have been set meanwhile."""
    if pod is None or pod.container_started is None:
        return timedelta(0)
    ended = pod.terminated.finished if pod.terminated and pod.terminated.finished else now
    most = now - (active.started or pod.created)
    return max(timedelta(0), min(most, ended - pod.container_started))


def _next_step(
    seen: Observation, active: AttemptRecord, ending: Ending, ran: timedelta, now: datetime
) -> tuple[Again | Finish | Suspend, bool]:
    """Apply the job's wishes and limits to an ending. The second value says whether an attempt is charged."""
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
        # The loss is our own doing: it spends nothing.
        return (_suspension(seen) if seen.must_stop else Again(now, infra=False, free=True)), False
    if _is_past_deadline(seen, seen.spec, ending, ran):
        return Finish(Phase.FAILED, ErrorClass.DEADLINE_EXCEEDED, "timeouts.running was used up"), False
    following, charged = _again(seen, seen.spec, active, ending, now)
    if seen.job.suspend and isinstance(following, Again):
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED, at=following.at), charged
    return following, charged


def _suspension(seen: Observation) -> Suspend:
    """The suspension for which a start was stopped. The job's own wish goes before its queue's."""
    if seen.job.suspend or seen.stop is None:
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED)
    return Suspend(seen.stop.reason, seen.stop.message)


def _is_over_budget(ending: Ending) -> bool:
    return ending.verdict is Verdict.FAIL and ending.reason in _OVER_BUDGET


def _is_undecided(seen: Observation, ending: Ending) -> bool:
    """Whether rules and limits decide what follows, and this version cannot read them."""
    if not seen.unreadable or seen.job.must_end or ending.verdict is Verdict.CANCEL:
        return False
    if ending.verdict is Verdict.SUCCEED:
        return ending.outcome is not None and seen.job.has_rules
    return ending.verdict is not Verdict.FAIL or _is_over_budget(ending) or seen.job.has_rules


def _undecided(seen: Observation, ending: Ending, now: datetime) -> tuple[Again | Suspend, bool]:
    """Record the end, and leave the rest to the version that can read the job.

    A failure is charged, so that limits hold; a stored answer that is final is repeated by the start that follows.
    """
    charged = ending.began and ending.verdict in (Verdict.RETRY, Verdict.FAIL) and not _is_over_budget(ending)
    free = ending.infra or not (charged or ending.verdict in (Verdict.SNOOZE, Verdict.SUCCEED))
    at = now + (ending.delay or SNOOZE_DELAY)
    if seen.job.suspend:
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED, at=at), charged
    return Again(at, infra=free), charged


def _rule(seen: Observation, ending: Ending, pod: Pod | None) -> Rule | None:
    """The job's own rule for this ending. A wish to stop comes before all rules about failures."""
    job, spec = seen.job, seen.spec
    if spec is None or (job.must_end and ending.verdict is not Verdict.SUCCEED):
        return None
    if ending.reason == ErrorClass.SUSPENDED:
        return None
    return matching_rule(spec.result_policy, ending, pod, fired=job.status.rule_counts)


def _by_rule(
    seen: Observation, active: AttemptRecord, ending: Ending, rule: Rule, now: datetime
) -> tuple[Again | Finish | Suspend, bool]:
    """Do what a rule says, within the job's limits."""
    success = ending.verdict is Verdict.SUCCEED
    if success:
        # An answer that is not taken counts as an error of the agent.
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
        # The rule's delay stands in for the backoff, not beside it.
        next_step, charged = _retry(seen, seen.spec, active, replace(ending, delay=None), now)
        return (replace(next_step, at=now + rule.delay) if isinstance(next_step, Again) else next_step), charged
    return _again(seen, seen.spec, active, replace(ending, verdict=verdict, delay=rule.delay, infra=False), now)


def _describe(rule: Rule, ending: Ending) -> str:
    """The message of an ending that a rule decided about."""
    if ending.verdict is Verdict.SUCCEED:
        return f"rule {rule.name}: the answer's outcome is {ending.outcome}"
    return f"rule {rule.name}: {ending.reason}: {ending.message}"


def _finish(ending: Ending, phase: Phase, reason: str) -> Finish:
    """The job ends by this ending, and with its answer if it gave one."""
    return Finish(phase, reason, ending.message, ending.summary, ending.outcome, published=ending.published)


def _again(
    seen: Observation, spec: AgentJobSpec, active: AttemptRecord, ending: Ending, now: datetime
) -> tuple[Again | Finish, bool]:
    at = now + (ending.delay or SNOOZE_DELAY)
    if ending.infra and seen.progress is not None and seen.progress.advanced and spec.steps.checkpoint == "Steps":
        return Again(at, infra=False, free=True), False
    if ending.verdict is Verdict.SNOOZE and not _spent(seen, ending):
        return Again(at, infra=ending.infra), False
    return _retry(seen, spec, active, ending, now)


def time_left(seen: Observation, spec: AgentJobSpec, ran: timedelta = timedelta(0)) -> timedelta:
    """What is left of `timeouts.running`."""
    if spec.timeouts.running is None:
        return timedelta.max
    return spec.timeouts.running - timedelta(seconds=seen.job.status.running_seconds) - ran


def _spent(seen: Observation, ending: Ending) -> bool:
    """Whether the job has used up the endings of this kind that cost nothing."""
    status, retry = seen.job.status, seen.spec.retry if seen.spec else None
    if retry is None:
        return True
    if ending.infra:
        return status.infra_restarts >= retry.max_infra_restarts
    return status.snoozes >= retry.max_snoozes


def _retry(
    seen: Observation, spec: AgentJobSpec, active: AttemptRecord, ending: Ending, now: datetime
) -> tuple[Again | Finish, bool]:
    """A failure that another attempt may heal. Charged when a container began, and when free endings are used up."""
    # A start whose container never ran costs no attempt, but it must not go on forever either.
    charged = ending.began or seen.job.status.infra_restarts >= spec.retry.max_infra_restarts
    if charged and active.attempt >= spec.retry.max_attempts:
        message = f"attempt {active.attempt} of {spec.retry.max_attempts} failed: {ending.message}"
        return _finish(replace(ending, message=message), Phase.FAILED, ending.reason), True
    seed = f"{seen.job.uid}/{active.start}"
    wait = backoff(spec.retry.backoff, active.attempt, seed=seed)
    if ending.delay is not None:
        wait = max(wait, ending.delay)
    return Again(now + wait, infra=not charged), charged
