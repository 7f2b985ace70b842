"""Artifacts and memory of a job: once for each save, the same in every start, and of no one else."""

import asyncio
import threading

import pytest
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types
from tests.memoryjournal import MemoryJournal
from tests.memorystores import Kept, MemoryStores

from agentjobs.errors import Invalid
from agentjobs_runner import user_steps
from agentjobs_runner.adk.artifacts import Artifacts
from agentjobs_runner.adk.memory import Memory
from agentjobs_runner.gate import Gate
from agentjobs_runner.user_steps import Place, UserSteps, place

OURS = {"app_name": "app", "user_id": "user"}
SESSION = {**OURS, "session_id": "s"}
here = place.set  # a test's context ends with it
TOOL, AGENT = Place("a#1/1", "a", within_call=True), Place("a", "a")


def blob(data=b"\x00\xff", mime="image/png"):
    return types.Part(inline_data=types.Blob(data=data, mime_type=mime))


@pytest.fixture
def stores():
    return MemoryStores()


@pytest.fixture
def artifacts(stores):
    return Artifacts(stores, "app", "user", "s")


@pytest.fixture
def start():
    """`start(journal)`: what follows is a start of the job."""

    def begin(journal):
        recorded = threading.Event()
        recorded.set()
        user_steps.install(UserSteps("0b6f2a", journal, Gate(recorded, lambda: None, lambda: None)))
        return journal

    yield begin
    user_steps.install(None)


@pytest.mark.parametrize(
    "part",
    [
        blob(),
        blob(b""),
        types.Part(text="päge"),
        types.Part(file_data=types.FileData(file_uri="gs://bucket/a.pdf", mime_type="application/pdf")),
    ],
    ids=["data", "no data", "text", "file"],
)
@pytest.mark.parametrize("name", ["a report/2026.md", "user:logo"])
async def test_an_artifact_is_loaded_as_it_was_saved(artifacts, part, name):
    number = await artifacts.save_artifact(**SESSION, filename=name, artifact=part)

    found = await artifacts.load_artifact(**SESSION, filename=name)

    assert (number, found) == (0, part)


async def test_repeated_code_saves_no_second_version(stores):
    here(TOOL)
    for _ in range(2):
        again = Artifacts(stores, "app", "user", "s")
        numbers = [await again.save_artifact(**SESSION, filename="a", artifact=blob(bytes([n]))) for n in range(2)]

    assert numbers == [0, 1]
    assert [content for _, content in stores.shared.artifacts["a"]] == [b"\x00", b"\x01"]


async def test_two_tool_calls_save_two_versions(artifacts):
    here(TOOL)
    first = await artifacts.save_artifact(**SESSION, filename="a", artifact=blob())
    here(Place("a#1/2", "a", within_call=True))

    assert (first, await artifacts.save_artifact(**SESSION, filename="a", artifact=blob())) == (0, 1)


async def test_a_callback_loads_the_version_that_it_loaded_in_the_first_start(artifacts, start):
    journal = start(MemoryJournal())
    here(AGENT)
    await artifacts.save_artifact(**SESSION, filename="a", artifact=blob(b"old"))
    await artifacts.load_artifact(**SESSION, filename="a")
    here(TOOL)
    await artifacts.save_artifact(**SESSION, filename="a", artifact=blob(b"new"))

    start(journal.again())
    here(AGENT)
    found = await artifacts.load_artifact(**SESSION, filename="a")

    assert found.inline_data.data == b"old"


async def test_a_callback_that_found_nothing_finds_nothing_again(artifacts, start):
    journal = start(MemoryJournal())
    here(AGENT)
    assert await artifacts.load_artifact(**SESSION, filename="a") is None
    assert await artifacts.list_artifact_keys(**SESSION) == []
    await artifacts.save_artifact(**SESSION, filename="a", artifact=blob())

    start(journal.again())

    assert await artifacts.load_artifact(**SESSION, filename="a") is None
    assert await artifacts.list_artifact_keys(**SESSION) == []


async def test_a_tool_records_no_separate_step_for_artifacts_that_it_loads(artifacts, stores, start):
    journal = start(MemoryJournal())
    here(TOOL)
    await artifacts.save_artifact(**SESSION, filename="a", artifact=blob())

    await artifacts.load_artifact(**SESSION, filename="a")

    assert (journal.steps, stores.asked) == ([], ["save_artifact", "artifact"])


async def test_versions_are_listed_with_their_metadata(artifacts):
    for number in range(2):
        await artifacts.save_artifact(**SESSION, filename="a", artifact=blob(), custom_metadata={"n": number})

    newest = await artifacts.get_artifact_version(**SESSION, filename="a")

    assert await artifacts.list_versions(**SESSION, filename="a") == [0, 1]
    assert (newest.version, newest.custom_metadata, newest.mime_type) == (1, {"n": 1}, "image/png")
    assert newest.canonical_uri == "artifact://apps/app/users/user/sessions/s/artifacts/a/versions/1"
    assert await artifacts.get_artifact_version(**SESSION, filename="a", version=7) is None


