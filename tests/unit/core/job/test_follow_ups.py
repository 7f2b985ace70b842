"""Which jobs follow one that has ended, and what the answer brings into them."""

import json

import pytest
from msgspec import Raw

from agentjobs.api.conditions import FollowUpReason
from agentjobs.api.job.relations import FollowUp
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.api.job.workspace import Workspace
from agentjobs.api.substitution import expanded
from agentjobs.core.job.follow_ups import Plans, Unmade, child_name, requested
from agentjobs.core.job.observation import ParentRecord, parse_job
from agentjobs.core.pods.volume_claims import worktree_claim

UID = "6c0c1a52-1b5e-4a6e-9a52-0d9f0a7f5a11"
SESSION = {"appName": "shop", "userId": "u", "sessionId": "s", "mode": "New"}
ANSWER = {
    "outcome": "fix",
    "summary": "Off by one.",
    "count": 3,
    "done": False,
    "nothing": None,
    "steps": [{"title": "a"}, {"title": "b"}],
}


def follow_up(name="next", **fields):
    return FollowUp.model_validate({"name": name, "templateRef": {"name": "implement"}, **fields})


def a_parent(name="triage-87", depth=None, **status):
    meta = {"namespace": "default", "name": name, "uid": UID, "resourceVersion": "1", "generation": 1}
    if depth is not None:
        meta["labels"] = {"agentjobs.dev/parent": "before"}
        meta["annotations"] = {
            "agentjobs.dev/parent-uid": "uid-before",
            "agentjobs.dev/root": "first",
            "agentjobs.dev/depth": str(depth),
        }
    end = {"phase": "Succeeded", "result": {"outcome": "fix", "summary": "Off by one."}, **status}
    return parse_job({"metadata": meta, "spec": {}, "status": end})


def plans(*follow_ups, answer=ANSWER, text="Hello.", job=None, depth=10, cut=None):
    whole = {"text": text, "structured": answer, "outcome": None, "usage": {}} | ({"cutFrom": cut} if cut else {})
    stored = answer if isinstance(answer, Raw) else Raw(json.dumps(whole).encode())
    resolved = {"spec": {"session": SESSION, "followUps": []}, "scripts": {}}
    return Plans(job or a_parent(), ParentRecord(resolved, stored, {}), follow_ups, depth=depth)


def only(found):
    assert not isinstance(found, Unmade), found
    (body,) = found
    return body


def message_of(text, **options):
    """What the agent of the follow-up is told, as its job reads it."""
    body = only(plans(follow_up(input={"message": text}), **options).planned("next"))
    return expanded(body["spec"]["input"]["message"], {"job.uid": "READ"})


def test_a_follow_up_is_a_job_of_its_template_with_a_lineage():
    one = follow_up(queue="critical", priority=0, startAfter="5m", parameters={"issue": "87"})
    body = only(plans(one).planned("next"))

    assert body["spec"] == {
        "templateRef": {"name": "implement"},
        "queue": "critical",
        "priority": 0,
        "startAfter": "5m",
        "parameters": {"issue": "87"},
        "ttlSecondsAfterFinished": 86400,
    }
    assert body["metadata"]["labels"]["agentjobs.dev/parent"] == "triage-87"
    assert body["metadata"]["labels"]["agentjobs.dev/follow-up"] == "next"
    assert body["metadata"]["labels"]["agentjobs.dev/template"] == "implement"
    assert body["metadata"]["annotations"] == {
        "agentjobs.dev/parent-uid": UID,
        "agentjobs.dev/root": "triage-87",
        "agentjobs.dev/depth": "1",
    }
    assert "ownerReferences" not in body["metadata"]


def test_all_jobs_of_a_chain_have_the_same_root():
    annotations = only(plans(follow_up(), job=a_parent(depth=3)).planned("next"))["metadata"]["annotations"]
    assert (annotations["agentjobs.dev/root"], annotations["agentjobs.dev/depth"]) == ("first", "4")


