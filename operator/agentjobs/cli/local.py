"""`run --local`: one start on this machine, without a cluster. The runner as a process, and a gateway for one job.

The runner is the pods' runner, and uses the same contract. It has no queue, retries, start time, isolation or Secrets;
variables come from the shell. Steps are recorded in a file (local_journal.py), so that the same command with `--resume`
continues an interrupted run.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypedDict

from agentjobs import contract, errors
from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.template.read import Template, read_job, template_of
from agentjobs.api.template.validation import validate_template
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.job_builder import Work
from agentjobs.cli.local_budget import Usage, check_prices, of_start
from agentjobs.cli.local_engine import MODULE, engine_of, login_of
from agentjobs.cli.local_gateway import serving
from agentjobs.cli.local_journal import Journal, Unusable, path_of, put_aside
from agentjobs.cli.printing import counted, show
from agentjobs.contract import Attempt, ErrorClass, TerminationMessage, Verdict
from agentjobs.models.names import aliases_in

NAMESPACE: Final = "local"
# Time for the runner and its descendants to be killed and reaped.
_KILL_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05


class AttemptReport(TypedDict):
    """How the attempt ended, as reported by the runner."""

    verdict: str
    reason: str
    message: str
    result: contract.Result | None


class RunReport(AttemptReport):
    """How the attempt ended, and the usage of the run over all its starts."""

    usage: Usage


class _How(Enum):
    """What ended the runner."""

    ENDED = "itself"
    LATE = "timeouts.attempt"
    INTERRUPTED = "Ctrl-C"


@dataclass(frozen=True, slots=True)
class Recording:
    """The journal's options: its file, None for the default one, and whether to continue in it."""

    path: Path | None = None
    resume: bool = False


def attempt(
    work: Work, recording: Recording, *, environ: Mapping[str, str], folder: Path | None = None, readable: bool
) -> RunReport:
    """Run one start of the job and return how it ended; its logs go to standard error.

    With `recording.resume` a job that has already succeeded is not run again: its ending is returned.

    Args:
        work: the job, and the other objects of its file.
        recording: where its steps are recorded.
        environ: our environment, which the runner also gets.
        folder: the agent's working folder; None for the current one.
        readable: whether to print the runner's logs as sentences.

    Raises:
        Failure: the job is invalid (with all problems), an object is missing, the runner is not installed, or the
        journal cannot be used.
        KeyboardInterrupt: Ctrl-C: the runner ended after its current step, or after a second Ctrl-C immediately.
    """
    given = accepted(work)
    if recording.resume and not _resumable(given):
        why = "steps.checkpoint is None, so nothing is recorded to continue from"
        raise Failure(f"{why}. Leave out --resume to start.", code=USAGE)
    spec = AgentJobSpec.model_validate(given["resolved"]["spec"])
    engine = engine_of(spec, environ, has_folder=folder is not None)
    check_prices(spec, _aliases(environ), datetime.now(UTC).date())
    with _journal(given, recording) as journal:
        if journal.result is not None:
            show("this run has already ended, and this is its answer; leave out --resume to start again", error=True)
            return RunReport(**_already_ended(journal.result), usage=journal.spent().usage())
        # No earlier session, but a store for artifacts.
        given = {**given, "uid": journal.uid, "start": journal.start, "journal": journal.head(), "session": False}
        given["budget"] = of_start(spec, journal.spent())
        ended = False
        try:
            variables = _variables(spec, environ, engine=engine, readable=readable)
            ending = _run_start(given, spec, journal, variables, folder)
            ended = ending["result"] is not None
            return RunReport(**ending, usage=journal.spent().usage())
        finally:
            _report_remaining(journal, resumable=not ended and _resumable(given))


def _already_ended(result: contract.Result) -> AttemptReport:
    why = "the job already has its result"
    return AttemptReport(verdict=Verdict.SUCCEED.value, reason="ResultAccepted", message=why, result=result)


def _report_remaining(journal: Journal, *, resumable: bool) -> None:
    """Print what the run has used, and how to continue it where that is possible."""
    if spent := journal.spent():
        show(str(spent), error=True)
    if resumable and (steps := journal.recorded()):
        show(f"{counted(steps, 'step')} recorded; to continue there, add --resume to the same command", error=True)


def _resumable(given: Attempt) -> bool:
    return (given["resolved"]["spec"].get("steps") or {}).get("checkpoint") != "None"


