"""Files that a start keeps for later ones: the content after writes, permission to write, and limits."""

import asyncio
import random

import pytest
from tests.integration.history.runner_calls import a_document, a_result

from agentjobs import errors
from agentjobs.contract import MAX_KEPT_PART_BYTES
from agentjobs.history.kept import MERGED_BYTES, Write
from agentjobs.history.records import Acceptance

NAME = "claude-code/session.jsonl"


class Pod:
    """A pod that holds a start of a job."""

    def __init__(self, backend, build, start=1):
        self._backend, self._build = backend, build
        self.who = (build.uid, start, f"pod-{build.uid}-{start}")

    async def claim(self):
        uid, start, pod = self.who
        return await self._backend.gateway.claim(uid, start, pod, **self._build.place)

    async def write(self, data, offset=0, *, name=NAME, number=None):
        await self._backend.files.write(*self.who, Write(name, offset, data, number))

    async def read(self, name=NAME):
        whole = b""
        while (part := await self._backend.files.part(*self.who, name, len(whole))) is not None:
            whole += part
            if len(part) < MAX_KEPT_PART_BYTES:
                return whole
        return None

    async def files(self):
        return {file["name"]: file["bytes"] for file in await self._backend.files.files(*self.who)}

    async def delete(self, name=NAME, number=None):
        await self._backend.files.delete(*self.who, name, number)

    async def next(self, *, attempt=1):
        """The pod of the start that follows."""
        start = self.who[1]
        await self._backend.operator.write([self._build.start(start + 1, attempt=attempt)])
        pod = Pod(self._backend, self._build, start + 1)
        await pod.claim()
        return pod


@pytest.fixture
def a_pod(backend, a_job):
    """Makes the pod of a new job's first start."""

    async def make(uid="uid-1", **spec):
        build = a_job(uid, name=f"job-{uid}")
        await backend.operator.accept(Acceptance(build.job(**spec), build.start(1)))
        pod = Pod(backend, build)
        await pod.claim()
        return pod

    return make


@pytest.fixture
async def pod(a_pod):
    return await a_pod()


async def test_a_file_grows_with_each_write_and_a_later_start_reads_all_of_it(pod):
    for line, offset in ((b"one\n", 0), (b"two\n", 4), (b"three\n", 8)):
        await pod.write(line, offset)

    later = await pod.next()

    assert (await later.read(), await later.files()) == (b"one\ntwo\nthree\n", {NAME: 14})


async def test_a_repeated_write_changes_nothing(pod):
    await pod.write(b"one\n")
    await pod.write(b"two\n", 4)

    await pod.write(b"two\n", 4)

    assert await pod.read() == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("data", "offset", "left"),
    [
        pytest.param(b"", 0, b"", id="all"),
        pytest.param(b"", 3, b"012", id="cut"),
        pytest.param(b"x", 3, b"012x", id="cut-and-go-on"),
        pytest.param(b"x" * 20, 9, b"012345678" + b"x" * 20, id="over-the-end"),
        pytest.param(b"anew", 0, b"anew", id="rewritten"),
    ],
)
async def test_a_write_truncates_the_file_at_its_end(pod, data, offset, left):
    await pod.write(b"01234")
    await pod.write(b"56789", 5)

    await pod.write(data, offset)

    assert (await pod.read(), await pod.files()) == (left, {NAME: len(left)})


async def test_a_write_beyond_the_end_of_a_file_is_refused(pod):
    await pod.write(b"one")

    for name, offset in ((NAME, 4), ("there-is-none", 1)):
        with pytest.raises(errors.Invalid):
            await pod.write(b"x", offset, name=name)

    assert await pod.files() == {NAME: 3}


async def test_an_empty_file_exists_and_a_missing_file_does_not(pod):
    await pod.write(b"")

    assert (await pod.read(), await pod.read("other"), await pod.files()) == (b"", None, {NAME: 0})


@pytest.mark.parametrize("size", [MERGED_BYTES, MAX_KEPT_PART_BYTES, MAX_KEPT_PART_BYTES + 1, 2 * MAX_KEPT_PART_BYTES])
async def test_bytes_are_read_unchanged(pod, size):
    data = random.Random(size).randbytes(size)
    for offset in range(0, size, MAX_KEPT_PART_BYTES):
        await pod.write(data[offset : offset + MAX_KEPT_PART_BYTES], offset)

    assert await pod.read() == data


@pytest.mark.parametrize("seed", range(4))
async def test_a_kept_file_has_the_content_of_all_its_writes(backend, pod, seed):
    choose, model = random.Random(seed), b""
    for _ in range(40):
        offset = choose.choice([0, len(model), choose.randint(0, len(model)), max(0, len(model) - 3)])
        data = choose.randbytes(choose.choice([0, 1, 100, MERGED_BYTES - 1, MERGED_BYTES, 3 * MERGED_BYTES]))
        await pod.write(data, offset)
        model = model[:offset] + data

    begin = choose.randint(0, len(model))
    assert await pod.read() == model
    assert await backend.files.part(*pod.who, NAME, begin) == model[begin : begin + MAX_KEPT_PART_BYTES]


