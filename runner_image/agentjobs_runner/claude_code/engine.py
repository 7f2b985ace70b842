"""Runs Claude Code for one attempt, to the ending of its process.

The CLI is a child process: its output is recorded afterwards. Its result only counts after its process and all its
descendants have ended.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, StepKind, Verdict
from agentjobs.models.names import aliases_in
from agentjobs_runner.budget import StartBudget
from agentjobs_runner.claude_code import prompt, session
from agentjobs_runner.claude_code.command import ClaudeCodeSettings, Command, Left, Place, SessionChoice, build
from agentjobs_runner.claude_code.process import Process, out_of_memory_kills
from agentjobs_runner.claude_code.relay import MAIN, SCHEME, Relay, agent_digest, turns_of, uncertain_calls
from agentjobs_runner.claude_code.stream import Began, Reader
from agentjobs_runner.endings import Ending, StartEnded, interrupted
from agentjobs_runner.gate import Gate
from agentjobs_runner.journal import Journal
from agentjobs_runner.log import logger
from agentjobs_runner.redaction import safe_str
from agentjobs_runner.stores import Stores
from agentjobs_runner.timeline import Recorder

if TYPE_CHECKING:
    from agentjobs_runner.claude_code.verdict import Judged
    from agentjobs_runner.kept import Kept

_READ_SECONDS: Final = 0.2
# Between SIGTERM and SIGKILL: it needs up to 1.6 s to kill its tools and to write its session.
_STOP_SECONDS: Final = 6.0
# Part of the grace period: for SIGTERM, and for keeping the session afterwards.
_KEEP_SECONDS: Final = 8.0


def execute(attempt: Attempt, gate: Gate, recorder: Recorder, journal: Journal, stores: Stores | None = None) -> Ending:
    """Run the CLI and return the ending. Blocks; called in its own thread."""
    home: Path | None = None
    loop = asyncio.new_event_loop()
    try:
        home = Path(tempfile.mkdtemp(prefix="agentjobs-claude-"))
        kept = None if stores is None else stores.kept
        return _Start(attempt, gate, recorder, journal, kept, home, loop).run()
    except StartEnded as ended:
        return ended.ending
    except OSError as error:
        return Ending(Verdict.RETRY, ErrorClass.IO, f"the pod's files cannot be used: {safe_str(error)}")
    finally:
        loop.close()
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The session of this start, and its prompt."""

    id: str
    restored: session.Restored | None
    prompt: str


