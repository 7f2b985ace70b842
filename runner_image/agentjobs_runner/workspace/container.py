"""One of our containers next to the agent's, from its first request to its last: fetch the attempt, work, report.

The work runs in a thread; external events (a signal, a fence, an unavailable gateway) reach the main thread, which ends
the process with its descendants. It sends heartbeats, because a long clone must not look lost.
"""

import errno
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, Published, Verdict
from agentjobs.errors import AgentJobsError, Fenced, Unavailable
from agentjobs_runner import log
from agentjobs_runner.endings import Ending, interrupted, journal_unavailable
from agentjobs_runner.environment import Environment
from agentjobs_runner.gateway import Gateway, connect
from agentjobs_runner.gateway_stores import GatewayStores
from agentjobs_runner.kept import Kept
from agentjobs_runner.log import logger
from agentjobs_runner.pod_token import PodToken
from agentjobs_runner.redaction import Redactor, safe_str
from agentjobs_runner.termination import leave, leave_fenced, unfetched
from agentjobs_runner.timeline import Recorder
from agentjobs_runner.workspace import git
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.settings import Place

DONE: Final = "Done"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended. `published` belongs to the success of the publishing container."""

    ending: Ending
    published: Published | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """The input of a container's work."""

    attempt: Attempt
    kept: Kept
    place: Place
    credentials: Path | None
    """Folder of the Secret for Git."""
    cache: Path | None
    """Folder that outlives pods."""


Work = Callable[[Task], Ended]
Lost = Fenced | Unavailable | signal.Signals


def done(message: str = "") -> Ended:
    """The work is done."""
    return Ended(Ending(Verdict.SUCCEED, DONE, message))


def failed(error: GitFailed) -> Ending:
    """The meaning of a Git failure for a start."""
    match error.kind:
        case Kind.FULL:
            return Ending(Verdict.RETRY, ErrorClass.IO, error.message)
        case Kind.ABSENT:
            return Ending(Verdict.FAIL, ErrorClass.BINARY_NOT_FOUND, error.message)
        case Kind.REFUSED | Kind.MISSING:
            return Ending(Verdict.FAIL, ErrorClass.REPOSITORY_INVALID, error.message)
        case Kind.UNAVAILABLE | Kind.BROKEN:
            return Ending(Verdict.RETRY, ErrorClass.REPOSITORY_UNAVAILABLE, error.message)


def run(variables: Mapping[str, str], work: Work) -> int:
    """Do the work of this container with its environment `variables`; return the process's exit code."""
    redactor = Redactor(variables)
    log.configure(variables, redactor)
    try:
        environment = Environment.read(variables)
        place = Place(Path(variables[contract.ENV_WORKSPACE]))
        token = PodToken(environment.token_file, redactor.renew)
        token()
        gateway = connect(environment, token)
    except KeyError as error:
        logger.error("environment.invalid", extra={"error": f"{error.args[0]} is not set"})
        return contract.EXIT_CODES[Verdict.FAIL]
    except (ValueError, OSError) as error:
        logger.error("environment.invalid", extra={"error": str(error)})
        return contract.EXIT_CODES[Verdict.FAIL]
    except Unavailable as error:
        return leave(environment, redactor, journal_unavailable(str(error)))
    folders = tuple(
        Path(variables[name]) if variables.get(name) else None
        for name in (contract.ENV_GIT_CREDENTIALS, contract.ENV_GIT_CACHE)
    )
    return _Container(environment, gateway, redactor, place, folders).run(work)


class _Container:
    """Supervises the work of one container."""

    def __init__(
        self,
        environment: Environment,
        gateway: Gateway,
        redactor: Redactor,
        place: Place,
        folders: tuple[Path | None, ...],
    ) -> None:
        self._environment = environment
        self._gateway = gateway
        self._redactor = redactor
        self._place = place
        self._credentials, self._cache = folders
        self._inbox: queue.SimpleQueue[Ended | Lost] = queue.SimpleQueue()
        self._stopping = False

    def run(self, work: Work) -> int:
        """Fetch the attempt, do the work, and return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        deadline = time.monotonic() + contract.GATEWAY_TIMEOUT_SECONDS
        try:
            attempt = self._gateway.attempt(give_up=lambda: time.monotonic() if self._stopping else deadline)
        except Fenced as error:
            return leave_fenced(error)
        except AgentJobsError as error:
            return self._leave(Ended(unfetched(error, stopping=self._stopping)))
        recorder = Recorder(self._gateway, self._redactor, self._inbox.put)
        recorder.start()
        stores = GatewayStores(self._gateway, self._redactor, self._inbox.put, recorder.progressed)
        task = Task(attempt, stores.kept, self._place, self._credentials, self._cache)
        threading.Thread(target=self._work, args=(work, task), name="work", daemon=True).start()
        message = self._inbox.get()
        git.end_all()
        match message:
            case Ended():
                return self._leave(message, attempt["uid"])
            case Fenced():
                return leave_fenced(message)
            case Unavailable():
                ending = journal_unavailable(f"the gateway cannot be reached: {message}")
                return self._leave(Ended(ending), attempt["uid"])
            case signal.Signals():
                ending = interrupted(f"stopped by {message.name} before it was done")
                return self._leave(Ended(ending), attempt["uid"])

    def _work(self, work: Work, task: Task) -> None:
        try:
            ended = work(task)
        except GitFailed as error:
            ended = Ended(failed(error))
        except OSError as error:
            ended = Ended(_of_disk(error))
        except BaseException as error:  # an unreported end would hang the pod
            logger.exception("workspace.failed")
            message = f"the container of the workspace failed: {type(error).__name__}: {safe_str(error)}"
            ended = Ended(Ending(Verdict.RETRY, ErrorClass.RUNNER_CRASHED, message))
        self._inbox.put(ended)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._inbox.put(signal.Signals(number))

    def _leave(self, ended: Ended, uid: str = "") -> int:
        ending = ended.ending
        if ending.verdict is Verdict.SUCCEED and ended.published is None:
            # The exit code is enough; a pod's termination messages share the kubelet's limit.
            logger.info("workspace.ready", extra={"detail": ending.message})
            return contract.EXIT_CODES[Verdict.SUCCEED]
        return leave(self._environment, self._redactor, ending, uid=uid, published=ended.published)


def _of_disk(error: OSError) -> Ending:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = f"the files of the workspace: {error.strerror or type(error).__name__}"
    cure = "; raise workspace.size" if full else ""
    return Ending(Verdict.RETRY, ErrorClass.IO, message + cure)
