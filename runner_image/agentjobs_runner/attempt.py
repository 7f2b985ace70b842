"""One start from its first request to its last: fetch, run, report. The supervisor, in the process's main thread.

The agent and the recorder run in their own threads; all events reach the supervisor through one inbox. So SIGTERM, a
lost gateway, a fence and the agent's own end are handled in one place, even if user code blocks. The order of the end
is fixed: the gateway's record, then the termination message, then the exit code.
"""

import gc
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, Result, ResultDocument, Verdict
from agentjobs.durations import format_duration, parse_duration
from agentjobs.errors import AgentJobsError, Fenced, Invalid, Unavailable
from agentjobs_runner import log, user_steps
from agentjobs_runner.endings import (
    FENCED,
    Ending,
    StartEnded,
    interrupted,
    journal_unavailable,
    progress_timeout,
    stopped_by_own_signal,
)
from agentjobs_runner.engines import Engine, Loading
from agentjobs_runner.environment import Environment
from agentjobs_runner.gate import AllSet, Gate
from agentjobs_runner.gateway import Gateway, Instant, connect
from agentjobs_runner.gateway_journal import GatewayJournal
from agentjobs_runner.gateway_stores import GatewayStores
from agentjobs_runner.inbox import AgentEnded, AtBoundary, InterruptedAgain, Lost, Message, Terminated
from agentjobs_runner.journal import Journal
from agentjobs_runner.log import logger
from agentjobs_runner.model_access import ModelAccess
from agentjobs_runner.pod_token import PodToken
from agentjobs_runner.redaction import Redactor, safe_str
from agentjobs_runner.signals import StopSignals
from agentjobs_runner.stores import Stores
from agentjobs_runner.termination import leave, leave_fenced, unfetched
from agentjobs_runner.timeline import Recorder
from agentjobs_runner.tracing import Tracing

if TYPE_CHECKING:
    from agentjobs_runner.workspace.start import AgentFiles

# The kubelet kills at the end of the grace period; the rest is for the last report.
REPORT_SECONDS: Final = 5.0
# Other verdicts need no gateway record: the operator uses the termination message.
FAREWELL_SECONDS: Final = 30.0
# Part of the grace period: for entries, the result and the termination message.
LAST_REPORT_SECONDS: Final = 2.0


def run(variables: MutableMapping[str, str]) -> int:
    """Run the start of `variables`, this process's environment; return the process's exit code."""
    redactor = Redactor(variables)
    log.configure(variables, redactor)
    try:
        environment = Environment.read(variables)
        token = PodToken(environment.token_file, redactor.renew)
        token()
        gateway = connect(environment, token)
    except (ValueError, OSError) as error:
        logger.error("environment.invalid", extra={"error": str(error)})
        return contract.EXIT_CODES[Verdict.FAIL]
    except Unavailable as error:
        return leave(environment, redactor, journal_unavailable(str(error)))
    tracing = Tracing(variables, redactor)
    models = _model_access(environment, token, variables)
    code = Supervisor(environment, gateway, redactor, tracing, models, in_full=log.for_people(variables)).run()
    tracing.wait()
    return code


def _model_access(environment: Environment, token: PodToken, variables: MutableMapping[str, str]) -> ModelAccess | None:
    """Configure clients of models to use the proxy, if there is one."""
    if environment.models_url is None:
        return None
    access = ModelAccess(environment.models_url, token)
    access.lead(variables, environment.gateway_ca)
    token.on_renewal(lambda newest: access.renew(variables, newest))
    return access


