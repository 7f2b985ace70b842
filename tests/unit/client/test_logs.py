"""Logs over the starts of a job, without a server."""

import pytest

from agentjobs import errors
from agentjobs.client.logs import LogLine, Part, follow, logs
from agentjobs.client.operations import Operations

DO = Operations("default", retry_for=0.0)


@pytest.fixture
def at(job_body):
    """A job at one of its starts."""

    def build(starts, *, ended=""):
        body = job_body(phase="Succeeded" if ended else "Running", ended=ended)
        body["status"]["starts"] = starts
        return body

    return build


def lines(world):
    return [(item.start, item.text) for item in world.emitted if isinstance(item, LogLine)]


def test_the_log_continues_with_the_next_start(world, at):
    there = world([at(0), at(1), at(2), at(2, ended="Complete")], [["a"], ["a"], ["b"], ["b", "c"]])

    there.run(follow(DO, "hello", timeout=None))

    assert lines(there) == [(1, "a"), (2, "b"), (2, "c")]


def test_an_interrupted_log_continues_where_it_was(world, at):
    there = world([at(1), at(1), at(1, ended="Complete")], [["a", "b"], ["a"], ["a", "b", "c"]])

    there.run(follow(DO, "hello", timeout=None))

    assert [text for _, text in lines(there)] == ["a", "b", "c"]


def test_following_waits_for_a_pod_that_does_not_exist_yet(world, at):
    not_yet = errors.Invalid("container is waiting to start")
    there = world([at(1), at(1), at(1, ended="Complete")], [[errors.NotFound("no pod")], [not_yet], ["a"]])

    there.run(follow(DO, "hello", timeout=None))

    assert lines(there) == [(1, "a")]


AWAY = errors.Unavailable("connection refused")


def test_following_continues_after_an_outage_of_the_api_server(world, at):
    there = world([at(1), AWAY, AWAY, at(1), at(1, ended="Complete")], [["a"], [AWAY], ["a", "b"]])

    there.run(follow(DO, "hello", timeout=None))

    assert [text for _, text in lines(there)] == ["a", "b"]


def test_a_long_outage_ends_following(world, at):
    there = world([at(1), *[AWAY] * 40], [["a"]])

    with pytest.raises(errors.Unavailable):
        there.run(follow(DO, "hello", timeout=None))
    assert 1025 < there.now < 1035


def test_a_time_out_during_an_outage_of_the_api_server_is_a_time_out(world, at):
    there = world([at(1), *[AWAY] * 40], [["a"]])

    with pytest.raises(TimeoutError):
        there.run(follow(DO, "hello", timeout=5))
    assert there.now <= 1005


def test_the_first_answer_is_not_waited_for(world):
    there = world([AWAY])

    with pytest.raises(errors.Unavailable):
        there.run(follow(DO, "hello", timeout=None))
    assert there.now == 1000


NOT_THERE = errors.NotFound("no job")


def test_following_ends_when_the_job_is_deleted(world, at):
    there = world([at(1), NOT_THERE, NOT_THERE], [["a"]])

    with pytest.raises(errors.NotFound, match="`agentjobs history hello`"):
        there.run(follow(DO, "hello", timeout=None))


def test_a_new_job_of_the_same_name_is_not_followed(world, at):
    new = at(1)
    new["metadata"]["uid"] = "another"
    there = world([at(1), new, NOT_THERE], [["a", "b"], ["c"]])

    with pytest.raises(errors.NotFound, match="hello was deleted"):
        there.run(follow(DO, "hello", timeout=None))
    assert lines(there) == [(1, "a"), (1, "b")]


def test_a_job_whose_object_is_deleted_immediately_ends_as_history_recorded_it(world, at, recorded):
    there = world([at(1), NOT_THERE, recorded("Succeeded")], [["a"], [NOT_THERE]])

    there.run(follow(DO, "hello", timeout=None))

    last = there.emitted[-1]
    assert (last.phase, last.succeeded, last.reason) == ("Succeeded", True, "Because")


