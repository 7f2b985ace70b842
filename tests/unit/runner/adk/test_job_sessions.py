"""The session of a job: what it has from earlier jobs, and what it leaves to later ones."""

import threading

import pytest
from tests.memoryjournal import MemoryJournal
from tests.memorystores import Kept, MemoryStores

from agentjobs.contract import ErrorClass, Verdict
from agentjobs.errors import Invalid
from agentjobs_runner.adk import engine
from agentjobs_runner.endings import Ending
from agentjobs_runner.gate import Gate
from agentjobs_runner.output import Output

AGENT = """
import json
from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.genai import types

class Told(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        said = [part.text for content in llm_request.contents for part in content.parts if part.text]
        parts = [types.Part(text=json.dumps(said), thought_signature=b"\\xff\\xfe")]
        yield LlmResponse(content=types.Content(role="model", parts=parts))

def count(callback_context):
    state = callback_context.state
    for name in ("n", "user:n", "app:n", "temp:n"):
        state[name] = state.get(name, 0) + 1

root_agent = LlmAgent(name="told", model=Told(model="told"), before_agent_callback=count)
"""


IDS = {"appName": "app", "userId": "user", "sessionId": "s"}


@pytest.fixture
def job(module, timeline):
    """`await job(stores)` runs one start of a job of session s."""
    counting = module(AGENT)

    async def start(stores, message="hi", journal=None, session=IDS, anything=True, agent=counting, output=None):
        spec = {"agent": {"module": {"ref": agent}}, "input": {"message": message, "state": {"given": 1}}}
        spec |= {"output": output, "session": session and {**session, "mode": stores.mode}}
        attempt = {"namespace": "ns", "job": "j", "uid": stores.uid, "start": 1, "attempt": 1, "maxAttempts": 1}
        attempt |= {"resolved": {"spec": spec, "scripts": {}}, "result": None, "session": anything}
        recorded = threading.Event()
        recorded.set()
        gate = Gate(recorded, lambda: None, timeline.progressed)
        return await engine.run(attempt, gate, timeline, journal or MemoryJournal(timeline.usage), stores)

    return start


async def test_a_job_that_continues_a_session_has_the_events_of_earlier_jobs(job):
    kept = Kept()
    await job(MemoryStores(kept, "1"), "one")

    ended = await job(MemoryStores(kept, "2"), "two")

    assert ended.result["text"] == '["one", "[\\"one\\"]", "two"]'


async def test_a_new_session_has_only_the_state_of_user_and_app(job):
    kept = Kept()
    await job(MemoryStores(kept, "1"), "one")

    ended = await job(MemoryStores(kept, "2", mode="New"), "two")

    assert ended.result["text"] == '["two"]'
    assert (kept.user, kept.app, kept.turns["s"][-1][1]["state"]["n"]) == ({"n": 2}, {"n": 2}, 1)


async def test_state_is_stored_by_scope_and_temporary_state_is_not(job):
    kept = Kept()
    await job(MemoryStores(kept, "1"))
    await job(MemoryStores(kept, "2"))

    _, turn = kept.turns["s"][-1]

    assert turn["state"] == {"given": 1, "n": 2}
    assert (kept.user, kept.app) == ({"n": 2}, {"n": 2})


WRITER = """
from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.genai import types

class Done(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="done")]))

def write(callback_context):
    message = callback_context.user_content.parts[0].text
    if message != "nothing":
        callback_context.state["report"] = callback_context.state["user:report"] = message

root_agent = LlmAgent(name="writer", model=Done(model="done"), before_agent_callback=write)
"""


@pytest.mark.parametrize("name", ["report", "user:report"])
async def test_the_value_of_an_earlier_job_in_the_state_is_not_this_jobs_answer(job, module, name):
    kept, agent = Kept(), module(WRITER)
    await job(MemoryStores(kept, "1"), "yesterday", agent=agent)

    ended = await job(MemoryStores(kept, "2"), "nothing", agent=agent, output={"fromState": name})

    assert (ended.verdict, ended.reason) == (Verdict.RETRY, ErrorClass.RESULT_ERROR)
    assert f"'{name}'" in ended.message


async def test_a_job_may_set_the_same_value_as_an_earlier_one(job, module):
    kept, agent = Kept(), module(WRITER)
    await job(MemoryStores(kept, "1"), "the same", agent=agent)

    ended = await job(MemoryStores(kept, "2"), "the same", agent=agent, output={"fromState": "report"})

    assert ended.result["text"] == "the same"


async def test_a_value_from_the_jobs_own_input_is_its_answer_even_if_an_earlier_job_left_one(job, module):
    kept, agent = Kept(), module(WRITER)
    await job(MemoryStores(kept, "1"), "yesterday", agent=agent)

    ended = await job(MemoryStores(kept, "2"), "nothing", agent=agent, output={"fromState": "given"})

    assert ended.result["text"] == "1"