class Supervisor:
    """Supervises one start."""

    def __init__(
        self,
        environment: Environment,
        gateway: Gateway,
        redactor: Redactor,
        tracing: Tracing,
        models: ModelAccess | None,
        *,
        in_full: bool,
    ) -> None:
        self._environment = environment
        self._gateway = gateway
        self._redactor = redactor
        self._tracing = tracing
        self._models = models
        self._in_full = in_full
        # SimpleQueue.put may be called from a signal handler (it is documented as reentrant).
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._terminated_at: float | None = None
        self._stops = StopSignals(self._on_signal)

    def run(self) -> int:
        """Run the start and return the exit code."""
        self._stops.listen()
        engine = Loading(self._environment.engine)
        try:
            attempt = self._gateway.attempt(give_up=self._give_up(contract.GATEWAY_TIMEOUT_SECONDS))
        except Fenced as error:
            return leave_fenced(error)
        except AgentJobsError as error:
            ending = unfetched(error, stopping=self._terminated_at is not None)
            return leave(self._environment, self._redactor, ending)
        logger.info("attempt.started", extra=_named(attempt))
        recorder = Recorder(self._gateway, self._redactor, self._on_lost, in_full=self._in_full)
        stores = self._stores(attempt, recorder)
        files = _files(attempt, stores, recorder)
        if attempt["result"] is not None:
            return self._accepted(attempt, recorder, files)
        recorder.start()
        journal = GatewayJournal(attempt, self._gateway, self._redactor, recorder, self._on_lost)
        journal.start()
        outcome = self._supervise(attempt, recorder, journal, stores, files, engine)
        if isinstance(outcome, Fenced):
            return leave_fenced(outcome)
        if files is not None and outcome.reason == ErrorClass.INTERRUPTED:
            self._bounded(files.keep)
        return self._report(attempt, recorder, journal, files, outcome)

    def _accepted(self, attempt: Attempt, recorder: Recorder, files: "AgentFiles | None") -> int:
        """End a job that already has its result: no agent runs, but its changes may still have to be published."""
        ending = Ending(Verdict.SUCCEED, "ResultAccepted", "the job already has its result", result=attempt["result"])
        if files is not None and files.publishes:
            recorder.start()
            restore = files.restored
            threading.Thread(target=lambda: self._inbox.put(AgentEnded(restore(ending))), daemon=True).start()
            match self._inbox.get():
                case AgentEnded(ending=ended):
                    ending = ended
                case Lost(error=Fenced() as fence):
                    return leave_fenced(fence)
                case Lost(error=error):
                    ending = journal_unavailable(f"the gateway cannot be reached: {error}")
                case _:
                    ending = interrupted("stopped before the files were restored")
            recorder.finish(self._give_up(FAREWELL_SECONDS))
        return leave(self._environment, self._redactor, ending, uid=attempt["uid"])

    def _bounded(self, work: Callable[[], None]) -> None:
        """Run `work` within the rest of the grace period, minus the time for the last report."""
        thread = threading.Thread(target=work, name="keep", daemon=True)
        thread.start()
        thread.join(max(1.0, self._give_up(FAREWELL_SECONDS)() - time.monotonic() - LAST_REPORT_SECONDS))

    def _stores(self, attempt: Attempt, recorder: Recorder) -> Stores | None:
        """Data that outlives the job, if this gateway stores it."""
        if "session" not in attempt:
            return None
        return GatewayStores(self._gateway, self._redactor, self._on_lost, recorder.progressed)

    def _on_lost(self, error: Fenced | Unavailable) -> None:
        self._inbox.put(Lost(error))

    def _on_signal(self, number: int, own: bool) -> None:
        if own:
            self._inbox.put(Terminated(signal.Signals(number).name, own=True))
        elif self._terminated_at is None:
            self._terminated_at = time.monotonic()
            self._inbox.put(Terminated(signal.Signals(number).name))
        elif number == signal.SIGINT:
            self._inbox.put(InterruptedAgain())

    def _supervise(
        self,
        attempt: Attempt,
        recorder: Recorder,
        journal: GatewayJournal,
        stores: Stores | None,
        files: "AgentFiles | None",
        engine: Loading,
    ) -> Ending | Fenced:
        """Wait for the agent's end, or an external event that ends it."""
        reached = AllSet(recorder.recorded, journal.reachable)
        gate = Gate(reached, lambda: self._inbox.put(AtBoundary()), recorder.progressed)
        arguments = (attempt, gate, recorder, journal, stores, files, engine)
        threading.Thread(target=self._agent, args=arguments, name="agent", daemon=True).start()
        limit = _progress_limit(attempt)
        outcome: Ending | Fenced | None = None
        while outcome is None:
            try:
                silence = _silence(recorder, journal)
                message = self._inbox.get(timeout=self._until_deadline(limit - silence))
            except queue.Empty:
                outcome = self._overdue(limit, _silence(recorder, journal), gate)
            else:
                outcome = self._outcome(message, gate)
        return outcome

    def _overdue(self, limit: float, silence: float, gate: Gate) -> Ending | None:
        """The ending of a start after its grace period, or after `limit` seconds without progress."""
        if self._terminated_at is not None:
            return interrupted("stopped; the running step did not end in time")
        if silence < limit:
            return None
        return progress_timeout(format_duration(timedelta(seconds=limit)), gate.running)

    def _outcome(self, message: Message, gate: Gate) -> Ending | Fenced | None:
        """Return how `message` ends the start; None if it does not end it yet."""
        match message:
            case AgentEnded(ending):
                return Fenced(ending.message) if ending.reason == FENCED else ending
            case AtBoundary():
                return interrupted("stopped between two steps")
            case Terminated(own=True):
                return stopped_by_own_signal()
            case Terminated(signal=name):
                fields = {"signal": name, "grace_seconds": self._environment.grace_seconds, "running": gate.running}
                logger.info("attempt.terminating", extra=fields)
                gate.close(time.monotonic() + self._until_deadline(0.0))
                return None
            case InterruptedAgain():
                return interrupted("stopped again; the running step was abandoned")
            case Lost(Fenced() as fence):
                return fence
            case Lost(error):
                return journal_unavailable(f"the gateway cannot be reached: {error}")

    def _agent(
        self,
        attempt: Attempt,
        gate: Gate,
        recorder: Recorder,
        journal: GatewayJournal,
        stores: Stores | None,
        files: "AgentFiles | None",
        engine: Loading,
    ) -> None:
        try:
            steps = journal if files is None else files.open(journal, os.environ)
            loaded = engine.wait()
            if self._models is not None:
                self._models.attend()
            recorder.progressed()
            self._stops.watch_own()
            fails = (attempt["resolved"]["spec"].get("steps") or {}).get("onDivergence") == "Fail"
            user_steps.install(user_steps.UserSteps(attempt["uid"], steps, gate, recorder.add, fails))
            with self._tracing.run(attempt):
                ending = _execute(loaded, attempt, gate, recorder, steps, stores)
            if files is not None and ending.reason != FENCED:
                files.keep()
        except StartEnded as ended:
            ending = ended.ending
        except BaseException as error:  # an unreported end would hang the pod
            logger.exception("engine.failed")
            ending = Ending(
                Verdict.RETRY, ErrorClass.AGENT_ERROR, f"the runner failed: {type(error).__name__}: {safe_str(error)}"
            )
        self._inbox.put(AgentEnded(ending))

    def _until_deadline(self, timeout: float) -> float:
        """Return the seconds that a running step has left: `timeout` until the pod is stopped."""
        if self._terminated_at is None:
            return max(0.0, timeout)
        deadline = self._terminated_at + self._environment.grace_seconds - REPORT_SECONDS
        return max(0.0, deadline - time.monotonic())

    def _give_up(self, timeout: float) -> Instant:
        """The time `timeout` seconds from now, or shortly before the kubelet kills, whichever is first."""
        limit = time.monotonic() + timeout

        def instant() -> float:
            if self._terminated_at is None:
                return limit
            return min(
                limit, max(self._terminated_at + 1.0, self._terminated_at + self._environment.grace_seconds - 1.0)
            )

        return instant

    def _report(
        self,
        attempt: Attempt,
        recorder: Recorder,
        journal: GatewayJournal,
        files: "AgentFiles | None",
        ending: Ending,
    ) -> int:
        """Send the gateway its record, then exit. A result that is already final has precedence."""
        self._tracing.end(ending.verdict, str(ending.reason))
        timeout = contract.GATEWAY_TIMEOUT_SECONDS if ending.result is not None else FAREWELL_SECONDS
        if ending.reason == ErrorClass.JOURNAL_UNAVAILABLE:
            timeout = 0.0  # the time was already used
        give_up = self._give_up(timeout)
        try:
            journal.finish(give_up, pending=lambda: files is not None and files.is_recording())
        except Fenced as error:
            return leave_fenced(error)
        except Unavailable as error:
            if ending.result is not None:
                ending = self._unsent(error)
        message = self._redactor.message(ending.message, contract.MAX_MESSAGE_BYTES)
        ending = replace(ending, message=message)
        recorder.add("ended", attempt["job"], {"verdict": ending.verdict, "reason": ending.reason, "message": message})
        recorder.finish(give_up)
        try:
            final = self._gateway.put_result(_document(ending), give_up=give_up)
        except Fenced as error:
            return leave_fenced(error)
        except Invalid as error:
            logger.error("result.refused", extra={"error": str(error)})
            if ending.result is not None:
                rejected = self._redactor.message(
                    f"the gateway rejected the result: {error}", contract.MAX_MESSAGE_BYTES
                )
                ending = Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, rejected)
        except Unavailable as error:
            logger.error("result.not_sent", extra={"error": self._redactor.message(str(error), 300)})
            if ending.result is not None:
                ending = self._unsent(error)
        else:
            ending = _agreed(ending, final)
        return leave(self._environment, self._redactor, ending, uid=attempt["uid"])

    def _unsent(self, error: Unavailable) -> Ending:
        if self._terminated_at is not None:
            return interrupted("stopped before the result could be stored")
        message = self._redactor.message(f"the result could not be stored: {error}", contract.MAX_MESSAGE_BYTES)
        return journal_unavailable(message)


