"""What a schedule starts, misses and reports: decided over hours and years in milliseconds.

The cluster's clock begins at 09:00 UTC on Saturday, 21 November 2026; by default a job takes 30 s and a schedule is
`*/10 * * * *`.
"""

from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.core.children import ChildRefusal, RefusalReason

MINUTELY = "* * * * *"


@pytest.fixture
def operate(a_cluster, a_scheduler):
    def operate(*args, **spec):
        cluster = a_cluster(*args, **spec)
        return cluster, a_scheduler(cluster)

    return operate


# --- the plain case ---------------------------------------------------------------------------------------------------


def test_every_time_has_one_job(operate, times):
    cluster, operator = operate()
    operator.run(hours=1)

    assert times(*cluster.made) == ["09:10", "09:20", "09:30", "09:40", "09:50", "10:00"]
    assert (cluster.parsed.runs, cluster.parsed.missed) == (6, 0)
    assert cluster.condition("Active") == (True, "Scheduled", "")


def test_an_occurrence_takes_three_writes_for_reservation_job_and_end(operate):
    _cluster, operator = operate()
    operator.run(minutes=5)
    before = operator.writes

    operator.run(minutes=10, lasting=timedelta(seconds=5))

    assert operator.writes - before == 3


def test_a_long_job_takes_one_more_write_to_report_its_creation(operate):
    _cluster, operator = operate()
    operator.run(minutes=5)
    before = operator.writes

    operator.run(minutes=9, lasting=timedelta(minutes=2))

    assert operator.writes - before == 4


def test_an_idle_schedule_writes_nothing(operate):
    _cluster, operator = operate("0 0 1 1 *")
    operator.run(minutes=1)
    before = operator.writes

    operator.run(days=30)

    assert operator.writes == before


def test_the_next_time_is_in_the_status_and_in_the_timer(operate):
    cluster, operator = operate("30 6 * * 1-5", timeZone="Europe/Berlin")
    operator.run(minutes=1)

    assert cluster.status["nextScheduleTime"] == "2026-11-23T05:30:00Z"


# --- after downtime ---------------------------------------------------------------------------------------------------

CATCH_UP = {
    "latest": ({}, ["12:00"], 17),
    "latest-in-time": ({"startingDeadlineSeconds": 600}, ["12:00"], 17),
    "latest-too-late": ({"startingDeadlineSeconds": 200}, [], 18),
    "none": ({"catchUp": {"policy": "None"}}, [], 18),
    "all-of-three": ({"catchUp": {"policy": "All", "limit": 3}}, ["11:40", "11:50", "12:00"], 15),
    "all": ({"catchUp": {"policy": "All", "limit": 100}}, [f"{9 + n // 6:02}:{n % 6}0" for n in range(1, 19)], 0),
    "all-within-half-an-hour": (
        {"catchUp": {"policy": "All"}, "startingDeadlineSeconds": 1800},
        ["11:40", "11:50", "12:00"],
        15,
    ),
}


@pytest.mark.parametrize(("spec", "made", "missed"), CATCH_UP.values(), ids=CATCH_UP)
@pytest.mark.parametrize("policy", ["Forbid", "Allow"])
def test_one_job_is_created_after_three_hours_of_downtime(operate, times, policy, spec, made, missed):
    cluster, operator = operate(concurrencyPolicy=policy, **spec)
    operator.run(minutes=1)
    cluster.now += timedelta(hours=3, minutes=4)

    operator.run(minutes=4, lasting=timedelta(seconds=1))

    assert times(*cluster.made) == made
    assert cluster.parsed.missed == missed


def test_a_missed_time_is_reported_once(operate):
    cluster, operator = operate(startingDeadlineSeconds=60)
    operator.run(minutes=1)
    cluster.now += timedelta(hours=3, minutes=4)
    operator.run(minutes=4)

    assert [note.reason for note in operator.events] == ["Missed"]
    assert operator.events[0].message.startswith("18 starts ")
    assert "2026-11-21T12:00" in operator.events[0].message


