"""What `run` does on a cluster: it submits the job, shows what happens to it, and prints its answer."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import typer

from agentjobs import errors
from agentjobs.cli.failures import SKIPPED, TIMED_OUT, USAGE, Failure
from agentjobs.cli.job_words import published
from agentjobs.cli.printing import age, as_json, harmless, show, show_answer
from agentjobs.contract import EXIT_CODES, Verdict

if TYPE_CHECKING:
    from agentjobs.api.job.status import PublishedWorkspace
    from agentjobs.cli.job_builder import Work
    from agentjobs.cli.options import Talk
    from agentjobs.client.job import Job

# What a job's end means as a runner's verdict, for one table of exit codes.
_VERDICTS: Final = {"Succeeded": Verdict.SUCCEED, "Cancelled": Verdict.CANCEL}


def on_cluster(talk: "Talk", work: "Work", *, detach: bool, json_: bool, timeout: float | None) -> None:
    """Submit a job, and follow it to its end unless it is detached.

    Raises:
        typer.Exit: with the code of the job's verdict.
        Failure: it cannot be submitted, or the timeout has passed.
    """
    job = _submitted(talk, work)
    if earlier := _earlier(job, now=datetime.now(UTC)):
        show(harmless(earlier), error=True)
    if detach:
        show(as_json({"name": job.name, "uid": job.uid}) if json_ else job.name)
        return
    ended = _followed(talk, job.name, json_=json_, timeout=timeout)
    raise typer.Exit(_exit_code(talk, ended, json_=json_))


def _submitted(talk: "Talk", work: "Work") -> "Job":
    """Apply the other objects of the file, then submit the job."""
    from agentjobs.cli.manifests import Manifest
    from agentjobs.cli.resources import applied

    own = work.job["metadata"].get("namespace")
    if own and own != talk.do.namespace:
        raise Failure(f"the file has namespace {own!r}; add --namespace {own}.", code=USAGE)
    for body in work.others:
        show(applied(talk.cluster, Manifest(source="file", body=body), namespace=talk.do.namespace), error=True)
    metadata = work.job["metadata"]
    submitted = talk.do.submit(
        work.job["spec"],
        name=work.name or None,
        labels=metadata.get("labels"),
        annotations=metadata.get("annotations"),
    )
    try:
        return talk.run(submitted)
    except errors.Invalid as error:
        from agentjobs.cli.findings import rejection  # imports all models, for a failure only

        body = {**work.job, "metadata": {**metadata, "name": work.name or "job"}}
        raise Failure(rejection(body, error)) from error


def _earlier(job: "Job", *, now: datetime) -> str:
    """Return a sentence about a job that already existed, with the command to run it again; empty for a new one."""
    if job.status.phase is None:
        return ""
    ago = age(job.created.isoformat(), now=now)
    if job.finished:
        how = f"{job.phase} ({job.reason})" if job.reason else job.phase
        again = f"To run it again: agentjobs rerun {job.name}"
        return f"{job.name} was created {ago} ago and ended as {how}; this is that run. {again}"
    return f"{job.name} was created {ago} ago and is {job.phase}; this follows it."


def _followed(talk: "Talk", name: str, *, json_: bool, timeout: float | None) -> "Job":
    """Show a job's phases and logs on standard error, and return it when it has ended."""
    from agentjobs.cli.log_lines import shown
    from agentjobs.client.logs import LogLine, follow

    job: Job | None = None
    try:
        for item in talk.iterate(follow(talk.do, name, timeout=timeout)):
            if isinstance(item, LogLine):
                if (text := shown(item.text, sys.stderr, raw=json_)) is not None:
                    show(text, error=True)
            else:
                job = item
                show(harmless(f"{name}: {job.phase} {job.message}".rstrip()), error=True)
    except KeyboardInterrupt:
        show(f"\n{name} is still running; to stop it: agentjobs cancel {name}", error=True)
        raise typer.Exit(130) from None
    except TimeoutError as error:
        raise Failure(str(error), code=TIMED_OUT) from None
    assert job is not None, "the stream begins with the job"
    return job


def _exit_code(talk: "Talk", job: "Job", *, json_: bool) -> int:
    """Print what a job that has ended leaves, and return the exit code for it."""
    if job.phase == "Skipped":
        return _skipped(job, json_=json_)
    verdict = _VERDICTS.get(job.phase, Verdict.FAIL)
    answer = _answer(talk, job) if job.succeeded else None
    workspace = job.status.result.workspace if job.status.result else None
    if json_:
        ended = {"name": job.name, "verdict": verdict.value, "reason": job.reason, "message": job.message}
        show(as_json({**ended, "result": answer, "workspace": workspace and _workspace(workspace)}))
    elif answer is not None:
        show_answer(answer)
        if workspace is not None:
            show(harmless(f"published: {published(job)}"), error=True)
    return EXIT_CODES[verdict]


def _workspace(workspace: "PublishedWorkspace") -> dict[str, Any]:
    """What was published, with `result`'s keys."""
    return {"branch": workspace.branch, "commit": workspace.commit, "pullRequest": workspace.pull_request or None}


def _skipped(job: "Job", *, json_: bool) -> int:
    """Print which job counts; return the exit code."""
    equal_job = job.status.duplicate_of
    if json_:
        named = {"name": equal_job.name, "uid": equal_job.uid} if equal_job else None
        show(as_json({"name": job.name, "verdict": "Skip", "reason": job.reason, "duplicateOf": named, "result": None}))
    if equal_job and equal_job.name:
        show(harmless(f"To follow the job that counts: agentjobs wait {equal_job.name}"), error=True)
    return SKIPPED


def _answer(talk: "Talk", job: "Job") -> dict[str, Any]:
    """The whole answer; its head from the status if no gateway is available."""
    try:
        return talk.run(talk.do.result(job.uid)).model_dump(by_alias=True)
    except (errors.Misconfigured, errors.Unavailable, errors.Denied) as error:
        head = job.status.result
        if head is None:
            raise
        if head.truncated:
            show(harmless(f"only the beginning of the answer: {error}"), error=True)
        return {"text": head.summary, "structured": head.structured, "usage": {}}