async def test_a_reference_is_resolved_and_cycles_are_refused(artifacts):
    uri = "artifact://apps/app/users/user/sessions/s/artifacts/{}/versions/0"
    await artifacts.save_artifact(**SESSION, filename="a", artifact=blob(b"there"))
    for name, to in (("b", "a"), ("c", "c")):
        part = types.Part(file_data=types.FileData(file_uri=uri.format(to)))
        await artifacts.save_artifact(**SESSION, filename=name, artifact=part)

    assert (await artifacts.load_artifact(**SESSION, filename="b")).inline_data.data == b"there"
    with pytest.raises(InputValidationError):
        await artifacts.load_artifact(**SESSION, filename="c")


async def test_a_deleted_artifact_is_not_found(artifacts):
    await artifacts.save_artifact(**SESSION, filename="a", artifact=blob())

    await artifacts.delete_artifact(**SESSION, filename="a")

    assert await artifacts.load_artifact(**SESSION, filename="a") is None


async def test_without_a_session_only_the_users_artifacts_are_available(artifacts):
    for name in ("a", "user:b"):
        await artifacts.save_artifact(**SESSION, filename=name, artifact=blob())

    assert await artifacts.list_artifact_keys(**OURS) == ["user:b"]
    assert await artifacts.list_artifact_keys(**SESSION) == ["a", "user:b"]


@pytest.mark.parametrize(
    "other", [{"app_name": "other"}, {"user_id": "other"}, {"session_id": "other"}, {"session_id": None}], ids=str
)
async def test_artifacts_of_other_apps_and_users_are_refused(artifacts, stores, other):
    whose = {**SESSION, **other}

    for ask in (artifacts.load_artifact, artifacts.list_versions, artifacts.delete_artifact):
        with pytest.raises(InputValidationError):
            await ask(**whose, filename="a")
    assert stores.asked == []


@pytest.mark.parametrize(
    ("part", "more"),
    [
        (types.Part(), {}),
        (blob(bytes(16 * 1024 * 1024 + 1)), {}),
        (blob(), {"custom_metadata": {"what": object()}}),
    ],
    ids=["nothing", "too large", "metadata"],
)
async def test_an_artifact_that_cannot_be_stored_is_the_callers_error(artifacts, stores, part, more):
    with pytest.raises(InputValidationError):
        await artifacts.save_artifact(**SESSION, filename="a", artifact=part, **more)

    assert stores.asked == []


async def test_a_refused_save_is_the_callers_error(artifacts, monkeypatch):
    monkeypatch.setattr(MemoryStores, "save_artifact", lambda *_: (_ for _ in ()).throw(Invalid("413: full")))

    with pytest.raises(InputValidationError, match="full"):
        await artifacts.save_artifact(**SESSION, filename="a", artifact=blob())


@pytest.fixture
def session_stores():
    event = {"id": "e1", "author": "user", "content": {"parts": [{"text": "My cat is called Tom."}]}}
    kept = Kept(turns={"earlier": [("1", {"events": [event], "state": {}, "user": {}, "app": {}})]})
    return MemoryStores(kept)


async def test_memory_finds_texts_of_another_session(session_stores):
    found = await Memory(session_stores, "app", "user").search_memory(**OURS, query="the CAT")

    (entry,) = found.memories
    assert (entry.content.parts[0].text, entry.author, entry.id) == ("My cat is called Tom.", "user", "e1")


async def test_a_replayed_search_returns_its_recorded_results(session_stores, start):
    journal = start(MemoryJournal())
    here(AGENT)
    await Memory(session_stores, "app", "user").search_memory(**OURS, query="cat")
    session_stores.shared.turns.clear()

    start(journal.again())

    assert len((await Memory(session_stores, "app", "user").search_memory(**OURS, query="cat")).memories) == 1


async def test_each_search_of_an_agent_is_one_step(session_stores, start):
    journal, memory = start(MemoryJournal()), Memory(session_stores, "app", "user")
    here(AGENT)

    for query in ("cat", "cat", "dog", " "):
        await memory.search_memory(**OURS, query=query)

    assert journal.names == ["value memory", "value memory"]


async def test_tools_can_search_memory_concurrently_in_their_own_event_loops(session_stores, monkeypatch):
    both, search = threading.Barrier(2, timeout=5), MemoryStores.search_memory
    monkeypatch.setattr(MemoryStores, "search_memory", lambda *given: both.wait() + 1 and search(*given))
    memory = Memory(session_stores, "app", "user")
    here(TOOL)

    def ask():
        return asyncio.run(memory.search_memory(**OURS, query="cat"))

    found = await asyncio.gather(asyncio.to_thread(ask), asyncio.to_thread(ask))

    assert [len(one.memories) for one in found] == [1, 1]


async def test_the_memory_of_another_user_is_refused(session_stores):
    with pytest.raises(ValueError, match="belong to this job"):
        await Memory(session_stores, "app", "user").search_memory(app_name="app", user_id="other", query="cat")

    assert session_stores.asked == []