def test_all_missed_times_under_forbid_run_one_after_another_within_their_deadlines(operate, times):
    cluster, operator = operate(catchUp={"policy": "All"}, startingDeadlineSeconds=1800)
    operator.run(minutes=1)
    cluster.now += timedelta(minutes=33)  # 09:34: three are due

    operator.run(minutes=30, lasting=timedelta(minutes=14))

    assert times(*cluster.made) == ["09:10", "09:20", "09:40"], "09:30 was due until 10:00, and 09:20 ran until 10:02"
    assert cluster.parsed.missed == 1


def test_the_previous_time_of_a_job_is_that_of_the_last_job_even_if_times_were_missed(operate):
    cluster, operator = operate()
    operator.run(minutes=11)
    cluster.now += timedelta(hours=3)
    operator.hear()
    operator.look(die_after=10)

    entry = next(one for one in cluster.parsed.active if one.name == cluster.made[-1])
    assert (entry.time.hour, entry.previous) == (12, datetime(2026, 11, 21, 9, 10, tzinfo=UTC))


# --- CronJob's documentation and its known faults ---------------------------------------------------------------------


def test_more_than_100_missed_starts_do_not_stop_a_schedule(operate, times):
    """CronJob's example: every minute, down from 08:29 to 10:21, more than 100 missed: it never starts again."""
    cluster, operator = operate(MINUTELY, created=datetime(2026, 11, 21, 8, 28, 30, tzinfo=UTC))
    operator.run(seconds=45)
    cluster.now = datetime(2026, 11, 21, 10, 21, 20, tzinfo=UTC)

    operator.run(seconds=50)

    assert times(*cluster.made) == ["08:29", "10:21", "10:22"]
    assert cluster.parsed.missed == 111


def test_a_deadline_of_200_seconds_starts_after_the_same_downtime_too(operate, times):
    """CronJob's second example: with startingDeadlineSeconds 200 the job starts at 10:22."""
    created = datetime(2026, 11, 21, 8, 28, 30, tzinfo=UTC)
    cluster, operator = operate(MINUTELY, created=created, startingDeadlineSeconds=200)
    operator.run(seconds=45)
    cluster.now = datetime(2026, 11, 21, 10, 21, 50, tzinfo=UTC)

    operator.run(seconds=40)

    assert times(*cluster.made)[-1] == "10:22"


