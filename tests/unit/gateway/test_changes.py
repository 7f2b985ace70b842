"""Each stream gets the changes that its caller can read, each once, and misses none."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.gateway.changes import (
    BEFORE_SECONDS,
    NOTIFIED_BURST,
    NOTIFIED_PER_SECOND,
    REMEMBERED,
    Board,
    ChangeKind,
    Interest,
    Listener,
    StreamEvent,
)
from agentjobs.history.change_records import ChangedJob, Changes

A, B, OTHER = ChangedJob("docs", "a", "u-a"), ChangedJob("docs", "b", "u-b"), ChangedJob("shop", "c", "u-c")
DOCS = Interest(("docs",))


@pytest.fixture
def board():
    return Board("boot")


@pytest.fixture
def join(board):
    def build(interest=DOCS, *, every=2.0, last=None, now=0.0):
        woken = []
        listener = Listener(interest, every=every, wake=lambda: woken.append(1))
        listener.woken = woken
        board.join(listener, last=last, now=now)
        return listener

    return build


def tell(board, *jobs, now=10.0, more=False, **progress):
    board.publish(Changes("m", jobs, more, progress), now=now)


def told(listener, now=10.0):
    return listener.take(now) if listener.due_in(now) == 0 else None


def test_a_change_is_reported_with_namespace_and_name_and_wakes_the_stream(board, join):
    listener = join()
    tell(board, A)

    assert listener.woken == [1]
    assert told(listener) == StreamEvent("docs", "a", "u-a", ChangeKind.JOB, 1)
    assert listener.due_in(100.0) is None


@pytest.mark.parametrize(
    ("interest", "hears"),
    [
        pytest.param(Interest(None), ["u-a", "u-b", "u-c"], id="everything"),
        pytest.param(DOCS, ["u-a", "u-b"], id="a-namespace"),
        pytest.param(Interest(()), [], id="nothing"),
        pytest.param(Interest(("docs",), "a"), ["u-a"], id="a-job-by-name"),
        pytest.param(Interest(("docs",), "u-b"), ["u-b"], id="a-job-by-uid"),
        pytest.param(Interest(("shop",), "a"), [], id="of-that-name-elsewhere"),
    ],
)
def test_a_stream_gets_only_the_changes_that_it_is_about(board, join, interest, hears):
    listener, heard = join(interest), []
    for number, job in enumerate((A, B, OTHER)):
        tell(board, job, now=number * 10.0)
        heard += [event.uid for event in [told(listener, number * 10.0)] if event]

    assert heard == hears


@pytest.mark.parametrize(
    ("jobs", "event"),
    [
        pytest.param([OTHER], None, id="lost"),
        pytest.param([A], StreamEvent("docs", "a", "u-a", ChangeKind.JOB, 1), id="kept"),
        pytest.param([OTHER, A], StreamEvent("", "", "", ChangeKind.ALL, 0), id="both"),
    ],
)
@pytest.mark.parametrize("before", [None, ("docs", "shop")])
def test_a_pending_event_does_not_name_a_job_of_a_namespace_that_became_unreadable(board, join, before, jobs, event):
    listener = join(Interest(before))
    tell(board, *jobs)

    listener.narrow(DOCS)

    assert told(listener) == event


def test_a_pending_event_is_kept_if_no_namespace_became_unreadable(board, join):
    listener = join()
    tell(board, A, B)

    listener.narrow(Interest(("docs", "shop")))

    assert told(listener).changes == 2


def test_many_changes_become_one_event_of_the_newest_per_interval(board, join):
    listener = join(every=5.0)
    tell(board, A, now=0.0)
    first = told(listener, 0.0)
    for second in range(1, 5):
        tell(board, B, now=float(second))

    assert (first.changes, listener.due_in(4.0)) == (1, 1.0)
    assert told(listener, 5.0) == StreamEvent("docs", "b", "u-b", ChangeKind.JOB, 4)


def test_the_last_of_jobs_written_together_is_named(board, join):
    listener = join()
    tell(board, B, A)  # as history has them: the newest first

    assert told(listener) == StreamEvent("docs", "b", "u-b", ChangeKind.JOB, 2)


def test_steps_are_reported_only_to_streams_of_their_job(board, join):
    about, listing = join(Interest(("docs",), "a", "u-a", "a")), join()
    tell(board, **{"u-a": "1 1"})
    tell(board, **{"u-a": "1 2"})

    assert (told(about), told(listing)) == (StreamEvent("docs", "a", "u-a", ChangeKind.STEPS, 1), None)
    assert board.watched == {"u-a"}


def test_unchanged_progress_is_not_a_change(board, join):
    listener = join(Interest(("docs",), "a", "u-a", "a"))
    for _ in range(3):
        tell(board, **{"u-a": "1 1"})

    assert told(listener) is None


def test_a_job_unknown_to_history_is_watched_when_history_has_it(board, join):
    listener = join(Interest(("docs",), "a"))
    before = board.watched
    tell(board, A)

    assert (before, board.watched, told(listener).uid) == (frozenset(), {"u-a"}, "u-a")


def test_a_stream_by_name_follows_the_newest_job(board, join):
    listener = join(Interest(("docs",), "a", "old", "a"))
    tell(board, A)

    assert (told(listener).uid, board.watched) == ("u-a", {"u-a"})


def test_a_stream_by_uid_does_not_follow_the_name(board, join):
    listener = join(Interest(("docs",), "old", "old", "a"))
    tell(board, A)

    assert (told(listener), board.watched) == (None, {"old"})


def test_a_change_of_a_job_has_precedence_over_its_steps(board, join):
    listener = join(Interest(("docs",), "a", "u-a", "a"))
    tell(board, **{"u-a": "1"})
    tell(board, A, **{"u-a": "2"})

    assert told(listener) == StreamEvent("docs", "a", "u-a", ChangeKind.JOB, 2)


def test_a_stream_gets_one_event_for_an_outage_of_history_and_one_for_its_end(board, join):
    listener, late = join(), None
    board.publish_away()
    board.publish_away()
    away = listener.due_in(0.0), listener.take(0.0), listener.due_in(0.0)
    late = join()
    tell(board)

    assert away == (0.0, None, None)
    assert (told(listener).what, told(late).what) == (ChangeKind.ALL, ChangeKind.ALL)


def test_a_new_stream_is_told_that_history_is_unavailable(board, join):
    board.publish_away()

    assert (join().due_in(0.0), join().take(0.0)) == (0.0, None)


def test_more_changes_than_can_be_named_reload_everything(board, join):
    listener = join(Interest(("far",)))
    tell(board, A, more=True)

    assert told(listener) == StreamEvent("", "", "", ChangeKind.ALL, 0)


def test_the_first_answer_of_a_process_reloads_everything(board, join):
    listener = join()
    board.publish(Changes("m"), now=0.0, first=True)

    assert told(listener).what is ChangeKind.ALL


def test_a_reconnected_stream_gets_missed_changes_exactly_once(board, join):
    listener = join()
    tell(board, A, now=0.0)
    told(listener)
    last = board.id_of(listener)
    board.leave(listener)
    tell(board, B, now=50.0)

    back, again = join(last=last, now=99.0), join(last=last, now=99.0)
    assert told(back, 99.0) == StreamEvent("docs", "b", "u-b", ChangeKind.JOB, 1)
    told(again, 99.0)
    assert told(join(last=board.id_of(again), now=100.0), 100.0) is None


@pytest.mark.parametrize("last", ["other-1", "boot-", "boot-x", "boot-0x1", "", "boot", "boot-²"])
def test_an_id_of_another_process_or_an_invalid_one_reloads_everything(board, join, last):
    assert told(join(last=last)).what is ChangeKind.ALL


def test_a_stream_that_was_disconnected_too_long_reloads_everything(board, join):
    listener = join()
    last = board.id_of(listener)
    board.leave(listener)
    for number in range(REMEMBERED + 1):
        tell(board, A, now=float(number))

    assert told(join(last=last)).what is ChangeKind.ALL


def test_a_stream_with_a_future_id_gets_the_next_changes(board, join):
    listener = join(last="boot-99")
    tell(board, A)

    assert told(listener).uid == "u-a"


@pytest.mark.parametrize(("seconds", "hears"), [(BEFORE_SECONDS - 1, True), (BEFORE_SECONDS + 1, False)])
def test_a_new_stream_gets_changes_made_while_its_page_was_rendered(board, join, seconds, hears):
    tell(board, A, now=0.0)

    assert (told(join(now=seconds), seconds) is not None) is hears


CHANGES = st.lists(st.lists(st.sampled_from([A, B, OTHER]), max_size=3), max_size=30)


@given(CHANGES, st.lists(st.booleans(), min_size=30, max_size=30), st.sampled_from([None, ("docs",), ("shop",), ()]))
def test_a_repeatedly_interrupted_stream_gets_all_of_its_changes_and_no_others(rounds, breaks, scope):
    """It is read only occasionally; each event combines all changes since the last."""
    board = Board("boot")
    listener = Listener(Interest(scope), every=1.0, wake=lambda: None)
    board.join(listener, last=None, now=0.0)
    heard, places = 0, set()
    for second, (jobs, is_broken) in enumerate(zip(rounds, breaks, strict=False)):
        board.publish(Changes("m", tuple(jobs)), now=float(second))
        if is_broken:
            if listener.due_in(second) == 0:
                event = listener.take(second)
                heard, places = heard + event.changes, places | {event.namespace}
            last = board.id_of(listener) if listener.due_in(second) is None else None
            if last is not None:
                board.leave(listener)
                listener = Listener(Interest(scope), every=1.0, wake=lambda: None)
                board.join(listener, last=last, now=float(second))
    if listener.due_in(99.0) is not None:
        event = listener.take(99.0)
        heard, places = heard + event.changes, places | {event.namespace}

    mine = [job for jobs in rounds for job in jobs if scope is None or job.namespace in scope]
    assert heard == len(mine)
    assert places <= {job.namespace for job in mine}


def test_some_of_many_lists_are_notified_immediately_and_the_rest_in_sequence(board, join):
    listeners = [join() for _ in range(NOTIFIED_BURST + 100)]
    tell(board, A, now=0.0)
    waits = sorted(listener.due_in(0.0) for listener in listeners)

    assert waits[:NOTIFIED_BURST] == [0.0] * NOTIFIED_BURST
    assert waits[-1] == pytest.approx(100 / NOTIFIED_PER_SECOND)


def test_a_page_of_a_job_does_not_wait_for_all_lists(board, join):
    lists = [join() for _ in range(NOTIFIED_BURST + 100)]
    page = join(Interest(("docs",), "a"))
    tell(board, A, now=0.0)

    assert max(one.due_in(0.0) for one in lists) > 5.0
    assert told(page, 0.0).uid == "u-a"


def test_a_limited_number_of_streams_per_second_is_notified_in_turn(board, join):
    listeners, heard = [join() for _ in range(100)], Counter()
    for second in range(100):
        tell(board, A, now=float(second))
        heard += Counter(place for place, one in enumerate(listeners) if told(one, float(second)))

    assert sum(heard.values()) == pytest.approx(100 * NOTIFIED_PER_SECOND, rel=0.1)
    assert max(heard.values()) - min(heard.values()) <= 1