def _run_start(
    given: Attempt, spec: AgentJobSpec, journal: Journal, variables: dict[str, str], place: Path | None
) -> AttemptReport:
    token = secrets.token_urlsafe(32)
    with serving(given, journal, token) as gateway, _private_folder() as folder:
        (Path(folder) / "token").write_text(token, "utf-8")
        end = Path(folder) / "termination"
        variables |= {
            contract.ENV_GATEWAY_URL: gateway.url,
            contract.ENV_TOKEN_FILE: f"{folder}/token",
            contract.ENV_NAMESPACE: NAMESPACE,
            contract.ENV_JOB: given["job"],
            contract.ENV_START: str(given["start"]),
            contract.ENV_TERMINATION_FILE: str(end),
            contract.ENV_GRACE_SECONDS: str(spec.runtime.termination_grace_period_seconds),
        }
        if variables[contract.ENV_ENGINE] == contract.ENGINE_CLAUDE_CODE:
            variables["TMPDIR"] = folder  # removed with its contents, however the runner ends
        for name in (contract.ENV_GATEWAY_CA, contract.ENV_MODELS_URL, contract.ENV_WORKSPACE):
            variables.pop(name, None)
        grace = float(spec.runtime.termination_grace_period_seconds)
        how = _run(variables, place, folder, seconds=spec.timeouts.attempt.total_seconds(), grace=grace)
        reported = TerminationMessage.load(end.read_text("utf-8", "replace")) if end.is_file() else None
    return _ending(gateway.document, reported, how)


def _aliases(environ: Mapping[str, str]) -> dict[str, str]:
    """The model aliases that an installation gives its pods; its variable can be set here as well."""
    try:
        return aliases_in(environ)
    except ValueError as error:
        raise Failure(f"{error}.", code=USAGE) from None


@contextmanager
def _journal(given: Attempt, recording: Recording) -> Iterator[Journal]:
    """Open the journal of the job's next start. If none can be kept and none was requested, use a temporary one."""
    now, path = datetime.now(UTC), recording.path or path_of(given["job"])
    with tempfile.TemporaryDirectory(prefix="agentjobs-") as folder:
        if recording.resume:
            journal = Journal.resume(path, given["resolved"], now)
        else:
            try:
                journal, left = Journal.begin(path, given["resolved"], now)
            except Unusable as error:
                if recording.path is not None:
                    raise
                show(f"{error} This run cannot be resumed.", error=True)
                journal, left = Journal.begin(Path(folder) / "journal.sqlite", given["resolved"], now)
            if left:
                show(_of_the_run_before(path, left), error=True)
        try:
            yield journal
        finally:
            journal.close()


def _of_the_run_before(path: Path, steps: int) -> str:
    kept = put_aside(path)
    return (
        f"the previous run did not end; its {counted(steps, 'step')} are kept in {kept}. "
        f"To continue it: --resume --journal {kept}"
    )


def accepted(work: Work) -> Attempt:
    """Return the attempt of a job as an operator would accept it, with the other objects of its file.

    Raises:
        Failure: the job is invalid (with all problems), or an object is missing.
    """
    name = work.name or "local"
    body = {**work.job, "metadata": {**work.job["metadata"], "name": name, "uid": f"local-{name}"}}
    read = read_job(body, _template(work))
    if read.spec is None:
        raise Failure("\n  ".join(["the job is invalid:", *map(str, read.problems)]), code=USAGE)
    contents = {ConfigMapKey(*key): text for key, text in work.config_maps().items()}
    try:
        resolved = resolve_spec(read.spec, body["metadata"], replace(read.sources, contents=contents))
    except (errors.NotFound, errors.Invalid) as error:
        raise Failure(f"{error}. With --local, ConfigMaps must be in the file of -f.", code=USAGE) from None
    return Attempt(
        namespace=NAMESPACE,
        job=name,
        uid=f"local-{name}",
        start=1,
        attempt=1,
        maxAttempts=1,
        resolved=resolved,
        result=None,
    )


def _template(work: Work) -> Template | None:
    """The template that the job names, from its file."""
    reference = work.job["spec"].get("templateRef")
    if reference is None:
        return None
    name = reference.get("name") if isinstance(reference, dict) else None
    named = [item for item in work.others if item["kind"] == "AgentTemplate" and item["metadata"]["name"] == name]
    if not named:
        raise Failure(
            f"template {name!r} does not exist. With --local, templates must be in the file of -f.", code=USAGE
        )
    if problems := validate_template(named[0]):
        raise Failure("\n  ".join([f"template {name} is invalid:", *map(str, problems)]), code=USAGE)
    return template_of(str(name), 0, named[0]["spec"])