def test_the_documented_friday_the_13th_means_fridays_and_thirteenths(operate):
    cluster, operator = operate("0 0 13 * 5")
    operator.run(days=30)

    days = [datetime.fromtimestamp(int(name.rpartition("-")[2]) * 60, UTC) for name in cluster.made]
    assert [f"{day:%a} {day.day}" for day in days] == ["Fri 27", "Fri 4", "Fri 11", "Sun 13", "Fri 18"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_a_new_time_zone_applies_from_the_edit(operate, zone):
    """CronJob once started all that the new zone had already shown."""
    cluster, operator = operate("0 6 * * *")
    operator.run(hours=22)
    made = list(cluster.made)
    cluster.edit(timeZone=zone)

    operator.run(minutes=5)

    assert cluster.made == made
    assert cluster.parsed.missed == 0
    assert cluster.parsed.next_schedule_time > cluster.now


def test_a_new_expression_applies_from_the_edit(operate, times):
    cluster, operator = operate("0 6 * * *")
    operator.run(hours=1)
    cluster.edit(schedule=MINUTELY)

    operator.run(minutes=2, seconds=10)

    assert times(*cluster.made) == ["10:01", "10:02"]
    assert cluster.parsed.missed == 0


def test_an_edit_of_the_job_template_settles_no_time(operate, times):
    cluster, operator = operate()
    operator.run(minutes=1)
    cluster.now += timedelta(minutes=12)
    cluster.edit(successfulJobsHistoryLimit=1)

    operator.run(minutes=1)

    assert times(*cluster.made) == ["09:10"]


def test_an_edit_during_a_start_neither_loses_nor_repeats_it(operate, times, died):
    cluster, operator = operate()
    operator.run(minutes=5)
    cluster.now += timedelta(minutes=5)
    operator.hear()
    with pytest.raises(died):
        operator.look(die_after=1)
    cluster.edit(schedule="5 * * * *")

    operator.run(minutes=10)

    assert times(*cluster.made) == ["09:10"]


def test_a_suspension_during_a_start_neither_loses_nor_repeats_it(operate, times, died):
    cluster, operator = operate()
    operator.run(minutes=5)
    cluster.now += timedelta(minutes=5)
    operator.hear()
    with pytest.raises(died):
        operator.look(die_after=1)
    cluster.edit(suspend=True)

    operator.run(minutes=30)

    assert times(*cluster.made) == ["09:10"]


def test_forbid_creates_the_job_of_the_latest_time_when_a_long_job_ends(operate, times):
    cluster, operator = operate()
    operator.run(minutes=50, lasting=timedelta(minutes=25))

    assert times(*cluster.made) == ["09:10", "09:30"]
    assert cluster.parsed.missed == 1


def test_forbid_with_a_deadline_skips_times_that_a_long_job_delayed_too_much(operate, times):
    cluster, operator = operate(startingDeadlineSeconds=120)
    operator.run(minutes=50, lasting=timedelta(minutes=25))

    assert times(*cluster.made) == ["09:10", "09:40"]
    assert cluster.parsed.missed == 2


def test_forbid_without_catching_up_waits_for_the_next_time(operate, times):
    cluster, operator = operate(catchUp={"policy": "None"})
    operator.run(minutes=50, lasting=timedelta(minutes=25))

    assert times(*cluster.made) == ["09:10", "09:40"]


def test_allow_starts_a_job_while_another_runs(operate, times):
    cluster, operator = operate(concurrencyPolicy="Allow")
    operator.run(minutes=41, lasting=None)

    assert times(*cluster.made) == ["09:10", "09:20", "09:30", "09:40"]
    assert cluster.status["running"] == 4


def test_replace_starts_only_after_the_previous_job_has_ended(operate, times):
    """CronJob deletes the old job and starts immediately: both run until the old one has ended."""
    cluster, operator = operate(concurrencyPolicy="Replace")
    operator.run(minutes=21, lasting=None)
    first = cluster.made[0]
    assert cluster.jobs[first].cancel
    assert times(*cluster.made) == ["09:10"]

    cluster.end(first, Phase.CANCELLED)
    operator.run(minutes=1, lasting=None)

    assert times(*cluster.made) == ["09:10", "09:20"]
    assert cluster.parsed.consecutive_failures == 0


def test_times_during_a_suspension_are_never_caught_up(operate, times):
    cluster, operator = operate(catchUp={"policy": "All"})
    operator.run(minutes=11)
    cluster.edit(suspend=True)
    operator.run(minutes=30)
    assert cluster.condition("Active")[:2] == (False, "Suspended")
    assert "nextScheduleTime" not in cluster.status

    cluster.edit(suspend=False)
    operator.run(minutes=10)

    assert times(*cluster.made) == ["09:10", "09:50"]
    assert cluster.parsed.missed == 0


def test_times_of_a_suspension_that_ended_during_downtime_are_not_caught_up(operate, times):
    cluster, operator = operate()
    operator.run(minutes=11)
    cluster.edit(suspend=True)
    operator.run(minutes=1)
    cluster.now += timedelta(hours=2)
    cluster.edit(suspend=False)

    operator.run(minutes=1)

    assert times(*cluster.made) == ["09:10"]


def test_a_recreated_schedule_begins_at_its_creation(a_cluster, a_scheduler):
    cluster = a_cluster(created=datetime(2026, 11, 21, 9, 10, tzinfo=UTC))
    a_scheduler(cluster).run(minutes=9)

    assert cluster.made == []


def test_a_new_schedule_catches_up_from_its_creation(operate, times):
    cluster, operator = operate()
    cluster.now += timedelta(minutes=25)
    operator.run(minutes=1)

    assert times(*cluster.made) == ["09:20"]


def test_a_schedule_that_is_being_deleted_creates_no_jobs(operate):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.deleting = True
    operator.run(minutes=5)

    assert cluster.made == []


def test_a_clock_that_goes_back_starts_nothing_twice(operate, times):
    cluster, operator = operate()
    operator.run(minutes=31)
    cluster.now -= timedelta(minutes=25)

    operator.run(minutes=40)

    assert times(*cluster.made) == ["09:10", "09:20", "09:30", "09:40"]


def test_a_clock_that_goes_back_and_an_edit_start_nothing_twice(operate):
    cluster, operator = operate(MINUTELY)
    operator.run(minutes=10, seconds=30)
    cluster.now -= timedelta(minutes=5)
    cluster.edit(schedule="0-59 * * * *")
    cluster.jobs.clear()

    operator.run(minutes=20)

    assert len(cluster.made) == len(set(cluster.made)) == 25


def test_missed_times_are_not_started_when_the_clock_goes_back_and_the_schedule_is_edited(operate):
    cluster, operator = operate(MINUTELY, startingDeadlineSeconds=10)
    operator.run(seconds=30)
    cluster.now += timedelta(minutes=60, seconds=15)  # 10:00:45, and 10:00 was due until 10:00:10
    operator.run(seconds=1)
    assert cluster.parsed.missed == 60
    cluster.now -= timedelta(minutes=30)
    cluster.edit(schedule="*/1 * * * *")

    operator.run(minutes=29)

    assert cluster.made == []


# --- two operators, old news ------------------------------------------------------------------------------------------


def reserved_but_not_made(cluster, operator, died):
    operator.run(minutes=9)
    cluster.now += timedelta(minutes=1)
    operator.hear()
    with pytest.raises(died):
        operator.look(die_after=1)


@pytest.mark.parametrize("limit", [0, 3])
def test_an_operator_with_an_outdated_cache_reads_before_it_creates_a_job(operate, a_scheduler, died, limit):
    cluster, operator = operate(successfulJobsHistoryLimit=limit)
    reserved_but_not_made(cluster, operator, died)
    other = a_scheduler(cluster)
    operator.run(minutes=2)
    cluster.jobs.clear()

    other.look()

    assert cluster.made == ["brief-29920870"]
    assert cluster.status["active"] == []


def test_when_two_operators_create_the_same_job_one_adopts_it(operate, a_scheduler, died):
    cluster, operator = operate()
    reserved_but_not_made(cluster, operator, died)
    other = a_scheduler(cluster)
    operator.look()

    other.look()

    assert cluster.made == ["brief-29920870"]


def test_when_two_operators_reserve_the_same_time_one_is_refused(operate, a_scheduler, clash):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.now += timedelta(minutes=1)
    other = a_scheduler(cluster)
    operator.look()

    with pytest.raises(clash):
        other.look()


def test_a_job_whose_event_is_late_is_not_considered_deleted(operate):
    cluster, operator = operate(MINUTELY)
    operator.run(minutes=1, seconds=30, lasting=None)
    (name,) = cluster.made
    operator.jobs.clear()

    operator.look()

    assert [one["name"] for one in cluster.status["active"]] == [name]


def test_a_running_job_that_is_deleted_is_not_created_again(operate, times):
    cluster, operator = operate()
    operator.run(minutes=11, lasting=None)
    cluster.jobs.clear()
    operator.run(minutes=5, lasting=None)
    assert cluster.status["active"] == []

    operator.run(minutes=5, lasting=None)

    assert times(*cluster.made) == ["09:10", "09:20"]


def test_another_job_of_the_same_name_ends_the_reservation(operate):
    cluster, operator = operate()
    operator.run(minutes=11, lasting=None)
    (name,) = cluster.made
    job = cluster.jobs[name]
    cluster.jobs[name] = type(job)(name, "another", job.created, Phase.FAILED, ended=job.created)

    operator.run(minutes=1, lasting=None)

    assert cluster.status["active"] == []
    assert cluster.parsed.consecutive_failures == 0


# --- limits -----------------------------------------------------------------------------------------------------------


def test_consecutive_failures_halt_the_schedule_until_a_user_resumes_it(operate, times):
    cluster, operator = operate(maxConsecutiveFailures=2)
    operator.run(minutes=50, fail=True)
    assert times(*cluster.made) == ["09:10", "09:20"]
    assert cluster.condition("Active")[:2] == (False, "TooManyFailures")
    assert cluster.condition("Degraded")[1] == "JobFailed"

    cluster.annotate(resume="1")
    operator.run(minutes=30)

    assert times(*cluster.made) == ["09:10", "09:20", "10:00", "10:10", "10:20"]
    assert cluster.condition("Active")[0]
    assert not cluster.condition("Degraded")[0]


def test_a_success_resets_the_count_of_failures(operate):
    cluster, operator = operate(maxConsecutiveFailures=2)
    for minute in range(60):
        operator.run(minutes=1, fail=minute % 20 < 10)

    assert len(cluster.made) == 6
    assert cluster.status["lastSuccessfulTime"].startswith("2026-11-21T09:50")


def test_max_runs_ends_the_schedule_and_a_larger_value_continues_it(operate, times):
    cluster, operator = operate(maxRuns=2)
    operator.run(hours=1)
    assert times(*cluster.made) == ["09:10", "09:20"]
    cluster.edit(maxRuns=1)
    operator.run(minutes=1)
    said = cluster.condition("Active")
    assert said[:2] == (False, "MaxRunsReached")
    assert "above 2" in said[2]

    cluster.edit(maxRuns=3)
    operator.run(minutes=30)

    assert times(*cluster.made) == ["09:10", "09:20", "10:10"]


@pytest.mark.parametrize(("good", "bad"), [(3, 3), (0, 0), (1, 0)])
def test_finished_jobs_beyond_the_limits_are_deleted_oldest_first(operate, good, bad):
    cluster, operator = operate(successfulJobsHistoryLimit=good, failedJobsHistoryLimit=bad)
    for minute in range(182):
        operator.run(minutes=1, fail=minute % 20 < 10)

    kept = sorted(cluster.jobs)
    assert len(cluster.made) == 18
    assert [name for name in kept if cluster.jobs[name].phase is Phase.SUCCEEDED] == cluster.made[::2][9 - good :]
    assert [name for name in kept if cluster.jobs[name].phase is Phase.FAILED] == cluster.made[1::2][9 - bad :]


def test_skipped_jobs_are_limited_separately_from_failed_ones(operate):
    cluster, operator = operate(failedJobsHistoryLimit=2)
    for number in range(8):
        operator.run(minutes=10, lasting=None)
        cluster.end(cluster.made[-1], Phase.FAILED if number < 3 else Phase.SKIPPED)
    operator.run(minutes=1, lasting=None)

    assert len(cluster.made) == 8
    assert [job.phase for _, job in sorted(cluster.jobs.items())] == [Phase.FAILED] * 2 + [Phase.SKIPPED] * 2


def test_more_than_64_unfinished_jobs_delay_the_next(operate):
    cluster, operator = operate(MINUTELY, concurrencyPolicy="Allow")
    operator.run(minutes=70, lasting=None)

    assert len(cluster.made) == 64
    assert cluster.condition("Blocked")[:2] == (True, "TooManyJobs")


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("halt", [{}, {"suspend": True}, {"maxRuns": 1}], ids=["active", "suspended", "used-up"])
def test_a_new_value_of_the_annotation_creates_one_job_even_while_halted(operate, halt):
    cluster, operator = operate(**halt)
    operator.run(minutes=11)
    before = len(cluster.made)
    cluster.annotate(trigger="now")
    operator.run(minutes=5)

    (name,) = cluster.made[before:]
    assert name.startswith("brief-t")
    assert cluster.parsed.last_trigger == "now"
    assert cluster.parsed.runs == before


def test_a_triggered_job_starts_immediately_and_delays_the_next_occurrence(operate, times):
    cluster, operator = operate()
    operator.run(minutes=11, lasting=None)
    cluster.annotate(trigger="a")
    operator.run(minutes=1, lasting=None)
    assert len(cluster.made) == 2
    cluster.end(cluster.made[0])

    operator.run(minutes=15, lasting=None)

    assert len(cluster.made) == 2
    assert cluster.condition("Blocked")[0]
    assert cluster.made[1] in cluster.condition("Blocked")[2]


def test_a_used_value_of_the_annotation_creates_no_second_job(operate):
    cluster, operator = operate("0 0 1 1 *")
    for value in ("a", "b", "a"):
        cluster.annotate(trigger=value)
        operator.run(minutes=1)

    assert len(cluster.made) == 2
    assert operator.events[-1].reason == "TriggerRepeated"


def test_a_due_time_has_precedence_over_a_simultaneous_trigger(operate):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.now += timedelta(minutes=1)
    cluster.annotate(trigger="a")
    operator.run(minutes=1)

    assert [name.startswith("brief-t") for name in cluster.made] == [False, True]


# --- held up ----------------------------------------------------------------------------------------------------------


def test_an_overrun_of_less_than_a_minute_is_not_written(operate):
    cluster, operator = operate()
    operator.run(minutes=30, lasting=timedelta(minutes=10, seconds=50))

    assert cluster.condition("Blocked") == (False, "", "")
    assert len(cluster.made) == 2


def test_a_long_overrun_is_reported_with_the_jobs_name_until_it_ends(operate):
    cluster, operator = operate(startingDeadlineSeconds=30)
    operator.run(minutes=25, lasting=timedelta(minutes=17))
    *state, message = cluster.condition("Blocked")
    assert (state, cluster.made[0] in message) == ([True, "JobRunning"], True)

    operator.run(minutes=10, lasting=timedelta(minutes=17))

    assert cluster.condition("Blocked")[:2] == (False, "NotBlocked")


def test_a_suspended_job_that_delays_a_start_is_reported_immediately(operate):
    cluster, operator = operate()
    operator.run(minutes=15, lasting=None)
    (name,) = cluster.made
    cluster.jobs[name] = type(cluster.jobs[name])(
        name, cluster.jobs[name].uid, cluster.jobs[name].created, Phase.SUSPENDED, why="spec.suspend is true"
    )

    operator.run(minutes=5, seconds=1, lasting=None)

    *state, message = cluster.condition("Blocked")
    assert state == [True, "JobSuspended"]
    assert (name in message, message.endswith(": spec.suspend is true")) == (True, True)


def test_a_refused_job_is_retried_until_the_next_time_is_due(operate, times):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.refuse = {"brief-29920870": ChildRefusal(RefusalReason.REFUSED, "exceeded quota")}
    operator.run(minutes=5)
    assert cluster.condition("Blocked") == (True, "JobRefused", "exceeded quota")

    operator.run(minutes=7)

    assert times(*cluster.made) == ["09:20"]
    assert cluster.condition("Degraded")[1] == "StartFailed" or cluster.parsed.last_successful_time
    assert (cluster.parsed.runs, cluster.parsed.missed) == (1, 1)
    assert operator.events[-1].reason == "StartFailed"


def test_a_temporary_refusal_loses_no_start(operate, times):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.refuse = {"brief-29920870": ChildRefusal(RefusalReason.NAME_TAKEN, "another's")}
    operator.run(minutes=5)
    cluster.refuse = {}
    operator.run(minutes=2)

    assert times(*cluster.made) == ["09:10"]
    assert cluster.condition("Blocked")[:2] == (False, "NotBlocked")


def test_a_permanently_refused_job_is_abandoned_immediately(operate):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.refuse = {"brief-29920870": ChildRefusal(RefusalReason.REFUSED, "spec: Invalid value", final=True)}
    operator.run(minutes=1)

    assert cluster.status["active"] == []
    *state, message = cluster.condition("Degraded")
    assert state == [True, "StartFailed"]
    assert ("brief-29920870" in message, message.endswith(": spec: Invalid value")) == (True, True)


def test_an_outdated_reservation_is_not_created_in_addition_to_the_latest(operate, times, died):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.now += timedelta(minutes=1)
    operator.hear()
    with pytest.raises(died):
        operator.look(die_after=1)
    cluster.now += timedelta(days=3)

    operator.run(minutes=5)

    assert times(*cluster.made) == ["09:10"]
    assert cluster.made == ["brief-29925190"]
    assert cluster.parsed.missed == 432


def test_a_reservation_whose_spec_became_invalid_is_abandoned(operate, died):
    cluster, operator = operate()
    operator.run(minutes=9)
    cluster.now += timedelta(minutes=1)
    operator.hear()
    with pytest.raises(died):
        operator.look(die_after=1)
    cluster.edit(jobTemplate={"spec": {}})

    operator.run(minutes=1)

    assert (cluster.made, cluster.status["active"]) == ([], [])
    assert cluster.condition("Active")[:2] == (False, "InvalidSpec")


# --- bad specs --------------------------------------------------------------------------------------------------------

BAD = {
    "never": ({"schedule": "0 0 30 2 *"}, "NeverFires", 'spec.schedule: "0 0 30 2 *" '),
    "seconds": ({"schedule": "0 0 6 * * *"}, "InvalidSchedule", "spec.schedule: "),
    "zone": ({"timeZone": "Europe/Berlim"}, "InvalidSchedule", 'spec.timeZone: "Europe/Berlim" '),
    "deadline": ({"startingDeadlineSeconds": 5}, "InvalidSpec", "use at least 10"),
    "job": ({"jobTemplate": {"spec": {}}}, "InvalidSpec", "spec.jobTemplate.spec.agent: "),
}


@pytest.mark.parametrize(("spec", "reason", "message"), BAD.values(), ids=BAD)
def test_an_invalid_spec_is_reported_and_a_correction_continues_from_there(operate, times, spec, reason, message):
    cluster, operator = operate()
    good = dict(cluster.spec)
    operator.run(minutes=11)
    cluster.edit(**spec)
    operator.run(minutes=30)
    said = cluster.condition("Active")
    assert said[:2] == (False, reason)
    assert message in said[2]

    cluster.spec = {}
    cluster.edit(**good)
    operator.run(minutes=10)

    assert times(*cluster.made) == ["09:10", "09:50"]


# --- jitter -----------------------------------------------------------------------------------------------------------


def test_jitter_spreads_starts_within_the_period_and_keeps_their_names(operate, times):
    cluster, operator = operate(jitter="1h", concurrencyPolicy="Allow")
    operator.run(hours=6, minutes=10, lasting=timedelta(seconds=1))

    assert times(*cluster.made) == [f"{9 + n // 6:02}:{n % 6}0" for n in range(1, 37)]
    assert cluster.parsed.missed == 0


def test_jitter_is_a_deterministic_delay(operate):
    one, operator = operate(jitter="5m")
    operator.run(hours=3)
    other, second = operate(jitter="5m")
    second.run(hours=3)

    delays = [job.created.minute % 10 * 60 + job.created.second for job in one.jobs.values()]
    assert max(delays) <= 300
    assert len(set(delays)) > 1
    assert [job.created for job in one.jobs.values()] == [job.created for job in other.jobs.values()]


def test_a_deadline_counts_from_the_delayed_start(operate):
    cluster, operator = operate(jitter="9m", startingDeadlineSeconds=10)
    operator.run(hours=2, lasting=timedelta(seconds=1))

    assert cluster.parsed.missed == 0
    assert len(cluster.made) in (11, 12)


def test_an_entry_of_another_version_with_unknown_fields_is_kept(operate):
    cluster, operator = operate()
    operator.run(minutes=10, lasting=None)
    (entry,) = cluster.status["active"]
    (job,) = cluster.jobs.values()
    cluster.status |= {"active": [{**entry, "uid": job.uid, "previous": "2026-11-21T09:00:00Z"}]}
    operator.run(minutes=1, lasting=None)

    assert [one["uid"] for one in cluster.status["active"]] == [job.uid]


def test_an_abandoned_start_keeps_the_cause(operate):
    cluster, operator = operate()
    cluster.refuse["brief-29920870"] = ChildRefusal(RefusalReason.REFUSED, "exceeded quota: q")
    operator.run(minutes=20)

    (note,) = [note for note in operator.events if note.reason == "StartFailed"]
    assert ": exceeded quota: q;" in note.message


@pytest.mark.parametrize("spec", [{"startingDeadlineSeconds": 120}, {"catchUp": {"policy": "None"}}], ids=str)
def test_starts_delayed_too_long_by_a_job_are_missed_and_name_it(operate, spec):
    _cluster, operator = operate(**spec)
    operator.run(minutes=36, lasting=timedelta(minutes=25))

    (note,) = [note for note in operator.events if note.reason == "Missed"]
    assert "blocked: job brief-29920870 " in note.message


def test_missed_starts_without_a_blocking_job_name_none(operate):
    cluster, operator = operate(startingDeadlineSeconds=120)
    operator.run(minutes=36, lasting=timedelta(minutes=25))
    cluster.now += timedelta(hours=3)
    operator.run(minutes=4)

    assert "blocked" not in [note for note in operator.events if note.reason == "Missed"][-1].message
