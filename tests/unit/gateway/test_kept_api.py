"""What a runner meets that keeps files for later starts, also a hostile one."""

import asyncio

import pytest

from agentjobs import contract
from agentjobs.gateway import limits

AS_RUNNER = {"Authorization": "Bearer t"}
LIST, FILE = contract.PATH_KEPT, contract.PATH_KEPT_CONTENT
NAME = "claude-code/session.jsonl"


@pytest.fixture(autouse=True)
async def _runner(kube, history):
    kube.add_runner("t", job="hello", start=2, uid="u1", pod_uid="p1")
    await history.accept(start=2)


@pytest.fixture
def put(http):
    """Writes a part of a file."""

    async def write(content, *, headers=AS_RUNNER, **asked):
        return await http.put(FILE, params={"name": NAME} | asked, headers=headers, content=content)

    return write


async def test_a_file_is_written_in_parts_listed_read_and_deleted(http, put):
    written = [(await put(b"one\n")).status_code, (await put(b"two\n", offset=4)).status_code]

    told = (await http.get(LIST, headers=AS_RUNNER)).json()
    read = await http.get(FILE, params={"name": NAME, "offset": 2}, headers=AS_RUNNER)
    gone = await http.delete(FILE, params={"name": NAME}, headers=AS_RUNNER)

    assert (written, gone.status_code) == ([204, 204], 204)
    assert (told, read.content) == ({"files": [{"name": NAME, "bytes": 8}]}, b"e\ntwo\n")
    assert (read.headers["content-type"], read.headers["content-disposition"]) == (
        "application/octet-stream",
        "attachment",
    )
    assert (await http.get(LIST, headers=AS_RUNNER)).json() == {"files": []}


async def test_a_missing_file_is_not_found(http):
    answer = await http.get(FILE, params={"name": NAME}, headers=AS_RUNNER)

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


async def test_a_late_write_changes_nothing(http, put):
    await put(b"one", write=1)
    await put(b"two", offset=3, write=2)

    assert (await put(b"one", write=1)).status_code == 204
    assert (await http.get(FILE, params={"name": NAME}, headers=AS_RUNNER)).content == b"onetwo"


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "a\0b", "ä", "a\x7f"])
async def test_an_invalid_file_name_is_refused(put, http, name):
    assert (await put(b"x", name=name)).status_code == 400
    assert (await http.get(LIST, headers=AS_RUNNER)).json() == {"files": []}


@pytest.mark.parametrize("offset", ["-1", "x", "", str(2**80), "1.5"])
async def test_an_invalid_offset_is_refused(put, offset):
    assert (await put(b"x", offset=offset)).status_code == 400


async def test_an_offset_beyond_the_end_is_refused_and_changes_nothing(http, put):
    await put(b"one")

    assert (await put(b"x", offset=4)).status_code == 422
    assert (await http.get(LIST, headers=AS_RUNNER)).json()["files"][0]["bytes"] == 3


async def test_a_part_above_the_limit_is_refused_and_changes_nothing(http, put):
    most = contract.MAX_KEPT_PART_BYTES

    assert ((await put(b"x" * most)).status_code, (await put(b"x" * (most + 1))).status_code) == (204, 413)
    assert (await http.get(LIST, headers=AS_RUNNER)).json()["files"][0]["bytes"] == most


async def test_a_file_above_the_limit_of_a_run_is_too_large(put, monkeypatch):
    monkeypatch.setattr("agentjobs.history.kept.MAX_KEPT_BYTES", 10)

    answer = await put(b"x" * 11)

    assert (answer.status_code, answer.json()["reason"]) == (413, "TooLarge")


async def test_a_pod_that_lost_its_start_is_fenced(put, history):
    history.memory.jobs_by_uid["u1"].starts[2].fenced = history.memory.now()

    answer = await put(b"x")

    assert (answer.status_code, answer.json()["reason"]) == (409, "Fenced")


async def test_a_caller_that_is_not_a_runner_cannot_write(put):
    assert (await put(b"x", headers={"Authorization": "Bearer other"})).status_code == 401


async def test_rate_limiting_of_kept_files_does_not_affect_steps(app, http, put):
    parts = int(limits.BURST / (contract.MAX_KEPT_PART_BYTES / limits.REQUEST_BYTES)) + 1
    answers = [await put(b"x" * contract.MAX_KEPT_PART_BYTES) for _ in range(parts + 1)]

    assert [answer.status_code for answer in answers].count(429) >= 1
    assert int(answers[-1].headers["retry-after"]) >= 1
    events = {"events": []}
    assert (await http.post(contract.PATH_EVENTS, headers=AS_RUNNER, json=events)).status_code == 204


async def test_kept_files_of_many_pods_do_not_prevent_steps_of_others(http, kube, history):
    arrived, size = asyncio.Event(), contract.MAX_KEPT_PART_BYTES
    for number in range(40):
        kube.add_runner(f"t{number}", job=f"job-{number}", start=1, uid=f"uid-{number}", pod_uid=f"pod-{number}")

    async def slowly():
        await arrived.wait()
        yield b"x"

    async def keep(number):
        headers = {"Authorization": f"Bearer t{number}", "Content-Length": str(size)}
        return await http.put(FILE, params={"name": NAME}, headers=headers, content=slowly())

    sending = [asyncio.create_task(keep(number)) for number in range(40)]
    await asyncio.sleep(0.05)

    async with asyncio.timeout(2):  # shorter than the time that others wait for room
        answer = await http.post(contract.PATH_EVENTS, headers=AS_RUNNER, json={"events": []})
    arrived.set()
    await asyncio.gather(*sending)

    assert answer.status_code == 204


async def test_a_slow_upload_of_a_file_does_not_delay_steps_of_its_job(http, put):
    arrived = asyncio.Event()

    async def slowly():
        yield b"one"
        await arrived.wait()

    sending = asyncio.create_task(put(slowly()))
    await asyncio.sleep(0)

    answer = await http.post(contract.PATH_EVENTS, headers=AS_RUNNER, json={"events": []})
    arrived.set()

    assert (answer.status_code, (await sending).status_code) == (204, 204)
