"""Kept files through the gateway: parts, retries, an unavailable gateway, and a fenced pod."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from agentjobs import contract
from agentjobs.errors import Fenced, Invalid, TooLarge
from agentjobs_runner.gateway import Gateway
from agentjobs_runner.gateway_stores import GatewayStores
from agentjobs_runner.redaction import Redactor

PART = contract.MAX_KEPT_PART_BYTES
NAME = "claude-code/session.jsonl"


class Lost(Exception):
    """The supervisor would end the process."""


class KeptFiles:
    """The gateway's side, with answers instead of some of its own: `fails` has one for each next request."""

    def __init__(self):
        self.content = {}
        self.asked = []
        self.fails = []
        self.now = 0.0
        self.start_another()

    def start_another(self):
        """As a container does that follows another, or a runner that its pod is given twice."""
        client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(self.answer))
        gateway = Gateway(client, lambda: "token", clock=lambda: self.now, sleep=self.sleep)
        stores = GatewayStores(gateway, Redactor({}), self.lost, lambda: None)
        self.kept = stores.kept

    def answer(self, request):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(str(request.url)).query).items()}
        self.asked.append((request.method, asked))
        if self.fails and (failure := self.fails.pop(0)):
            return failure
        name, offset = asked.get("name"), int(asked.get("offset", 0))
        if request.method == "DELETE":
            self.content.pop(name, None)
            return httpx.Response(204)
        if request.method == "PUT":
            assert len(request.content) <= PART
            self.content[name] = self.content.get(name, b"")[:offset] + request.content
            return httpx.Response(204)
        if request.url.path == contract.PATH_KEPT:
            return httpx.Response(200, json={"files": [{"name": n, "bytes": len(c)} for n, c in self.content.items()]})
        if name not in self.content:
            return httpx.Response(404, json={"reason": "NotFound", "message": "There is no such kept file."})
        return httpx.Response(200, content=self.content[name][offset : offset + PART])

    def sleep(self, seconds):
        self.now += seconds

    def lost(self, error):
        raise Lost from error


@pytest.fixture
def gateway():
    return KeptFiles()


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART])
def test_a_file_of_any_size_is_read_unchanged(gateway, size):
    content = bytes(range(251)) * (size // 251 + 1)

    gateway.kept.write(NAME, content[:size])

    assert (gateway.kept.read(NAME), gateway.kept.files()) == (content[:size], {NAME: size})


def test_only_appended_bytes_are_sent(gateway):
    gateway.kept.write(NAME, b"one\n")
    gateway.kept.write(NAME, b"two\n", offset=4)

    assert [asked["offset"] for _, asked in gateway.asked] == ["0", "4"]
    assert gateway.content[NAME] == b"one\ntwo\n"


def test_an_empty_write_truncates_the_file(gateway):
    gateway.kept.write(NAME, b"one\n")

    gateway.kept.write(NAME, b"", offset=1)

    assert gateway.content[NAME] == b"o"


def test_the_list_of_kept_files_can_be_empty(gateway):
    assert (gateway.kept.read(NAME), gateway.kept.files()) == (None, {})


def test_a_retry_has_the_number_of_its_write_and_each_write_has_a_higher_one(gateway):
    gateway.fails = [None, httpx.Response(503), httpx.Response(429, headers={"Retry-After": "2"})]

    gateway.kept.write(NAME, b"x" * (PART + 1))
    gateway.kept.write("other", b"x")

    first = int(gateway.asked[0][1]["write"])
    assert [int(asked["write"]) - first for _, asked in gateway.asked] == [0, 1, 1, 1, 2]
    assert len(gateway.content[NAME]) == PART + 1
    assert gateway.now >= 2


def test_the_next_process_of_a_start_continues_with_higher_numbers(gateway):
    for _ in range(3):
        gateway.kept.write(NAME, b"x")

    gateway.start_another()
    gateway.kept.write(NAME, b"y")
    gateway.kept.delete(NAME)

    numbers = [int(asked["write"]) for _, asked in gateway.asked]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 2**53  # what the gateway takes


@pytest.mark.parametrize(("status", "error"), [(422, Invalid), (413, TooLarge)])
def test_a_refused_write_is_reported(gateway, status, error):
    gateway.fails = [httpx.Response(status, json={"reason": "x", "message": "y"})]

    with pytest.raises(error):
        gateway.kept.write(NAME, b"x")


def test_a_pod_that_lost_its_start_ends(gateway):
    gateway.fails = [httpx.Response(409, json={"reason": "Fenced", "message": "Another pod holds it."})]

    with pytest.raises(Lost) as lost:
        gateway.kept.write(NAME, b"x")

    assert isinstance(lost.value.__cause__, Fenced)


def test_a_long_outage_of_the_gateway_ends_the_start(gateway):
    gateway.fails = [httpx.Response(503)] * 1000

    with pytest.raises(Lost):
        gateway.kept.read(NAME)

    assert gateway.now <= contract.GATEWAY_TIMEOUT_SECONDS