@pytest.mark.parametrize(
    ("when", "outcomes", "phase", "outcome", "follows"),
    [
        pytest.param([], [], "Succeeded", None, True, id="a success"),
        pytest.param([], [], "Failed", None, False, id="a failure"),
        pytest.param([], [], "Cancelled", "fix", False, id="a cancelled job"),
        pytest.param(["Cancelled"], [], "Cancelled", None, True, id="a cancelled job that is asked for"),
        pytest.param(["Failed", "Succeeded"], [], "Failed", None, True, id="a failure that is asked for"),
        pytest.param([], ["fix"], "Succeeded", "fix", True, id="its outcome"),
        pytest.param([], ["fix"], "Succeeded", "wontfix", False, id="another outcome"),
        pytest.param([], ["fix"], "Succeeded", None, False, id="no outcome"),
        pytest.param(["Failed"], ["fix"], "Failed", "fix", True, id="the outcome of an answer that was refused"),
        pytest.param([], [], "Skipped", None, False, id="a skipped job"),
    ],
)
def test_phase_and_outcome_determine_the_follow_ups(when, outcomes, phase, outcome, follows):
    status = AgentJobStatus.parse({"phase": phase, "result": {"outcome": outcome} if outcome else None})
    named = requested([follow_up(when=when, outcomes=outcomes)], status)
    assert [one.name for one in named] == (["next"] if follows else [])


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("$(result.summary)", "Off by one."),
        ("$(result.steps.1.title)", "b"),
        ("$(result.count) $(result.done) $(result.nothing)", "3 false null"),
        ("$(result.steps)", '[{"title":"a"},{"title":"b"}]'),
        ("$(result)", "Hello."),
        ("$(parent.name) $(parent.uid) $(parent.phase)", f"triage-87 {UID} Succeeded"),
        ("$(parent.outcome): $(parent.summary)", "fix: Off by one."),
        ("$(job.name)", "triage-87"),
        ("$$(result.summary)", "$(result.summary)"),
    ],
)
def test_placeholders_have_values_of_the_answer_and_its_job(text, reads):
    assert message_of(text) == reads


@pytest.mark.parametrize("place", ["input", "parameters"])
@pytest.mark.parametrize("said", ["$(job.uid)", "$$(job.uid)", "$$$(", "$(params.x)$(after.results)", "{state}"])
def test_placeholders_in_an_answer_are_not_substituted(said, place):
    one = follow_up(input={"message": "Say $(result.x)"}, parameters={"p": "$(result.x)"})
    spec = only(plans(one, answer={"x": said}).planned("next"))["spec"]
    read = expanded(spec["input"]["message"], {"job.uid": "READ"}) if place == "input" else spec["parameters"]["p"]
    assert read == (f"Say {said}" if place == "input" else said)


def test_an_answer_can_choose_neither_template_nor_queue():
    hostile = {"x": "y", "templateRef": {"name": "root"}, "queue": "critical", "runtime": {"image": "evil"}}
    one = follow_up(input={"message": "$(result)"})
    spec = only(plans(one, answer=hostile, text=json.dumps(hostile)).planned("next"))["spec"]
    assert (spec["templateRef"], set(spec)) == (
        {"name": "implement"},
        {"templateRef", "input", "ttlSecondsAfterFinished"},
    )


