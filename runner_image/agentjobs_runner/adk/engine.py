"""Runs the agent of one attempt in ADK, to its ending.

Importing this module imports ADK, which takes most of a start's time; `attempt` does it while the gateway answers. It
never calls the gateway and never ends the process; errors of user code are returned as an Ending.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from google.adk.agents.run_config import RunConfig
from google.adk.apps.app import App
from google.adk.artifacts.in_memory_artifact_service import InMemoryArtifactService
from google.adk.events.event import Event
from google.adk.memory.in_memory_memory_service import InMemoryMemoryService
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.version import __version__ as adk_version
from google.genai import types
from pydantic import BaseModel, RootModel

from agentjobs.contract import Attempt, ErrorClass, Verdict
from agentjobs.models.names import aliases_in
from agentjobs_runner.adk import agents, long_histories, nested_failures, toolsets
from agentjobs_runner.adk.agent_digest import agent_digest
from agentjobs_runner.adk.agent_tree import tree_of, walk
from agentjobs_runner.adk.answer import Answer, AnswerCollector
from agentjobs_runner.adk.artifacts import Artifacts
from agentjobs_runner.adk.cancellations import raising_strays
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.adk.compaction import compacted, summary_model
from agentjobs_runner.adk.event_entries import entries
from agentjobs_runner.adk.log_capture import captured
from agentjobs_runner.adk.memory import Memory
from agentjobs_runner.adk.models import Models
from agentjobs_runner.adk.run_config import leave_calls_to_budget, run_config
from agentjobs_runner.adk.scripted import ScriptCursor
from agentjobs_runner.adk.sessions import JobSession, Sessions, before_job, begin
from agentjobs_runner.adk.step_keys import SCHEME
from agentjobs_runner.adk.step_plugin import StepPlugin
from agentjobs_runner.adk.step_policies import StepPolicies
from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.adk.unrecord import unrecord
from agentjobs_runner.budget import StartBudget
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.frames import own_frame, stack
from agentjobs_runner.gate import Gate
from agentjobs_runner.journal import Journal
from agentjobs_runner.log import logger
from agentjobs_runner.origins import causes
from agentjobs_runner.output import Output, from_state
from agentjobs_runner.stores import Earlier, Stores
from agentjobs_runner.timeline import Recorder

# Endings of an incomplete model answer: code may fail because of the missing part.
_NEVER_CAME: Final = (ErrorClass.CONTENT_BLOCKED, ErrorClass.MODEL_OUTPUT_TRUNCATED)
_STUMBLED: Final = (ErrorClass.AGENT_ERROR, ErrorClass.TOOL_ERROR, ErrorClass.RESULT_ERROR, ErrorClass.CONFIG_INVALID)
# The user of a job without one.
_DEFAULT_USER: Final = "system"


def execute(attempt: Attempt, gate: Gate, recorder: Recorder, journal: Journal, stores: Stores | None = None) -> Ending:
    """Run the agent and return its ending. Blocks; called in its own thread.

    The event loop is never closed: closing would wait for tools that hang.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(run(attempt, gate, recorder, journal, stores))
    except BaseException as error:
        # asyncio lets SystemExit and KeyboardInterrupt pass through every task; they end the start, not the runner.
        return classify(error, now=datetime.now(UTC))


async def run(
    attempt: Attempt, gate: Gate, recorder: Recorder, journal: Journal, stores: Stores | None = None
) -> Ending:
    """Run the agent in the current event loop and return its ending; exceptions become endings."""
    policies = StepPolicies.read(attempt["resolved"]["spec"].get("steps"))
    try:
        budget = StartBudget.read(attempt)
    except StartEnded as ended:
        return ended.ending
    steps = StepsOfStart(journal, gate, recorder.add, attempt["start"], policies, budget)
    ending = await _ended(attempt, steps, recorder, stores)
    steps.report_diverged()
    await unrecord(steps, ending)
    return ending