class _Start:
    """One start of one attempt."""

    def __init__(
        self,
        attempt: Attempt,
        gate: Gate,
        recorder: Recorder,
        journal: Journal,
        kept: "Kept | None",
        home: Path,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._attempt, self._gate, self._recorder, self._journal, self._kept = attempt, gate, recorder, journal, kept
        # A copy of the user's login would be refreshed here, which would invalidate the original.
        self._home = Path(os.environ.get(contract.ENV_CLAUDE_HOME) or home / "home")
        self._tmp, self._tree = home / "tmp", Path.cwd()
        self._spec = attempt["resolved"]["spec"]
        self._loop = loop
        self._stopped_at: float | None = None
        self._killed = False
        self._process: Process | None = None
        self._ending: Ending | None = None
        """Our reason for ending it, if any."""

    def run(self) -> Ending:
        """Run the CLI to its end, keep its session, and determine the ending."""
        settings = self._settings()
        budget = StartBudget.read(self._attempt)
        self._journal.open(adk=contract.ENGINE_CLAUDE_CODE, scheme=SCHEME, agent=agent_digest(self._spec))
        for folder in (self._home, self._tmp):
            folder.mkdir(mode=0o700, exist_ok=True)
        chosen = self._choose()
        place, choice = self._place(settings), SessionChoice(chosen.id, chosen.restored is not None)
        command = build(settings, place, choice, self._left())
        self._loop.run_until_complete(self._gate.enter("start", "the start of Claude Code"))
        spends = None if place.base_url is not None else budget
        relay = Relay(self._attempt, self._gate, self._recorder, self._journal, budget, spends, self._loop, self._held)
        relay.check()
        reader, killed_before = Reader(), out_of_memory_kills()
        self._process = process = self._started(command, chosen.prompt)
        keeper = self._keeper(chosen, relay)
        try:
            self._gate.leave("start")
            relay.starts(settings.servers)
            _load()
            self._read_output(process, reader, relay, settings)
        finally:
            left_over = process.end()
        if left_over:
            logger.error("claude.processes_left", extra={"processes": left_over})
        problem = keeper.finish() if keeper is not None else ""
        judged = self._judged(process, reader, settings, out_of_memory=out_of_memory_kills() > killed_before)
        return self._concluded(judged, chosen, problem)

    def _settings(self) -> ClaudeCodeSettings:
        agent = self._spec.get("agent") or {}
        model = agent.get("model")
        resolved = aliases_in(os.environ).get(str(model), model)
        return ClaudeCodeSettings.read({**self._spec, "agent": {**agent, "model": resolved}})

    def _choose(self) -> _Chosen:
        """Continue the session of the previous start, or begin one."""
        message = (self._spec.get("input") or {}).get("message") or ""
        begun = session.new_id(self._attempt["uid"], self._attempt["start"])
        if self._begins_anew():
            return _Chosen(begun, None, prompt.first(message))
        earlier = self._journal.earlier()
        found: session.Restored | session.Absent = session.Absent("none is kept here")
        if self._kept is not None:
            found = session.restore(self._kept, self._recorder.redactor.unseal, self._home, self._tree)
        calls = [step["name"] for step in earlier if step["kind"] == StepKind.TOOL]
        if isinstance(found, session.Restored) and not self._journal.resumes:
            # No step was recorded, so files are as they were when the run began, and the session is ahead of them.
            calls = [call["name"] for call in found.calls.requested.values()]
        elif isinstance(found, session.Restored):
            self._journal.ended(next((step["key"] for step in earlier if step["ended"] is not None), ""))
            return _Chosen(found.id, found, prompt.resumed(uncertain_calls(found.calls, earlier)))
        elif found.why:
            self._warn(f"the session of an earlier start cannot be continued, a new one begins: {found.why}")
        return _Chosen(begun, None, prompt.after_lost_session(message, calls))

    def _begins_anew(self) -> bool:
        """Whether this start is the first of its run. It may have kept its session before any step was recorded."""
        head = self._attempt.get("journal")
        if head is None or head["run"] == self._attempt["start"]:
            return True
        return head["last"] > 0 and not self._journal.resumes  # steps of another version are ignored

    def _left(self) -> Left:
        """The job's remaining budget, as far as the CLI counts it."""
        given = self._attempt.get("budget")
        if given is None:
            return Left()
        limits: Mapping[str, Any] = given["limits"]
        cost = limits.get("maxCostUSD") if _proxy(os.environ) is None else None
        spent = Decimal(given["used"]["costUSD"])
        return Left(
            self._turns_left(limits, given["used"].get("turns")),
            None if cost is None else float(Decimal(str(cost)) - spent),
        )

    def _turns_left(self, limits: Mapping[str, Any], used: int | None) -> int | None:
        most = limits.get("maxTurns")
        if most is None:
            return None
        attempt = self._attempt["attempt"] if limits.get("scope") == "Attempt" else None
        # The journal has this run's; a gateway also counts earlier ones.
        left = int(most) - max(turns_of(self._journal.earlier(), attempt), used or 0)
        if left < 1:
            message = (
                f"budget.maxTurns is reached: earlier starts took {most}. Raise budget.maxTurns to let it continue"
            )
            raise StartEnded(Ending(Verdict.FAIL, ErrorClass.MAX_TURNS_EXCEEDED, message))
        return left

    def _place(self, settings: ClaudeCodeSettings) -> Place:
        config = None
        if settings.mcp_config is not None:
            config = self._tmp / "mcp.json"
            config.touch(mode=0o600)
            config.write_text(settings.mcp_config, encoding="utf-8")
        url = _proxy(os.environ)
        return Place(
            binary=_binary(os.environ),
            home=str(self._home),
            tmp=str(self._tmp),
            tree=str(self._tree),
            base_url=url,
            token_file=None if url is None else os.environ.get(contract.ENV_TOKEN_FILE),
            mcp_config_file=None if config is None else str(config),
            ca_file=os.environ.get("NODE_EXTRA_CA_CERTS"),
        )

    def _started(self, command: Command, text: str) -> Process:
        variables = _inherited(os.environ, command) | command.env
        try:
            return Process(command.argv, variables, self._tree, text.encode("utf-8", "replace"), self._tmp)
        except OSError as error:
            from agentjobs_runner.claude_code.verdict import not_started

            raise StartEnded(not_started(error, command.argv[0])) from error

    def _keeper(self, chosen: _Chosen, relay: Relay) -> session.Keeper | None:
        if self._kept is None:
            return None
        seal = self._recorder.redactor.seal
        keeper = session.Keeper(self._kept, seal, self._home, chosen.id, chosen.restored, relay.has_recorded)
        keeper.start()
        return keeper

    def _read_output(self, process: Process, reader: Reader, relay: Relay, settings: ClaudeCodeSettings) -> None:
        """Read the process's output, and end the process if necessary."""
        while not process.ended:
            for line in process.read(_READ_SECONDS):
                for seen in reader.feed(line):
                    self._relay_event(relay, seen)
                    if isinstance(seen, Began):
                        self._check(seen, settings)
            self._see_to_end(process, relay)
        self._relay_event(relay, None)

    def _relay_event(self, relay: Relay, seen: Any) -> None:
        try:
            relay.pass_on(seen)
        except StartEnded as ended:
            self._ending = self._ending or ended.ending

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Pause the CLI."""
        process = self._process
        if process is not None:
            logger.warning("claude.paused", extra={"detail": "its steps cannot be recorded at present"})
            process.hold()
        try:
            yield
        finally:
            if process is not None:
                process.go_on()

    def _check(self, began: Began, settings: ClaudeCodeSettings) -> None:
        """End a process that cannot do the job's work, before it costs something."""
        from agentjobs_runner.claude_code.verdict import refused

        self._ending = self._ending or refused(began, settings)

    def _see_to_end(self, process: Process, relay: Relay) -> None:
        now = time.monotonic()
        if self._gate.closed and self._ending is None:
            until = self._gate.until
            if not relay.in_tool or (until is not None and now > until - _KEEP_SECONDS):
                self._ending = interrupted("stopped, with Claude Code")
        if self._ending is None:
            return
        if self._stopped_at is None:
            self._stopped_at = now
            process.stop()
        elif not self._killed and now - self._stopped_at > _STOP_SECONDS:
            self._killed = True
            logger.warning("claude.killed", extra={"detail": "SIGTERM did not end it"})
            process.kill()

    def _judged(
        self, process: Process, reader: Reader, settings: ClaudeCodeSettings, *, out_of_memory: bool
    ) -> "Judged":
        from agentjobs_runner.claude_code.verdict import Exit, judge
        from agentjobs_runner.output import Output

        ended = Exit(process.code, process.stderr, stopped=self._stopped_at is not None, out_of_memory=out_of_memory)
        output = Output.read(self._spec.get("output"))
        return judge(reader.facts, ended, settings, output, self._recorder.usage.total)

    def _concluded(self, judged: "Judged", chosen: _Chosen, problem: str) -> Ending:
        ending = judged.ending
        if problem:
            self._warn(f"its session is not kept, so a later start begins a new one: {problem}")
        if judged.new_session and self._ending is None and self._kept is not None:
            session.give_up(self._kept, chosen.id)
        if self._ending is not None:
            # It may already have answered when it was stopped; after exceeding a limit that does not count.
            was_interrupted = self._ending.reason == ErrorClass.INTERRUPTED
            return ending if was_interrupted and ending.verdict is Verdict.SUCCEED else self._ending
        return ending

    def _warn(self, message: str) -> None:
        self._recorder.add("warning", MAIN, {"level": "WARNING", "message": message})


def _load() -> None:
    """Import the verdict module while the CLI starts: validation takes as long to import as the rest."""
    import agentjobs_runner.claude_code.verdict  # noqa: F401  for later imports


def _inherited(variables: Mapping[str, str], command: Command) -> dict[str, str]:
    """Return the environment of the CLI and its tools.

    The keys of other providers' clients are the pod's token. An agent that prints its environment would reveal it to
    its model, and in a long run it is expired. The CLI uses the token file, which is renewed.
    """
    file = variables.get(contract.ENV_TOKEN_FILE)
    hidden = {Path(file).read_text("utf-8").strip()} if file else set()
    return {name: value for name, value in variables.items() if name not in command.unset and value not in hidden}


def _binary(variables: Mapping[str, str]) -> str:
    """Return the path of the CLI.

    Raises:
        StartEnded: BinaryNotFound.
    """
    named = variables.get(contract.ENV_CLAUDE)
    found = shutil.which(named or "claude", path=variables.get("PATH"))
    if found is None:
        where = f"{contract.ENV_CLAUDE} is {named}, which is not a program" if named else "`claude` is not in PATH"
        raise _not_found(where)
    return str(Path(found).absolute())


def _not_found(what: str) -> StartEnded:
    cure = (
        "Build an image with the target claude-code of the runner's Dockerfile, and set "
        f"runtime.image; on your own machine install it, or set {contract.ENV_CLAUDE} to its path"
    )
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.BINARY_NOT_FOUND, f"{what}. {cure}"))


def _proxy(variables: Mapping[str, str]) -> str | None:
    """Return the address of the model proxy for the CLI; None if the job calls Anthropic itself."""
    url = (variables.get(contract.ENV_MODELS_URL) or "").rstrip("/") + contract.MODELS_ANTHROPIC
    return url if variables.get("ANTHROPIC_BASE_URL") == url else None