async def test_a_turn_has_only_the_events_of_its_job(job):
    kept = Kept()
    await job(MemoryStores(kept, "1"), "one")
    await job(MemoryStores(kept, "2"), "two")

    texts = [event["content"]["parts"][0]["text"] for event in kept.turns["s"][1][1]["events"] if "content" in event]

    assert texts == ["two", '["one", "[\\"one\\"]", "two"]']


async def test_only_changes_of_the_users_state_are_stored(job):
    kept = Kept(user={"n": 4, "other": 1}, app={"other": 1})

    await job(MemoryStores(kept, "1"))

    turn = kept.turns["s"][0][1]
    assert (turn["user"], turn["app"]) == ({"n": 5}, {"n": 1})


async def test_bytes_of_an_event_are_the_same_in_the_next_job(job):
    kept = Kept()
    await job(MemoryStores(kept, "1"))
    await job(MemoryStores(kept, "2"))

    first, second = (turn for _, turn in kept.turns["s"])
    stored = [event["content"]["parts"][0].get("thought_signature") for event in first["events"] if "content" in event]

    assert stored == [None, "__4="]
    assert second["state"]["n"] == 2


async def test_a_later_start_has_the_users_state_of_the_first(job, timeline):
    kept, journal = Kept(user={"n": 1}), MemoryJournal(timeline.usage)
    await job(MemoryStores(kept, "1"), journal=journal)
    kept.user["n"] = 70

    await job(MemoryStores(kept, "1"), journal=journal.again(timeline.usage))

    assert kept.turns["s"][0][1]["user"] == {"n": 2}


async def test_a_session_that_cannot_be_read_fails_the_job(job, monkeypatch):
    stores = MemoryStores()
    monkeypatch.setattr(MemoryStores, "session", lambda _: (_ for _ in ()).throw(Invalid("no")))

    ended = await job(stores)

    assert (ended.verdict, ended.reason) == (Verdict.FAIL, ErrorClass.CONFIG_INVALID)
    assert stores.shared.turns == {}


async def test_a_start_that_does_not_succeed_stores_no_turn(job, monkeypatch):
    stores = MemoryStores()
    monkeypatch.setattr(Output, "judge", lambda self, *_, **__: Ending(Verdict.RETRY, ErrorClass.INVALID_OUTPUT, "no"))

    ended = await job(stores)

    assert (ended.reason, stores.asked) == (ErrorClass.INVALID_OUTPUT, ["session"])


async def test_a_refused_turn_fails_the_job(job, monkeypatch):
    def refused(stores, turn):
        raise Invalid("PUT: 413 the session has 64 MiB")

    monkeypatch.setattr(MemoryStores, "put_turn", refused)

    ended = await job(MemoryStores())

    assert (ended.verdict, ended.reason) == (Verdict.FAIL, ErrorClass.RESULT_ERROR)
    assert "413" in ended.message


async def test_an_event_that_this_version_of_adk_cannot_read_is_reported(job):
    stores = MemoryStores(uid="2")
    stores.shared.turns["s"] = [("1", {"events": [{"author": 7}], "state": {}, "user": {}, "app": {}})]

    ended = await job(stores)

    assert (ended.verdict, ended.reason) == (Verdict.FAIL, ErrorClass.CONFIG_INVALID)
    assert "session.mode New" in ended.message


async def test_state_stored_after_the_first_start_is_not_visible_to_the_next(job, timeline):
    kept, journal = Kept(), MemoryJournal(timeline.usage)
    await job(MemoryStores(kept, "1"), journal=journal, anything=False)
    assert "value session" not in journal.names
    kept.user["n"] = 70

    await job(MemoryStores(kept, "1"), journal=journal.again(timeline.usage))

    assert kept.turns["s"][0][1]["user"] == {"n": 1}


async def test_an_unnamed_session_stores_only_the_state_of_user_and_app(job):
    stores = MemoryStores(session_id="0b6f2a")

    await job(stores, session={"appName": "app", "userId": "system", "sessionId": "0b6f2a"})

    assert stores.shared.turns["0b6f2a"][0][1] == {"events": [], "state": {}, "user": {"n": 1}, "app": {"n": 1}}


async def test_a_job_without_a_named_session_and_shared_changes_stores_nothing(job, module):
    stores = MemoryStores()
    agent = module("from given import *\nroot_agent = LlmAgent(name='told', model=Told(model='told'))", "given_plain")

    ended = await job(stores, session=None, agent=agent, anything=False)

    assert (ended.verdict, stores.asked) == (Verdict.SUCCEED, [])