async def _ended(attempt: Attempt, steps: StepsOfStart, recorder: Recorder, stores: Stores | None) -> Ending:
    """Run the agent; exceptions become endings."""
    try:
        with captured(recorder.add):
            return await _run(attempt, steps, recorder, stores)
    except BaseException as error:
        steps.ended_by(error)
        ending = steps.ending(classify(toolsets.unwrapped(error), now=datetime.now(UTC)))
        # Exceptions of code need their traceback; errors of providers or definitions do not.
        if ending.reason in (ErrorClass.AGENT_ERROR, ErrorClass.TOOL_ERROR, ErrorClass.MODULE_NOT_FOUND):
            chain = _logged_errors([cause.error for cause in causes(error)])
            if chain:
                logger.error("agent.raised", extra={"reason": ending.reason, "stack": stack(chain)})
        return ending


def _logged_errors(chain: list[BaseException]) -> list[BaseException]:
    """Which errors' tracebacks are logged; for a mistake with a clear message only those in the user's code."""
    if not any(isinstance(error, StartEnded) for error in chain):
        return chain
    return [error for error in chain if not isinstance(error, StartEnded) and own_frame(error)]


async def _run(attempt: Attempt, steps: StepsOfStart, recorder: Recorder, stores: Stores | None) -> Ending:
    spec = attempt["resolved"]["spec"]
    output = Output.read(spec.get("output"))
    toolsets.guard()
    nested_failures.guard()
    long_histories.install()
    leave_calls_to_budget()
    plugin = StepPlugin(steps)
    plugin.install()
    session = await _session(attempt, recorder, steps.journal, stores)
    if (summarizes := summary_model(session.app)) is not None:
        plugin.intercept(summarizes)
    texts = [(spec.get("input") or {}).get("message") or "", *([output.request] if output.request else [])]
    judged, repairs = await _run_agent(session, texts, output, recorder, steps), 0
    while not isinstance(judged, Ending) and repairs < output.repairs:
        repairs += 1
        steps.repaired_from = len(steps.answers) - 1 if repairs == 1 else steps.repaired_from
        if steps.answer_is_new:  # otherwise the start that recorded it has logged it
            recorder.add("repair", session.author, {"repair": repairs, "problems": judged})
        judged = await _run_agent(session, [output.correction(judged)], output, recorder, steps)
    ending = judged if isinstance(judged, Ending) else output.invalid(judged)
    steps.budget.check()  # code may have ignored a rejected step
    if stores is not None and ending.verdict is Verdict.SUCCEED:
        await session.kept.store(stores)
    return ending


@dataclass(frozen=True, slots=True)
class _Session:
    """The agent in its session, ready to run."""

    app: App
    runner: Runner
    kept: JobSession
    settings: RunConfig | None

    @property
    def author(self) -> str:
        """The root agent's name."""
        return str(getattr(self.app.root_agent, "name", self.app.name))

    def run(self, texts: list[str]) -> AsyncGenerator[Event, None]:
        """Send the agent a message; events are yielded as it runs."""
        message = types.Content(role="user", parts=[types.Part(text=text) for text in texts])
        return self.runner.run_async(
            user_id=self.kept.user, session_id=self.kept.id, new_message=message, run_config=self.settings
        )

    async def state(self) -> dict[str, Any]:
        """Return the session's current state."""
        newest = GetSessionConfig(num_recent_events=1)  # the state is complete without events, and copying all is slow
        session = await self.runner.session_service.get_session(
            app_name=self.app.name, user_id=self.kept.user, session_id=self.kept.id, config=newest
        )
        return dict(session.state) if session is not None else {}


