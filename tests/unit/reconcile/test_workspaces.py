"""Volumes of workspaces: created once, shared by name, never deleted."""

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.api.job.status import PublishedWorkspace
from agentjobs.contract import ANNOTATION_WORKTREE, EXIT_CODES, GIT_CACHE_CLAIM, Published, TerminationMessage, Verdict
from agentjobs.core.pods.defaults import Storage
from agentjobs.errors import Denied, Invalid

GIT = {"url": "https://github.com/acme/papers"}
PUBLISHED = Published(branch="agents/x", commit="0a1b")
PUBLISHING = {"git": GIT, "publish": {"mode": "Branch", "branch": "agents/x", "secretRef": {"name": "writer"}}}
NAMED = {"git": GIT, "worktree": {"mode": "Named", "name": "papers"}, "size": "2Gi"}


def claims(world):
    return [obj for (kind, _, _), obj in world.objects.items() if kind == "PersistentVolumeClaim"]


def said(world, reason="VolumeClaimUnusable", name="hello"):
    return [one.message for one in world.status(name).conditions if one.reason == reason]


def publish(world, pod, verdict, reason="", published=None):
    """The runner of a pod answers, and what publishes ends with a word; without a verdict it continues."""
    start = int(pod["metadata"]["name"].rpartition("-")[2])
    uid = pod["metadata"]["ownerReferences"][0]["uid"]
    world._answer(pod, start, None, None)

    def ended(verdict, reason="", published=None):
        word = TerminationMessage(verdict, reason, "because", start, uid, published=published)
        return {"terminated": {"exitCode": EXIT_CODES[verdict], "message": word.dump()}}

    first = [{"name": name, "state": ended(Verdict.SUCCEED)} for name in ("workspace", "runner")]
    last = ended(verdict, reason, published) if verdict else {"running": {}}
    phase = "Running" if verdict is None else "Succeeded" if verdict is Verdict.SUCCEED else "Failed"
    statuses = [{"name": "publish", "state": last}]
    world._pod_status(pod, phase=phase, initContainerStatuses=first, containerStatuses=statuses)


async def made(world, workspace=NAMED, **job):
    world.apply(workspace=workspace, **job)
    await world.act()


async def unusable(world, change):
    """Let a first job make the claim, and another meet it changed."""
    await made(world)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    (claim,) = claims(world)
    change(claim)
    world._put(("PersistentVolumeClaim", "default", claim["metadata"]["name"]), "MODIFIED", claim)
    await made(world, name="second")
    await world.act(seconds=15)


async def test_the_claim_of_a_named_worktree_is_created_before_the_pod_and_owned_by_no_job(world):
    await made(world)
    (claim,) = claims(world)
    (pod,) = world.pods()

    assert [kind for verb, kind in world.writes if verb == "create"] == ["PersistentVolumeClaim", "Pod"]
    assert "ownerReferences" not in claim["metadata"]
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    assert pod["metadata"]["annotations"][ANNOTATION_WORKTREE] == claim["metadata"]["name"]


async def test_the_next_job_with_the_worktree_uses_the_existing_claim(world):
    await unusable(world, lambda _claim: None)

    assert len(claims(world)) == 1
    assert world.pods("second")


async def test_an_ephemeral_workspace_has_no_claim(world):
    await made(world, {"git": GIT})

    assert claims(world) == []
    assert world.pods()


async def test_a_claim_provided_by_the_user_is_never_created(world):
    await made(world, {**NAMED, "claimName": "mine"})
    (pod,) = world.pods()

    assert claims(world) == []
    assert {"name": "workspace", "persistentVolumeClaim": {"claimName": "mine"}} in pod["spec"]["volumes"]


async def test_each_namespace_has_one_cache(world):
    world.git_cache = Storage("20Gi", "nfs", ("ReadWriteMany",))
    world.restart()
    await made(world, {"git": GIT})
    await made(world, {"git": GIT}, name="second")
    (claim,) = claims(world)

    assert claim["metadata"]["name"] == GIT_CACHE_CLAIM
    assert claim["spec"]["storageClassName"] == "nfs"
    assert world.pods("second")


async def test_a_job_without_a_workspace_creates_no_cache(world):
    world.git_cache = Storage("20Gi")
    world.restart()
    world.apply()
    await world.act()

    assert claims(world) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda claim: claim["metadata"].update(labels={}), "not created by AgentJobs"),
        (lambda claim: claim.update(status={"capacity": {"storage": "1Gi"}}), "1Gi, but workspace.size is 2Gi"),
        (lambda claim: claim["metadata"].update(deletionTimestamp="2026-11-21T09:00:00Z"), "is being deleted"),
        (lambda claim: claim["spec"].update(accessModes=["ReadOnlyMany"]), "ReadOnlyMany"),
    ],
    ids=["foreign", "too-small", "deleted", "read-only"],
)
async def test_an_unusable_claim_is_reported(world, change, words):
    await unusable(world, change)

    assert world.pods("second") == []
    (message,) = said(world, name="second")
    assert words in message