@pytest.mark.parametrize(
    ("fields", "options", "reason"),
    [
        pytest.param({"input": {"message": "$(result.gone)"}}, {}, "MissingResult", id="no such member"),
        pytest.param({"input": {"message": "$(result.steps.2)"}}, {}, "MissingResult", id="no such item"),
        pytest.param({"input": {"message": "$(result.steps.-1)"}}, {}, "MissingResult", id="a negative item"),
        pytest.param({"input": {"message": "$(result.summary.x)"}}, {}, "MissingResult", id="below a text"),
        pytest.param({"input": {"message": "$(result.x)"}}, {"answer": None}, "MissingResult", id="an answer of text"),
        pytest.param({"input": {"message": "$(result)"}}, {"cut": 5_000_000}, "MissingResult", id="a cut answer"),
        pytest.param({"input": {"message": "$(nobody)"}}, {}, "MissingResult", id="no name"),
        pytest.param({"input": {"message": "$(item)"}}, {}, "MissingResult", id="an item without forEach"),
        pytest.param({"forEach": "$(result.gone)"}, {}, "MissingResult", id="forEach of nothing"),
        pytest.param({"forEach": "$(result.summary)"}, {}, "NoList", id="forEach of a text"),
        pytest.param({"forEach": "$(result)"}, {}, "NoList", id="forEach of the whole text"),
        pytest.param({"forEach": "$(result.l)"}, {"answer": {"l": [1] * 101}}, "TooMany", id="101 items"),
        pytest.param({"forEach": "$(result.l)"}, {"answer": {"l": [1] * 10_000}}, "TooMany", id="10,000 items"),
        pytest.param(
            {"input": {"message": "$(result.x)"}}, {"answer": {"x": "y" * 1_000_000}}, "TextTooLong", id="1 MB of text"
        ),
        pytest.param(
            {"input": {"message": "$(result.x)"}}, {"answer": {"x": "ä" * 40_000}}, "TextTooLong", id="64 KiB in bytes"
        ),
        pytest.param(
            {"parameters": {"p": "$(result.x)"}}, {"answer": {"x": "y" * 4097}}, "TextTooLong", id="a long parameter"
        ),
        pytest.param(
            {"input": {"message": "$(result.x)" * 5000}},
            {"answer": {"x": "y" * 4_000_000}},
            "TextTooLong",
            id="20 GB of text",
        ),
        pytest.param(
            {"parameters": {f"p{number}": "$(result.x)" for number in range(64)}},
            {"answer": {"x": "y" * 4096}},
            "TextTooLong",
            id="more than a spec has",
        ),
        pytest.param({"input": {"message": "$(result.x)"}}, {"answer": {"x": ""}}, "UnusableText", id="no text"),
        pytest.param({}, {"depth": 0}, "DepthExceeded", id="too deep"),
    ],
)
def test_a_follow_up_with_a_missing_value_is_not_created(fields, options, reason):
    found = plans(follow_up(**fields), **options).planned("next")
    assert isinstance(found, Unmade)
    assert found.reason == reason


def test_one_item_with_a_missing_value_prevents_all_jobs_of_the_list():
    one = follow_up(forEach="$(result.l)", input={"message": "$(item.title)"})
    found = plans(one, answer={"l": [{"title": "a"}, {}]}).planned("next")
    assert isinstance(found, Unmade)
    assert found.reason == FollowUpReason.MISSING_RESULT


def test_a_job_without_an_answer_has_no_result():
    found = plans(follow_up(input={"message": "$(result)"}), answer=Raw(b"null")).planned("next")
    assert isinstance(found, Unmade)


@pytest.mark.parametrize("text", ['{"text":"x","structured":{"a":%s}}', '{"text":"x","structured":%s}'])
def test_deeply_nested_values_are_refused_or_become_text(text):
    nested = '{"a":' * 20_000 + "1" + "}" * 20_000
    found = plans(follow_up(input={"message": "$(result.a)"}), answer=Raw((text % nested).encode())).planned("next")
    assert isinstance(found, Unmade)


def test_for_each_creates_a_job_for_each_item():
    one = follow_up(forEach="$(result.steps)", input={"message": "$(index): $(item.title) of $(item)"})
    bodies = plans(one).planned("next")
    assert [body["spec"]["input"]["message"] for body in bodies] == ['0: a of {"title":"a"}', '1: b of {"title":"b"}']
    assert len({body["metadata"]["name"] for body in bodies}) == 2


def test_an_empty_list_is_not_an_error():
    assert plans(follow_up(forEach="$(result.l)"), answer={"l": []}).planned("next") == ()


def test_a_hundred_items_are_allowed():
    assert len(plans(follow_up(forEach="$(result.l)"), answer={"l": [0] * 100}).planned("next")) == 100


def test_a_follow_up_waits_for_jobs_of_earlier_follow_ups():
    work = follow_up("work", forEach="$(result.steps)")
    review = follow_up("review", after=["work"], input={"message": "Look at $(after.results)"})
    made = plans(work, review)
    spec = only(made.planned("review"))["spec"]
    assert spec["after"] == {"jobs": [body["metadata"]["name"] for body in made.planned("work")]}
    assert spec["input"]["message"] == "Look at $(after.results)"