async def _session(attempt: Attempt, recorder: Recorder, journal: Journal, stores: Stores | None) -> _Session:
    """Build the agent and its session."""
    spec = attempt["resolved"]["spec"]
    agent, given = spec.get("agent") or {}, spec.get("session") or {}
    settings = run_config(agent.get("runConfig") or {})
    models = Models(ScriptCursor(attempt["resolved"].get("scripts") or {}, attempt["start"]), aliases_in(os.environ))
    app = await agents.build(agent, models, name=given.get("appName"), job=attempt["job"])
    app = compacted(app, (spec.get("steps") or {}).get("compaction"), models)
    journal.open(adk=adk_version, scheme=SCHEME, agent=agent_digest(agent))
    began = {"attempt": attempt["attempt"], "start": attempt["start"], "adk": adk_version}
    recorder.add("started", str(getattr(app.root_agent, "name", app.name)), began)
    user, session_id = given.get("userId") or _DEFAULT_USER, given.get("sessionId") or attempt["uid"]
    state = dict((spec.get("input") or {}).get("state") or {})
    earlier = await before_job(attempt, stores, journal) if stores is not None else Earlier()
    named = user != _DEFAULT_USER or session_id != attempt["uid"]
    kept = await begin(Sessions(), app.name, user, session_id, earlier=earlier, state=state, named=named)
    return _Session(app, _runner(app, kept, stores), kept, settings)


def _runner(app: App, kept: JobSession, stores: Stores | None) -> Runner:
    if stores is None:
        artifacts, memory = InMemoryArtifactService(), InMemoryMemoryService()
        return Runner(app=app, session_service=kept.service, artifact_service=artifacts, memory_service=memory)
    return Runner(
        app=app,
        session_service=kept.service,
        artifact_service=Artifacts(stores, app.name, kept.user, kept.id),
        memory_service=Memory(stores, app.name, kept.user),
    )


async def _run_agent(
    session: _Session, texts: list[str], output: Output, recorder: Recorder, steps: StepsOfStart
) -> Ending | list[str]:
    """Run the agent; return the ending for its answer, or the answer's problems."""
    answer = AnswerCollector(tree_of(session.app.root_agent))
    try:
        with raising_strays():
            await _process_events(session.run(texts), answer, recorder, steps)
    except Exception as error:
        if (met := _met_before(error, answer)) is not None:
            return met
        raise
    state = await session.state() if output.from_state else {}
    steps.judged = _author(answer, output, session.app)
    return _judged(answer, output, state, session, recorder.usage.total)


async def _process_events(
    run: AsyncGenerator[Event, None], answer: AnswerCollector, recorder: Recorder, steps: StepsOfStart
) -> None:
    """Process a run event by event."""
    async with aclosing(run) as events:
        async for event in events:
            recorder.progressed()
            answer.see(event)
            for kind, data in entries(event) if steps.is_unreported(event) else ():
                recorder.add(kind, event.author, data)
            await recorder.room()


def _met_before(error: Exception, answer: AnswerCollector) -> Ending | None:
    """Return the ending of an incomplete model answer, if `error` is only a consequence of it in code."""
    met = answer.failure()
    if met is None or met.reason not in _NEVER_CAME:
        return None
    return met if classify(error, now=datetime.now(UTC)).reason in _STUMBLED else None


def _judged(
    answer: AnswerCollector, output: Output, state: Mapping[str, Any], session: _Session, usage: dict[str, int]
) -> Ending | list[str]:
    """Return the ending for the run, or the problems of its answer."""
    if (failed := answer.failure()) is not None:
        return failed
    if (name := output.from_state) is not None:
        return output.judge(from_state(state, name, is_inherited=session.kept.is_inherited(name)), None, usage)
    found = answer.answer()
    return found if isinstance(found, Ending) else output.judge(found.value, _own_schema(session.app, found), usage)


def _author(answer: AnswerCollector, output: Output, app: App) -> str | None:
    """The agent whose model gave the answer, if any."""
    if (failed := answer.failed_by()) is not None:
        return failed
    if output.from_state is not None:
        return next((n.name for n in walk(app.root_agent) if getattr(n, "output_key", None) == output.from_state), None)
    found = answer.answer()
    return found.model_of if isinstance(found, Answer) else None


def _own_schema(app: App, answer: Answer) -> type[BaseModel] | None:
    """`output_schema` of the agent whose model gave the answer, if it is a pydantic model of an object."""
    for node in walk(app.root_agent):
        schema = getattr(node, "output_schema", None) if node.name == answer.model_of else None
        if isinstance(schema, type) and issubclass(schema, BaseModel) and not issubclass(schema, RootModel):
            return schema
    return None
