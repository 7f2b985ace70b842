"""Session, artifacts and memory through the gateway: pages, bytes, secrets, and an unavailable gateway."""

import json
import threading

import httpx
import pytest

from agentjobs import contract
from agentjobs.errors import Fenced, Invalid, Unavailable
from agentjobs_runner.gateway import Gateway
from agentjobs_runner.gateway_stores import GatewayStores
from agentjobs_runner.redaction import Redactor

TURN = {"events": [], "state": {"key": "sk-0123456789abcdef"}, "user": {}, "app": {}}


class Lost(Exception):
    """The supervisor would end the process."""


@pytest.fixture
def make_stores():
    """`make_stores(answer, …)`: stores over a gateway with these answers, the last one repeated; requests: `.calls`."""

    def make(*answers, seconds=None):
        left, now = list(answers), [0.0]

        def handle(request):
            stores.calls.append(request)
            answer = left.pop(0) if len(left) > 1 else left[0]
            return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

        def lost(error):
            raise Lost from error

        client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(handle))

        def sleep(seconds):
            now[0] += seconds

        gateway = Gateway(client, lambda: "token", clock=lambda: now[0], sleep=sleep)
        redactor = Redactor({"MODEL_API_KEY": "sk-0123456789abcdef"})
        signs = []
        stores = GatewayStores(gateway, redactor, lost, lambda: signs.append(1))
        stores.calls, stores.signs = [], signs
        return stores

    return make


def page(events, next_page=None, **more):
    return {"events": events, "state": {}, "user": {}, "app": {}, "turns": 1, "next": next_page} | more


def test_a_session_is_read_in_pages(make_stores):
    stores = make_stores(page([1], "x&y", state={"a": 1}, user={"b": 2}, app={"c": 3}), page([2], "z"), page([3]))

    found = stores.session()

    assert (found.events, found.state, found.user, found.app) == ([1, 2, 3], {"a": 1}, {"b": 2}, {"c": 3})
    assert [call.url.params.get("after") for call in stores.calls] == [None, "x&y", "z"]


def test_secrets_are_sent_as_placeholders_and_restored(make_stores):
    stores = make_stores(httpx.Response(204))
    stores.put_turn(TURN)
    sent = json.loads(stores.calls[0].content)

    found = make_stores(page([], state=sent["state"])).session()

    assert "sk-0123456789abcdef" not in stores.calls[0].content.decode()
    assert found.state == TURN["state"]


@pytest.mark.parametrize(
    ("kept", "said"),
    [("⟦⟧ marks", "⟦ marks"), ("key ⟦MODEL_API_KEY⟧", "key sk-0123456789abcdef"), ("⟦OTHER⟧ ⟦⟧", "⟦OTHER⟧ ⟦⟧")],
)
def test_memory_returns_texts_with_this_pods_secrets_restored(make_stores, kept, said):
    hit = {"id": "e", "session": "s", "author": "user", "time": "2026-01-01T00:00:00Z", "text": kept}

    assert [one["text"] for one in make_stores({"memories": [hit]}).search_memory("marks", 3)] == [said]


def test_a_secret_that_the_pod_lacks_is_reported(make_stores):
    stores = make_stores(httpx.Response(204))
    stores.put_turn(TURN)
    sent = json.loads(stores.calls[0].content.replace(b"MODEL_API_KEY", b"OTHER_API_KEY"))

    with pytest.raises(Invalid, match="OTHER_API_KEY"):
        make_stores(page([], state=sent["state"])).session()


def test_names_of_artifacts_are_read_in_pages(make_stores):
    stores = make_stores({"names": ["a"], "next": "a"}, {"names": ["b"], "next": None})

    assert stores.artifact_names() == ["a", "b"]
    assert [call.url.params.get("after") for call in stores.calls] == [None, "a"]


def test_an_artifact_is_saved_as_bytes_with_separate_metadata(make_stores):
    stores = make_stores({"version": 3})
    save = {"name": "päge\n", "key": "k", "kind": "data", "mime": "image/png", "metadata": {}}

    assert stores.save_artifact(save, b"\x00\xff") == 3
    (call,) = stores.calls
    assert (call.content, json.loads(call.headers[contract.HEADER_ARTIFACT])) == (b"\x00\xff", save)


def test_an_artifact_is_read_with_its_metadata(make_stores):
    told = {"version": 0, "kind": "data", "mime": "", "bytes": 2, "time": "2026-01-01T00:00:00Z", "metadata": {}}
    answer = httpx.Response(200, content=b"\x00\xff", headers={contract.HEADER_ARTIFACT: json.dumps(told)})
    stores = make_stores(answer)

    assert stores.artifact("a/b c", 0) == (told, b"\x00\xff")
    assert dict(stores.calls[0].url.params) == {"name": "a/b c", "version": "0"}


def test_a_missing_artifact_is_none(make_stores):
    stores = make_stores(httpx.Response(404, json={"reason": "NotFound", "message": "no such artifact"}))

    assert stores.artifact("a", None) is None
    assert len(stores.calls) == 1


def test_a_pod_that_is_not_known_yet_retries(make_stores):
    unknown = httpx.Response(404, json={"reason": "UnknownPod", "message": "not yet"})

    assert make_stores(unknown, {"versions": []}).artifact_versions("a") == []


def test_waiting_for_an_unavailable_gateway_does_not_count_as_missing_progress(make_stores):
    stores = make_stores(httpx.Response(503), httpx.Response(503), {"memories": []})

    assert stores.search_memory("cat", 3) == []
    assert (len(stores.calls), len(stores.signs)) == (3, 2)


@pytest.mark.parametrize(("answer", "cause"), [(503, Unavailable), (409, Fenced)])
def test_a_long_outage_or_a_fence_ends_the_start(make_stores, answer, cause):
    with pytest.raises(Lost) as ended:
        make_stores(httpx.Response(answer)).delete_artifact("a")

    assert isinstance(ended.value.__cause__, cause)


@pytest.mark.parametrize("status", [413, 422])
def test_a_refused_request_is_not_retried(make_stores, status):
    stores = make_stores(httpx.Response(status, json={"reason": "No", "message": "full"}))

    with pytest.raises(Invalid, match="full"):
        stores.put_turn(TURN)
    assert len(stores.calls) == 1


def test_a_caller_of_a_fenced_gateway_does_not_continue():
    lost = threading.Event()
    client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(lambda _: httpx.Response(409)))
    stores = GatewayStores(Gateway(client, lambda: "t"), Redactor({}), lambda _: lost.set(), lambda: None)
    waiting = threading.Thread(target=stores.session, daemon=True)

    waiting.start()

    assert lost.wait(5)
    waiting.join(0.05)
    assert waiting.is_alive()
