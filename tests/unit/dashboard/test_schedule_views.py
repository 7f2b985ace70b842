"""The content of the pages of schedules."""

from datetime import UTC, date, datetime, timedelta

import pytest
from tests.dashboardobjects import NOON, a_job, a_schedule, condition

from agentjobs.dashboard.views.schedules import ahead, calendar_since, past, schedule_view


def stopped(reason, message=""):
    return a_schedule(conditions=[condition("Active", "False", reason, message)])


@pytest.mark.parametrize(
    ("schedule", "word", "tone"),
    [
        pytest.param(a_schedule(), "Active", "ok", id="active"),
        pytest.param(a_schedule(suspend=True), "Suspended", "warn", id="suspended-before-the-operator-saw-it"),
        pytest.param(stopped("Suspended"), "Resuming", "dim", id="resumed-just-now"),
        pytest.param(stopped("TooManyFailures"), "Stopped", "bad", id="failures"),
        pytest.param(stopped("InvalidSchedule"), "Invalid", "bad", id="times"),
        pytest.param(stopped("InvalidSpec"), "Invalid", "bad", id="spec"),
        pytest.param(stopped("NeverFires"), "Never", "bad", id="never"),
        pytest.param(stopped("MaxRunsReached"), "Done", "dim", id="done"),
        pytest.param(stopped("OfANewerVersion"), "Stopped", "bad", id="unknown"),
        pytest.param(a_schedule(conditions=[]), "Not seen", "dim", id="no-operator"),
    ],
)
def test_the_state_is_a_word(schedule, word, tone):
    state = schedule_view(schedule).state

    assert (state.word, state.tone) == (word, tone)
    assert state.text.endswith(".")


def test_an_invalid_schedule_may_have_an_invalid_time_zone():
    state = schedule_view(stopped("InvalidSchedule", 'spec.timeZone: "Europe/Berln" is not a time zone')).state

    assert "time zone is invalid" in state.text


@pytest.mark.parametrize(
    ("schedule", "resumable"),
    [
        (a_schedule(), False),
        (a_schedule(suspend=True), True),
        (stopped("TooManyFailures"), True),
        (stopped("InvalidSpec"), False),
    ],
    ids=["active", "suspended", "failures", "invalid"],
)
def test_resume_is_offered_only_if_it_has_an_effect(schedule, resumable):
    assert schedule_view(schedule).suspended is resumable


def test_the_reason_of_a_delayed_start_is_shown_next_to_the_state():
    conditions = [
        condition("Active", "True", "Scheduled"),
        condition("Blocked", "True", "JobRunning", "brief-1 runs"),
        condition("Degraded", "False", "JobsSucceed"),
    ]

    view = schedule_view(a_schedule(conditions=conditions))

    assert (view.state.word, view.held_up.reason, view.held_up.message) == ("Active", "JobRunning", "brief-1 runs")
    assert view.trouble is None


def test_next_times_are_shown_in_the_time_zone_and_in_utc():
    at = datetime(2026, 11, 26, 5, 30, tzinfo=UTC)

    (time,) = schedule_view(a_schedule(following=[at])).next

    assert (time.local, time.at) == ("Thu 2026-11-26 06:30 CET", at)


def test_policies_are_described_in_words():
    spec = {"concurrencyPolicy": "Replace", "catchUp": {"policy": "All"}, "jitter": "5m", "maxConsecutiveFailures": 3}

    told = " ".join(schedule_view(a_schedule(**spec)).policies)

    wanted = ["cancels the previous one", "one by one", "up to 5m later", "after 3 failed jobs"]
    assert [words for words in wanted if words not in told] == []


@pytest.mark.parametrize("spec", [{"schedule": 7, "timeZone": None}, {"jobTemplate": "no"}, {"catchUp": []}])
def test_a_spec_with_wrong_types_is_shown(spec):
    view = schedule_view(a_schedule(**spec))

    assert view.zone in ("UTC", "Europe/Berlin")
    assert len(view.policies) == 2


def test_the_coming_weeks_have_the_times_of_each_day():
    weeks = ahead(a_schedule(following=[NOON + timedelta(days=1)]), NOON)

    wednesday, thursday, saturday = weeks[0][2], weeks[0][3], weeks[0][5]
    assert [len(week) for week in weeks] == [7] * 5
    assert (wednesday.today, wednesday.times) == (True, 0)  # half past six has passed
    assert (thursday.times, thursday.shown) == (1, ("06:30",))
    assert (saturday.times, saturday.shown) == (0, ())


def test_a_schedule_of_each_minute_is_counted_and_not_listed():
    weeks = ahead(a_schedule(schedule="* * * * *", following=[NOON]), NOON)

    assert (weeks[1][0].times, len(weeks[1][0].shown)) == (1440, 2)


def test_a_day_of_a_clock_change_has_23_or_25_hours():
    spring = datetime(2026, 3, 25, 12, tzinfo=UTC)

    sunday = ahead(a_schedule(schedule="0 * * * *", following=[spring]), spring)[0][6]

    assert (sunday.day, sunday.times) == (date(2026, 3, 29), 23)


@pytest.mark.parametrize(
    "schedule", [a_schedule(), a_schedule(schedule="no", following=[NOON])], ids=["stopped", "illegal"]
)
def test_a_schedule_that_creates_no_jobs_has_no_future_calendar(schedule):
    assert ahead(schedule, NOON) == []


def test_past_days_show_outcomes_of_jobs_by_the_schedules_time_zone():
    late = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)  # half past midnight on Tuesday in Berlin
    made = [a_job("a", phase="Succeeded", created=late), a_job("b", phase="Failed", created=late)]

    weeks = past(a_schedule(), [*made, a_job("c", phase="Running", created=NOON)], NOON)

    monday, tuesday, wednesday = weeks[-1][:3]
    assert (monday.succeeded, tuesday.succeeded, tuesday.failed, wednesday.others) == (0, 1, 1, 1)
    assert tuesday.begin == datetime(2026, 11, 23, 23, tzinfo=UTC)


def test_the_calendar_begins_with_its_first_monday():
    schedule = a_schedule()

    assert calendar_since(schedule, NOON) == past(schedule, [], NOON)[0][0].begin