async def test_parts_written_before_a_crash_are_kept(pod):
    await pod.write(b"the session of before")
    await pod.write(b"x" * 100)

    later = await pod.next()

    assert await later.read() == b"x" * 100


async def test_an_abandoned_write_does_not_undo_a_later_one(pod):
    await pod.write(b"one\n", number=1)
    await pod.write(b"two\n", 4, number=2)

    await pod.write(b"one\n", number=1)
    await pod.delete(number=1)

    assert await pod.read() == b"one\ntwo\n"


async def test_numbers_of_writes_restart_with_each_start(pod):
    await pod.write(b"one\n", number=700)
    later = await pod.next()

    await later.write(b"two\n", 4, number=1)
    await later.write(b"three\n", 8)
    await later.write(b"anew", 0, number=2)

    assert await later.read() == b"anew"


async def test_a_deleted_file_can_be_written_from_the_beginning(pod):
    await pod.write(b"one", number=1)
    await pod.write(b"other", name="other")

    await pod.delete(number=2)
    await pod.delete("there-is-none")

    assert (await pod.read(), await pod.files()) == (None, {"other": 5})
    await pod.write(b"two", number=3)
    assert await pod.read() == b"two"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/", "a//b", "..", " ", "%00", "'; DROP TABLE agentjobs.kept_files; --", "~" * 200]
)
async def test_a_name_is_not_a_path(pod, name):
    await pod.write(b"neighbour", name="a")

    await pod.write(b"mine", name=name)

    assert (await pod.read(name), await pod.read("a")) == (b"mine", b"neighbour")


async def test_a_pod_that_lost_its_start_can_neither_read_nor_write(pod):
    await pod.write(b"one")
    later = await pod.next()

    for call in (pod.write(b"old", 3), pod.delete(), pod.read(), pod.files()):
        with pytest.raises(errors.Fenced):
            await call

    assert await later.read() == b"one"


async def test_another_pod_of_the_same_start_can_neither_read_nor_write(pod):
    await pod.write(b"one")
    pod.who = (*pod.who[:2], "pod-of-somebody")

    for call in (pod.write(b"theirs"), pod.delete(), pod.read(), pod.files()):
        with pytest.raises(errors.Fenced):
            await call


async def test_a_new_run_finds_no_files_and_writes_its_own(a_pod):
    pod = await a_pod(retry={"maxAttempts": 3, "resume": "FromStart"})
    await pod.write(b"old")

    anew = await pod.next(attempt=2)

    assert (await anew.read(), await anew.files()) == (None, {})
    await anew.write(b"new")
    assert await (await anew.next(attempt=2)).read() == b"new"


async def test_a_start_of_an_answered_job_finds_the_files_of_the_answer(backend, a_pod):
    pod = await a_pod(retry={"maxAttempts": 3, "resume": "FromStart"}, steps={"checkpoint": "None"})
    await pod.write(b"what the agent made")
    await backend.gateway.put_result(*pod.who, a_document(a_result()))

    third = await (await pod.next(attempt=2)).next(attempt=3)

    told = await third.claim()
    assert (told["result"], told["journal"]["run"]) == (a_result(), 1)
    assert await third.read() == b"what the agent made"


async def test_a_job_cannot_read_files_of_another_job(a_pod):
    first, second = await a_pod("uid-1"), await a_pod("uid-2")
    await first.write(b"mine")

    await second.delete()

    assert (await second.read(), await second.files(), await first.read()) == (None, {}, b"mine")


async def test_the_number_of_kept_files_of_a_run_is_limited(pod, monkeypatch):
    monkeypatch.setattr("agentjobs.history.kept.MAX_KEPT_FILES", 2)
    for name in ("a", "b"):
        await pod.write(b"x", name=name)

    with pytest.raises(errors.TooLarge):
        await pod.write(b"x", name="c")

    await pod.write(b"more", 1, name="a")
    await pod.delete("a")
    await pod.write(b"x", name="c")
    assert await pod.files() == {"b": 1, "c": 1}


async def test_the_size_of_kept_files_of_a_run_is_limited(pod, monkeypatch):
    monkeypatch.setattr("agentjobs.history.kept.MAX_KEPT_BYTES", 10)
    await pod.write(b"12345", name="a")
    await pod.write(b"12345", name="b")

    for offset, name in ((5, "a"), (0, "c")):
        with pytest.raises(errors.TooLarge):
            await pod.write(b"x", offset, name=name)

    await pod.write(b"123", name="a")
    await pod.write(b"45", 5, name="b")
    assert await pod.files() == {"a": 3, "b": 7}


async def test_many_simultaneous_writes_respect_the_limits_and_lose_nothing(pod, monkeypatch):
    monkeypatch.setattr("agentjobs.history.kept.MAX_KEPT_FILES", 3)
    writes = [pod.write(b"x", name=f"file-{number}") for number in range(8)]

    ended = await asyncio.gather(*writes, return_exceptions=True)

    assert [type(one) for one in ended if one].count(errors.TooLarge) == 5
    assert len(await pod.files()) == 3