def test_a_follow_up_does_not_wait_for_one_that_does_not_run():
    other, review = follow_up("other", outcomes=["other"]), follow_up("review", after=["other"])
    assert "after" not in only(plans(other, review).planned("review"))["spec"]


def test_results_of_no_jobs_are_an_empty_list():
    work = follow_up("work", forEach="$(result.l)")
    review = follow_up("review", after=["work"], input={"message": "$(after.results)"})
    spec = only(plans(work, review, answer={"l": []}).planned("review"))["spec"]
    assert (spec["input"]["message"], "after" in spec) == ("[]", False)


def test_more_than_a_hundred_jobs_cannot_be_waited_for():
    works = [follow_up(name, forEach="$(result.l)") for name in ("a", "b")]
    found = plans(*works, follow_up("review", after=["a", "b"]), answer={"l": [0] * 60}).planned("review")
    assert isinstance(found, Unmade)
    assert found.reason == FollowUpReason.TOO_MANY


def test_a_session_is_inherited_with_its_identity():
    session = only(plans(follow_up(inherit=["Session"])).planned("next"))["spec"]["session"]
    assert session == {**SESSION, "mode": "Continue"}


WORKSPACE = {
    "git": {"url": "https://git.example.com/shop.git", "ref": "fix/$(b)", "secretRef": {"name": "read"}, "depth": 0},
    "worktree": {"mode": "Named", "name": "issue-87"},
    "size": "5Gi",
    "publish": {"mode": "Branch", "branch": "agents/x", "secretRef": {"name": "write"}},
}


def with_workspace(workspace):
    record = ParentRecord({"spec": {"workspace": workspace}, "scripts": {}}, None, {})
    return Plans(a_parent(), record, [follow_up(inherit=["Workspace"])], depth=10).planned("next")


def test_a_workspace_is_inherited_without_what_it_publishes():
    spec = only(with_workspace(WORKSPACE))["spec"]["workspace"]

    claim = worktree_claim(Workspace.model_validate(WORKSPACE))
    assert spec["worktree"] == WORKSPACE["worktree"]
    assert (spec["claimName"], spec["size"]) == (claim, "5Gi")
    assert "publish" not in spec
    assert worktree_claim(Workspace.model_validate(spec)) == claim


def test_placeholders_in_an_inherited_ref_are_not_substituted():
    git = only(with_workspace(WORKSPACE))["spec"]["workspace"]["git"]

    assert expanded(git["ref"], {"b": "READ"}) == "fix/$(b)"
    assert git["secretRef"] == {"name": "read"}


@pytest.mark.parametrize("workspace", [None, {**WORKSPACE, "worktree": {"mode": "Ephemeral"}}])
def test_an_ephemeral_workspace_is_not_inherited(workspace):
    found = with_workspace(workspace)
    assert isinstance(found, Unmade)


def test_depth_is_the_number_of_earlier_jobs():
    assert only(plans(follow_up(), job=a_parent(depth=9)).planned("next"))
    assert isinstance(plans(follow_up(), job=a_parent(depth=10)).planned("next"), Unmade)


def test_a_job_whose_depth_label_was_removed_has_no_follow_ups():
    assert isinstance(plans(follow_up(), job=a_parent(depth="")).planned("next"), Unmade)


@pytest.mark.parametrize("job", ["a", "a" * 52, "a.b", "triage-87", "a" * 9 + ".-" + "b" * 41])
@pytest.mark.parametrize("follow_up", ["b", "f" * 40])
def test_names_are_valid_and_contain_the_name_of_the_follow_up(job, follow_up):
    name = child_name(job, UID, follow_up)
    assert len(name) <= MAX_JOB_NAME
    assert f"-{follow_up}-" in name
    assert name == child_name(job, UID, follow_up)
    assert all(part and part[0] != "-" and part[-1] != "-" for part in name.split("."))


def test_names_differ_by_parent_follow_up_and_item():
    names = [child_name("a", UID, "b-c"), child_name("a-b", UID, "c"), child_name("a", "other", "b-c")]
    names += [child_name("a", UID, "b-c", 0), child_name("a", UID, "b-c", 1)]
    assert len(set(names)) == 5