def _files(attempt: Attempt, stores: Stores | None, recorder: Recorder) -> "AgentFiles | None":
    """The agent's files, if any; imported late, because most jobs have none."""
    if not attempt["resolved"]["spec"].get("workspace"):
        return None
    from agentjobs_runner.workspace.start import AgentFiles

    return AgentFiles.of(attempt, os.environ, None if stores is None else stores.kept, recorder)


def _execute(
    engine: Engine, attempt: Attempt, gate: Gate, recorder: Recorder, journal: Journal, stores: Stores | None
) -> Ending:
    """Run the agent with Python's default garbage collection: user modules may create much garbage.

    It was off while our modules loaded (`__main__`): their objects live as long as the process.
    """
    gc.freeze()
    gc.enable()
    process = os.getpid()
    try:
        return engine.execute(attempt, gate, recorder, journal, stores)
    finally:
        if os.getpid() != process:
            # A tool forked, and its child reached this point; only the parent reports.
            os._exit(70)


def _agreed(ending: Ending, final: Result | None) -> Ending:
    if final is None or ending.result == final:
        return ending
    return Ending(Verdict.SUCCEED, "ResultAccepted", "another start of this job stored its result first", result=final)


def _document(ending: Ending) -> ResultDocument:
    return ResultDocument(
        verdict=ending.verdict.value,
        reason=str(ending.reason),
        message=ending.message,
        delaySeconds=ending.delay_seconds,
        result=ending.result,
    )


def _silence(recorder: Recorder, journal: GatewayJournal) -> float:
    """Seconds since the agent's last progress; 0 while it waits for the gateway."""
    return 0.0 if journal.busy else recorder.silence


def _progress_limit(attempt: Attempt) -> float:
    """Seconds of `timeouts.progress`; a job accepted before the field existed has the default."""
    limit = (attempt["resolved"]["spec"].get("timeouts") or {}).get("progress")
    return contract.PROGRESS_SECONDS if limit is None else parse_duration(limit).total_seconds()


def _named(attempt: Attempt) -> dict[str, object]:
    return {
        "namespace": attempt["namespace"],
        "job": attempt["job"],
        "uid": attempt["uid"],
        "start": attempt["start"],
        "attempt": attempt["attempt"],
        "max_attempts": attempt["maxAttempts"],
    }