def test_following_ends_at_its_timeout(world, at):
    there = world([at(0)] * 20)

    with pytest.raises(TimeoutError, match="within 2 s"):
        there.run(follow(DO, "hello", timeout=2))


@pytest.mark.parametrize(
    ("starts", "pods", "start", "words"),
    [
        pytest.param(0, [], None, "Running", id="not-started"),
        pytest.param(1, [], None, "podRetention keeps pods longer", id="gone"),
        pytest.param(3, ["hello-3", "stranger"], 1, r"start 1;.*: 3\.", id="earlier"),
        pytest.param(3, ["hello-3"], 4, "newest start is 3.*-f --start 4 hello", id="later"),
    ],
)
def test_an_unavailable_log_is_reported_with_the_reason(world, at, starts, pods, start, words):
    there = world([at(starts), {"items": [{"metadata": {"name": name}} for name in pods]}])

    with pytest.raises(errors.NotFound, match=words):
        there.run(logs(DO, "hello", start=start))


def test_following_can_begin_with_the_last_lines(world, at):
    there = world([at(1), at(1, ended="Complete")], [["a", "b", "c"], ["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]])

    there.run(follow(DO, "hello", timeout=None, part=Part(tail=1)))

    assert [text for _, text in lines(there)] == ["c", "d", "e"]


def test_the_last_lines_of_a_pod_that_does_not_exist_yet_are_all_its_lines(world, at):
    there = world([at(1), at(1, ended="Complete")], [[errors.NotFound("no pod")], [], ["a", "b"]])

    there.run(follow(DO, "hello", timeout=None, part=Part(tail=1)))

    assert [text for _, text in lines(there)] == ["a", "b"]


def test_the_end_of_a_start_whose_log_broke_is_not_lost(world, at):
    there = world([at(1), at(2), at(2, ended="Complete")], [["a"], ["a", "b"], ["c"], ["c"]])

    there.run(follow(DO, "hello", timeout=None))

    assert lines(there) == [(1, "a"), (1, "b"), (2, "c")]


def test_a_start_that_came_and_went_between_two_looks_is_not_skipped(world, at):
    there = world([at(1), at(3), at(3, ended="Complete")], [["a"], ["a"], ["b"], ["c"], ["c"]])

    there.run(follow(DO, "hello", timeout=None))

    assert lines(there) == [(1, "a"), (2, "b"), (3, "c")]
    assert [send.params.get("follow") for send in there.sent[2:6]] == [None, None, None, "true"]


PODS = {"items": [{"metadata": {"name": name}} for name in ("hello-2", "hello-3")]}


@pytest.mark.parametrize("start", [2, "all"])
def test_following_can_begin_with_an_earlier_start(world, at, start):
    there = world([at(3), PODS, at(3, ended="Complete")], [["b"], ["c"], ["c", "d"]])

    there.run(follow(DO, "hello", timeout=None, start=start))

    assert lines(there) == [(2, "b"), (3, "c"), (3, "d")]


def test_following_can_wait_for_a_later_start(world, at):
    there = world([at(1), at(2), at(2, ended="Complete")], [["b"], ["b"]])

    there.run(follow(DO, "hello", timeout=None, start=2))

    assert lines(there) == [(2, "b")]


@pytest.mark.parametrize(
    ("answers", "start", "words"),
    [
        pytest.param([{}, PODS], 1, r"start 1;.*: 2, 3\.", id="its pod is gone"),
        pytest.param([{"ended": "Failed"}], 4, "ended.*newest start is 3", id="it will never come"),
        pytest.param([{"ended": "Failed"}, {"items": []}], 3, "no pod of start 3", id="the last pod is gone"),
        pytest.param([{"ended": "Failed"}, {"items": []}], "all", "no pod any more", id="all pods are gone"),
    ],
)
def test_following_refuses_a_start_without_a_log(world, at, answers, start, words):
    there = world([at(3, **answers[0]), *answers[1:]])

    with pytest.raises(errors.NotFound, match=words):
        there.run(follow(DO, "hello", timeout=None, start=start))


def test_following_can_begin_with_the_lines_of_the_last_minutes(world, at):
    whole, newer = ["old", "old", "new"], ["T1 new", "T1 new"]
    there = world(
        [at(1), at(1, ended="Complete")],
        [whole, newer, ["T0 old", "T0 old", "T1 new", "T1 new"], [*whole, "new"], [*whole, "new", "last"]],
    )

    there.run(follow(DO, "hello", timeout=None, part=Part(since=60)))

    assert [text for _, text in lines(there)] == ["new", "new", "last"]
    assert there.sent[2].params == {"container": "runner", "timestamps": "true", "sinceSeconds": "60"}


def test_a_log_without_newer_lines_is_followed_after_its_end(world, at):
    there = world([at(1), at(1, ended="Complete")], [["old"], [], ["old", "new"], ["old", "new"]])

    there.run(follow(DO, "hello", timeout=None, part=Part(since=60)))

    assert [text for _, text in lines(there)] == ["new"]


def test_since_and_tail_together_are_the_last_of_the_newer_lines(world, at):
    whole = [["a", "b"], ["T1 b"], ["T0 a", "T1 b", "T2 c"]]
    there = world([at(1, ended="Complete")], [*whole, ["a", "b", "c"]])

    there.run(follow(DO, "hello", timeout=None, part=Part(tail=1, since=60)))

    assert [text for _, text in lines(there)] == ["c"]


def test_logs_of_all_existing_starts_are_printed_in_order(world, at):
    pods = {"items": [{"metadata": {"name": name}} for name in ("hello-3", "hello-2")]}
    there = world([at(3), pods], [["b"], ["c"]])

    there.run(logs(DO, "hello", start="all"))

    assert lines(there) == [(2, "b"), (3, "c")]


def test_a_part_of_a_log_is_requested_from_the_server(world, at):
    there = world([at(1), {"items": [{"metadata": {"name": "hello-1"}}]}], [["b"]])

    there.run(logs(DO, "hello", start=None, part=Part(tail=5, since=60)))

    assert there.sent[-1].params == {"container": "runner", "tailLines": "5", "sinceSeconds": "60"}


def test_the_log_of_a_start_without_a_workspace_is_that_of_the_failed_container(world, at):
    failed = {"name": "workspace", "state": {"terminated": {"exitCode": 1}}}
    waiting = {"name": "runner", "state": {"waiting": {"reason": "PodInitializing"}}}
    pod = {"metadata": {"name": "hello-1"}, "status": {"initContainerStatuses": [failed, waiting]}}
    there = world([at(1, ended="Failed"), {"items": [pod]}], [["no such repository"]])

    there.run(logs(DO, "hello", start=None))

    assert there.sent[-1].params == {"container": "workspace"}
    assert lines(there) == [(1, "no such repository")]


def test_the_end_of_a_runner_before_publishing_is_shown(world, at):
    ended = [
        {"name": name, "state": {"terminated": {"exitCode": code}}} for name, code in (("workspace", 0), ("runner", 1))
    ]
    pod = {"metadata": {"name": "hello-1"}, "status": {"initContainerStatuses": ended}}
    there = world([at(1), {"items": [pod]}], [["b"]])

    there.run(logs(DO, "hello", start=None))

    assert there.sent[-1].params == {"container": "runner"}


def test_a_long_log_that_has_ended_is_read_again_less_often_while_its_pod_publishes(world, at):
    log = [str(number) for number in range(8000)]
    there = world([at(1), at(1), at(1), at(1, ended="Complete")], [log] * 4)
    began = there.now

    there.run(follow(DO, "hello", timeout=None))

    assert len(lines(there)) == 8000
    assert there.now - began == 0.5 + 4 + 4
