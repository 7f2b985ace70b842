"""The journal in the gateway: reads the steps of earlier starts, in pages, and sends new ones.

A step is sealed and converted to JSON when it is recorded; `step_sender` sends it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any

import agentjobs
from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, RecordedStep, Verdict, Versions
from agentjobs.errors import Fenced, Invalid, Unavailable
from agentjobs_runner import version_change
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.gateway import Gateway
from agentjobs_runner.journal import NewStep
from agentjobs_runner.log import logger
from agentjobs_runner.recorded_steps import RecordedSteps, stored_key
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.step_sender import Order, StepSender, as_json
from agentjobs_runner.timeline import Recorder


class GatewayJournal:
    """The journal of one start; see `journal.Journal` for the engines' interface.

    Args:
        recorder: takes `resumed` and `warning` entries, signs of progress, and the usage of recorded steps.
        on_lost: called once from the thread with the error: Fenced, or Unavailable after all retries. Callers of the
            journal then wait forever: the supervisor ends the process.
    """

    def __init__(
        self,
        attempt: Attempt,
        gateway: Gateway,
        redactor: Redactor,
        recorder: Recorder,
        on_lost: Callable[[Fenced | Unavailable], None],
    ) -> None:
        self._gateway = gateway
        self._redactor = redactor
        self._recorder = recorder
        self._job, self._start = attempt["job"], attempt["start"]
        self._policy = (attempt["resolved"]["spec"].get("retry") or {}).get("onVersionChange", version_change.CONTINUE)
        head = attempt.get("journal") or {"run": attempt["start"], "last": 0, "versions": None}
        self._run, self._last, self._before = head["run"], head["last"], head["versions"]
        self._versions: Versions | None = None
        """The versions for the next request."""
        self._steps = RecordedSteps(redactor.unseal)
        self._read: Future[None] = Future()
        self._lock = threading.Lock()
        self._resumes: bool | None = False if self._last else None
        """Whether a recorded step was used; None after the `resumed` entry, or without recorded steps."""
        self._begun: set[str] = set()
        """The calls of this start that have not ended."""
        self._recording: dict[str, Future[None]] = {}
        """The steps in `_steps` that the gateway has not stored yet."""
        self._sender = StepSender(gateway, self._frame, self._stored, on_lost)
        self.reachable = self._sender.reachable
        """Set while the gateway accepts requests."""

    def start(self) -> None:
        """Begin to read recorded steps, and then to store new ones."""
        self._sender.start(self._read_all)

    @property
    def busy(self) -> bool:
        """Whether something waits for the gateway, so that the agent's silence is expected."""
        return self._sender.busy or not self._read.done()

    def finish(self, give_up: Callable[[], float], *, pending: Callable[[], bool] = lambda: False) -> None:
        """Wait until all recorded steps are stored, and add the `resumed` entry.

        Args:
            give_up: returns the time until which it waits.
            pending: whether steps will still be passed to this journal.

        Raises:
            Fenced: another pod holds this start.
            Unavailable: not everything was stored before `give_up()`.
        """
        self._sender.finish(give_up, pending)
        if self._read.done():
            self._report_resumed()

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Compare versions with this image's; see `Journal.open`."""
        self._read.result()
        versions = Versions(adk=adk, runner=agentjobs.__version__, scheme=scheme, agent=agent)
        change = version_change.judge(self._before if self._last else None, versions, self._policy)
        if change.message:
            logger.warning("journal.versions", extra={"detail": change.message})
            self._recorder.add("warning", self._job, {"level": "WARNING", "message": change.message})
        if change.restart:
            self.begin_anew()
        self._versions = versions

    def begin_anew(self) -> None:
        """Discard the steps of earlier starts: this start begins another run. Called before the first step."""
        self._read.result()
        self._run, self._last, self._resumes = self._start, 0, None
        self._steps.clear()

    @property
    def resumes(self) -> bool:
        """Whether earlier starts recorded steps; see `Journal.resumes`."""
        return self._last > 0

    @property
    def has_more(self) -> bool:
        """Whether recorded steps remain that this start has not reached; see `Journal.has_more`."""
        return self._steps.has_more

    def earlier(self) -> list[RecordedStep]:
        """Return the steps of earlier starts; see `Journal.earlier`."""
        self._read.result()
        return [step for step in self._steps.frames() if step["start"] != self._start]

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step with this key; see `Journal.ended`."""
        self._read.result()
        key = stored_key(key)
        found = self._steps.ended(key)
        if found is not None and (recording := self._recording.get(key)) is not None:
            # Its task was cancelled before the step was stored, and nothing may act on the step earlier.
            found = found if recording.exception() is None else None
        if found is None:
            # Before the first step the runner looks for its own notes, which most jobs do not have. And a call that an
            # earlier start began may contain recorded steps.
            if self._resumes and self._steps.interrupted(key) is None:
                self._report_resumed()
        elif self._resumes is not None:
            self._resumes = True
        return found

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the unfinished call with this key; see `Journal.interrupted`."""
        self._read.result()
        return self._steps.interrupted(stored_key(key))

    async def begin(self, step: NewStep) -> None:
        """Record that a call is about to begin."""
        await asyncio.wrap_future(self._add(step, None, None))

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Record a step's result; see `Journal.record`."""
        await asyncio.wrap_future(self._add(step, datetime.now(UTC), body, void=void))

    def record_now(self, step: NewStep, body: Any) -> None:
        """Record a step's result, and block until it is stored."""
        self._add(step, datetime.now(UTC), body).result()

    async def void(self, keys: Sequence[str]) -> None:
        """Make the steps with these keys void for later starts."""
        void = [stored_key(key) for key in keys]
        self._steps.drop(void)
        # Newest first: if the start is killed in between, the remaining steps are those of a shorter run.
        for part in _parts(void[::-1]):
            await asyncio.wrap_future(self._sender.put(Order(void=part)))

    def _add(self, step: NewStep, ended: datetime | None, body: Any, *, void: bool = False) -> "Future[None]":
        self._report_resumed()
        frame = self._counted_once(_frame(step, ended, void=void))
        written = as_json(self._redactor.seal(body))
        if len(written) > contract.MAX_STEP_BYTES:
            raise _too_large(frame, len(written))
        self._recorder.usage.count(frame["usage"])
        order = Order(frame["key"], as_json(frame)[:-1] + b',"body":' + written + b"}")
        if ended is not None and not void:
            with self._lock:
                self._recording[order.key] = order.done
            self._steps.put({**frame, "n": 0, "start": self._start}, written)
            order.done.add_done_callback(partial(self._recorded, order.key))
        return self._sender.put(order)

    def _recorded(self, key: str, done: "Future[None]") -> None:
        """Forget a recording that has ended, and its step if it was refused."""
        with self._lock:
            if self._recording.get(key) is not done:
                return  # the key was recorded again
            del self._recording[key]
        if done.exception() is not None:
            self._steps.drop([key])

    def _counted_once(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Remove the usage from a call's end: it was counted at its beginning."""
        with self._lock:
            if frame["ended"] is None:
                self._begun.add(frame["key"])
            elif frame["key"] in self._begun:
                self._begun.discard(frame["key"])
                frame["usage"] = {}
        return frame

    def _report_resumed(self) -> None:
        with self._lock:
            resumes, self._resumes = self._resumes, None
        if resumes is not None:
            # All of them, as in history: values of a tool's own code are not requested when the tool's result is used.
            replayed = self._steps.count_ended() if resumes else 0
            self._recorder.add("resumed", self._job, {"fromStep": self._last + 1, "replayed": replayed})

    def _frame(self) -> dict[str, Any]:
        versions = self._versions
        return {"run": self._run} if versions is None else {"run": self._run, "versions": versions}

    def _stored(self, frame: dict[str, Any]) -> None:
        if "versions" in frame:
            self._versions = None
        self._recorder.progressed()

    def _read_all(self) -> None:
        """Read all recorded steps; the engine reports invalid ones."""
        after: int | None = 0 if self._last else None
        try:
            while after is not None:
                page = self._sender.with_retries(partial(self._gateway.steps, after))
                self._steps.add(page["steps"])
                after = page["next"]
        except StartEnded as ended:
            self._read.set_exception(ended)
        except (Invalid, KeyError, TypeError) as error:
            message = f"cannot read the recorded steps from the gateway: {type(error).__name__}: {error}"
            self._read.set_exception(StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_UNREADABLE, message)))
        else:
            self._read.set_result(None)


def _frame(step: NewStep, ended: datetime | None, *, void: bool) -> dict[str, Any]:
    """A step without its body."""
    return {
        "key": stored_key(step.key),
        "kind": step.kind.value,
        "agent": contract.cut(step.agent, 200),
        "name": contract.cut(step.name, 200),
        "began": _time(step.began),
        "ended": None if ended is None else _time(ended),
        "request": step.request,
        "usage": {name: amount for name, amount in step.usage.items() if amount > 0},
        **({"void": True} if void else {}),
    }


def _parts(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the keys in batches of a request's size."""
    part, size = list[str](), 0
    for key in keys:
        more = len(as_json(key)) + 1
        if part and (len(part) == contract.MAX_STEPS or size + more >= contract.MAX_VOID_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(key)
        size += more
    if part:
        yield tuple(part)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _too_large(frame: Mapping[str, Any], size: int) -> StartEnded:
    what = f"{frame['kind']} step {frame['name']} of {frame['agent']}" if frame["agent"] else f"step {frame['name']}"
    most = contract.MAX_STEP_BYTES
    cure = "Store large data as an artifact, and return its name"
    message = f"{what} returned {size} bytes of JSON, and a step can have {most}. {cure}"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_TOO_LARGE, message))