async def test_a_job_whose_claim_is_not_corrected_fails(world):
    await unusable(world, lambda claim: claim["metadata"].update(labels={}))
    await world.act(seconds=16 * 60)

    assert (world.status("second").phase, world.status("second").reason) == (Phase.FAILED, "MissingReference")


@pytest.mark.parametrize("size", ["2Gi", "2048Mi", "2147483648", "3e9", "0.003Ti"])
async def test_sizes_of_claims_are_compared_across_units(world, size):
    await unusable(world, lambda claim: claim.update(status={"capacity": {"storage": size}}))

    assert world.pods("second")


async def test_a_job_waits_for_a_quota_of_volumes(world):
    world.refuse["create", "PersistentVolumeClaim"] = Denied("exceeded quota: storage")
    await made(world)
    await world.act(seconds=15)
    (message,) = said(world, "PodRefused")
    world.refuse.clear()
    await world.act(seconds=5)

    assert "exceeded quota" in message
    assert world.pods()


async def test_a_worktree_whose_claim_cannot_be_created_is_refused_before_the_start(world):
    world.refuse["dry-run", "PersistentVolumeClaim"] = Invalid("must be greater than zero")
    await made(world, {**NAMED, "size": "0"})
    await world.act(seconds=1)

    assert (world.status().phase, world.status().starts) == (Phase.FAILED, 0)


async def test_a_claim_name_with_unresolved_placeholders_is_not_tried(world):
    world.refuse["dry-run", "PersistentVolumeClaim"] = Invalid("no name")
    await made(world, {**NAMED, "worktree": {"mode": "Named", "name": "of-$(job.name)"}})
    (claim,) = claims(world)

    assert claim["metadata"]["name"].startswith("worktree-of-hello-")


async def test_jobs_that_differ_only_in_repository_and_branch_are_tried_once(world):
    for name in ("one", "two"):
        git = {"url": f"https://github.com/acme/{name}", "ref": name}
        await made(world, {**PUBLISHING, "git": git, "publish": {**PUBLISHING["publish"], "branch": name}}, name=name)

    assert len(world.tried) == 1


async def test_a_job_ends_with_the_publication_of_its_second_start(world):
    job = world.apply(workspace=PUBLISHING)
    await world.act()
    publish(world, world.pods()[0], Verdict.RETRY, "PublishFailed")
    await world.act(seconds=1)
    await world.act(seconds=60)
    publish(world, world.pods()[-1], Verdict.SUCCEED, published=PUBLISHED)
    await world.act(seconds=1)
    status = world.status()

    assert (status.phase, status.starts) == (Phase.SUCCEEDED, 2)
    assert status.result.workspace == PublishedWorkspace("agents/x", "0a1b")
    assert status.result.structured == {"start": 1}
    await world.act(seconds=1)
    (moved,) = [one for one in world.records.values() if getattr(one, "finished", False)]
    assert moved.workspace == PUBLISHED
    assert moved.job.uid == job["metadata"]["uid"]


async def test_a_pod_lost_while_publishing_is_not_a_success(world):
    world.apply(workspace=PUBLISHING)
    await world.act()
    publish(world, world.pods()[0], None)
    await world.act(seconds=1)
    world._drop(("Pod", "default", "hello-1"))
    await world.act(seconds=1)
    await world.act(seconds=60)

    assert world.status().phase is Phase.RUNNING
    assert world.status().result is None
    assert [pod["status"] for pod in world.pods()] == [{"phase": "Pending"}]


async def test_a_later_operator_finds_the_publication(world):
    world.apply(workspace=PUBLISHING)
    await world.act()
    publish(world, world.pods()[0], Verdict.SUCCEED, published=PUBLISHED)
    world.restart()
    await world.act(seconds=1)

    assert world.status().result.workspace == PublishedWorkspace("agents/x", "0a1b")


async def test_the_publication_is_kept_when_the_answer_is_read_later(world):
    world.apply(workspace=PUBLISHING)
    await world.act()
    publish(world, world.pods()[0], Verdict.SUCCEED, published=PUBLISHED)
    world.history_away = True
    await world.act(seconds=1)
    early = world.status().result
    world.history_away = False
    await world.act(seconds=60)
    late = world.status().result

    assert (early.ref, early.workspace) == ("", PublishedWorkspace("agents/x", "0a1b"))
    assert (bool(late.ref), late.workspace) == (True, early.workspace)