def _variables(spec: AgentJobSpec, environ: Mapping[str, str], *, engine: str, readable: bool) -> dict[str, str]:
    """Return the runner's variables, except those of its gateway."""
    variables = dict(environ)
    for entry in spec.runtime.env:
        if entry.value_from is None:
            variables[entry.name] = entry.value or ""
        elif entry.name not in environ:
            raise Failure(
                f"runtime.env: {entry.name} comes from the cluster; with --local "
                f"set it in your shell: export {entry.name}=…",
                code=USAGE,
            )
    variables[contract.ENV_ENGINE] = engine
    if engine == contract.ENGINE_CLAUDE_CODE:
        variables |= login_of(variables)
    if readable:
        variables.setdefault(contract.ENV_LOG_FORMAT, "text")
    return variables


def _private_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="agentjobs-", ignore_cleanup_errors=True)


def _run(variables: Mapping[str, str], place: Path | None, folder: str, *, seconds: float, grace: float) -> _How:
    """Run the runner to its end. Ctrl-C reaches it directly, in our terminal, and it prints what it waits for."""
    how = _How.ENDED
    with _terminal_as_it_was(), _ctrl_c_recorded() as typed:
        child = _started(variables, place, folder)
        _wait(child, seconds, until=lambda: bool(typed))
        if typed:
            how = _How.INTERRUPTED
        elif child.poll() is None:
            how = _How.LATE
            child.send_signal(signal.SIGTERM)
        enough = 2 if typed else 1
        _wait(child, grace, until=lambda: len(typed) >= enough)
        child.send_signal(signal.SIGUSR1)
        _wait(child, _KILL_SECONDS)
        child.kill()
        child.wait()
    return how


def _wait(child: "subprocess.Popen[bytes]", seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    deadline = time.monotonic() + seconds
    while child.poll() is None and not until() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _started(variables: Mapping[str, str], place: Path | None, folder: str) -> "subprocess.Popen[bytes]":
    guard = Path(__file__).with_name("local_guard.py").read_text("utf-8")
    # Blocked until the runner handles it: during startup Python would die of it with a traceback.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(  # noqa: S603  our own interpreter and constant code
            [sys.executable, "-c", guard, MODULE, str(os.getpid()), folder],
            env=dict(variables),
            cwd=place,
            stdin=None if _types() else subprocess.DEVNULL,  # for breakpoint()
            stdout=sys.stderr.fileno(),  # standard output is only for the answer
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _ctrl_c_recorded() -> Iterator[list[int]]:
    """Collect Ctrl-C instead of raising KeyboardInterrupt, which could cut a library's clean-up and become its error.

    After one, later ones are ignored: what follows is short, and the exit code must say that the run was interrupted.
    """
    typed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield typed  # a shell's background process, or a thread, where Python allows no handlers
        return
    signal.signal(signal.SIGINT, lambda number, _: typed.append(number))
    try:
        yield typed
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if typed else before)


@contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    """Restore the terminal after killing a runner: at the prompt of breakpoint() it has no echo."""
    if not _types():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        if _types():
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _types() -> bool:
    """Whether a person can type here. A background process of a terminal cannot: reading would stop it."""
    try:
        return sys.stdin is not None and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # not a terminal, or closed
        return False


def _ending(document: Mapping[str, Any] | None, reported: TerminationMessage | None, how: _How) -> AttemptReport:
    if how is _How.LATE:
        why = "the attempt took longer than timeouts.attempt"
        return AttemptReport(
            verdict=Verdict.RETRY.value, reason=ErrorClass.ATTEMPT_TIMEOUT.value, message=why, result=None
        )
    ending = _reported(document, reported)
    if how is _How.INTERRUPTED and (ending is None or ending["reason"] == ErrorClass.INTERRUPTED):
        raise KeyboardInterrupt
    if ending is not None:
        return ending
    why = "the runner exited without reporting a result; standard error has what it printed"
    return AttemptReport(verdict=Verdict.RETRY.value, reason=ErrorClass.RUNNER_CRASHED.value, message=why, result=None)


def _reported(document: Mapping[str, Any] | None, message: TerminationMessage | None) -> AttemptReport | None:
    if document is not None:
        return AttemptReport(
            verdict=document["verdict"],
            reason=document["reason"],
            message=document["message"],
            result=document["result"],
        )
    if message is not None:
        return AttemptReport(verdict=message.verdict.value, reason=message.reason, message=message.message, result=None)
    return None
