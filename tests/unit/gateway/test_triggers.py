"""Calls that create jobs: permissions, content, and that each creates one job."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import timedelta
from urllib.parse import quote_plus, urlencode

import httpx
import pytest
from tests.unit.gateway.conftest import NOW, FakeKube

from agentjobs import errors
from agentjobs.contract import ANNOTATION_IDEMPOTENCY_KEY
from agentjobs.gateway.app import create_app
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import GatewayHistory, Services
from agentjobs.gateway.triggers.answering import MAX_BODY_BYTES, SignedCalls
from agentjobs.gateway.triggers.file import Triggers

SECRET = b"a secret of 24 bytes ..."
ISSUE = {"action": "opened", "issue": {"number": 7, "title": "It $(params.x) breaks", "labels": ["bug", None]}}
TRIGGER = {
    "namespace": "default",
    "template": "triage",
    "signature": "GitHub",
    "parameters": {"number": "issue.number", "title": "issue.title", "label": "issue.labels.0", "none": "issue.gone"},
    "when": {"action": ["opened", "reopened"]},
}


class Kube(FakeKube):
    """An API server with jobs."""

    def __init__(self):
        super().__init__()
        self.jobs = {}
        self.answers = []
        self.tokens = []

    async def create(self, resource, namespace, body):
        if resource.kind != "AgentJob":
            return await super().create(resource, namespace, body)
        if self.answers:
            raise self.answers.pop()
        place = namespace, body["metadata"]["name"]
        if place in self.jobs:
            raise errors.AlreadyExists(f"{place} exists")
        self.jobs[place] = body | {"metadata": body["metadata"] | {"uid": f"uid-{len(self.jobs)}"}}
        return self.jobs[place]

    async def get(self, resource, namespace, name):
        return (
            self.jobs[namespace, name] if resource.kind == "AgentJob" else await super().get(resource, namespace, name)
        )

    def client(self, token, impersonation=None):
        self.tokens.append(token)
        return self


@pytest.fixture
def kube():
    return Kube()


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    return file


@pytest.fixture
def open_gateway(history, sessions, files, kube, clock, secret, tmp_path):
    """Open a gateway with these triggers."""

    def build(*triggers):
        file = tmp_path / "triggers.yaml"
        file.write_text(json.dumps({"triggers": [{"secretFiles": [str(secret)], **one} for one in triggers]}))
        signed = SignedCalls(Triggers(file), clock=clock, now=lambda: NOW.timestamp())

        async def check():
            pass

        services = Services(
            lambda cluster: GatewayHistory(
                history, history, sessions, sessions, files, sessions, None, None, None, None, None, None
            ),
            kube,
            metrics=GatewayMetrics(),
            clock=clock,
            callers=kube,
            signed_calls=signed,
        )
        app = create_app(services, check_history=check)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    return build


def github(body, secret=SECRET, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = "sha256=" + hmac.new(secret, content, hashlib.sha256).hexdigest()
    return {"content": content, "headers": {"X-Hub-Signature-256": signature, **headers}}


def slack(content, *, ago=0, secret=SECRET, kind="application/x-www-form-urlencoded"):
    timestamp = str(int(NOW.timestamp()) - ago)
    signature = "v0=" + hmac.new(secret, f"v0:{timestamp}:{content}".encode(), hashlib.sha256).hexdigest()
    headers = {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": timestamp, "Content-Type": kind}
    return {"content": content, "headers": headers}


def standard(body, *, id_="msg_1", ago=0, secrets=(SECRET,)):
    content, timestamp = json.dumps(body).encode(), str(int(NOW.timestamp()) - ago)
    signed = f"{id_}.{timestamp}.".encode() + content
    made = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    headers = {"webhook-id": id_, "webhook-timestamp": timestamp}
    return {"content": content, "headers": headers | {"webhook-signature": " ".join(f"v1,{one}" for one in made)}}


def url(template="triage", namespace="default"):
    return f"/v1/namespaces/{namespace}/triggers/{template}"


async def test_a_signed_call_creates_the_job_of_its_trigger(open_gateway, kube):
    async with open_gateway(TRIGGER) as http:
        answer = await http.post(url(), **github(ISSUE))
    [job] = kube.jobs.values()

    assert (answer.status_code, answer.json()) == (
        201,
        {"job": job["metadata"]["name"], "uid": "uid-0", "created": True},
    )
    assert job["metadata"]["labels"] == {"agentjobs.dev/template": "triage"}
    assert job["spec"]["templateRef"] == {"name": "triage"}
    assert job["spec"]["parameters"] == {"number": "7", "title": "It $(params.x) breaks", "label": "bug"}
    assert (job["spec"]["unique"]["states"], set(job["spec"])) == ("All", {"templateRef", "parameters", "unique"})


async def test_a_trigger_can_delay_its_jobs(open_gateway, kube):
    async with open_gateway(TRIGGER | {"startAfter": "2m"}) as http:
        await http.post(url(), **github(ISSUE))

    [job] = kube.jobs.values()
    assert job["spec"]["startAfter"] == "2m"


async def test_a_repeated_call_returns_its_job(open_gateway, kube):
    async with open_gateway(TRIGGER) as http:
        answers = await asyncio.gather(*(http.post(url(), **github(ISSUE)) for _ in range(5)))
        other = await http.post(url(), **github(ISSUE | {"id": 2}))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert len({(answer.json()["job"], answer.json()["uid"]) for answer in answers}) == 1
    assert (other.status_code, len(kube.jobs)) == (201, 2)


async def recorded(history, created, monkeypatch):
    """Let history have the job of an answer, since five minutes."""
    job = await history.accept()
    key = type(job.key)(created["uid"], "default", created["job"], NOW - timedelta(minutes=5), "brief")
    history.memory.jobs_by_uid = {created["uid"]: job}
    monkeypatch.setattr(job, "key", key)


@pytest.mark.parametrize(("period", "found"), [(None, 200), ("1h", 200), ("10s", 201)])
async def test_a_repeated_call_finds_its_deleted_job_in_history(
    open_gateway, kube, history, period, found, monkeypatch
):
    async with open_gateway(TRIGGER | ({"period": period} if period else {})) as http:
        first = (await http.post(url(), **github(ISSUE))).json()
        kube.jobs.clear()
        await recorded(history, first, monkeypatch)
        answer = await http.post(url(), **github(ISSUE))

    assert (answer.status_code, answer.json()["uid"]) == (found, first["uid"])


async def test_a_job_is_created_while_history_is_unavailable(open_gateway, history):
    history.raises = errors.Unavailable("connection refused")
    async with open_gateway(TRIGGER) as http:
        answer = await http.post(url(), **github(ISSUE))

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(errors.Unavailable("refused"), 503, id="away"),
        pytest.param(errors.TooManyRequests("slow", 7), 503, id="busy"),
        pytest.param(errors.Denied("no role"), 503, id="the-gateway-may-not"),
        pytest.param(errors.NotFound("no namespace"), 404, id="no-namespace"),
        pytest.param(errors.Invalid("bad"), 422, id="refused"),
    ],
)
async def test_a_signed_call_gets_the_api_servers_error(open_gateway, kube, answer, status):
    kube.answers = [answer]
    async with open_gateway(TRIGGER) as http:
        answered = await http.post(url(), **github(ISSUE))
        again = await http.post(url(), **github(ISSUE))

    assert (answered.status_code, again.status_code) == (status, 201)


UNSIGNED = {
    "no-signature": {"content": json.dumps(ISSUE), "headers": {}},
    "forged": github(ISSUE, b"another secret of bytes."),
    "other-body": github(ISSUE) | {"content": b"{}"},
    "odd-signature": {"content": b"{}", "headers": {"X-Hub-Signature-256": "sha256=\u00e9".encode("latin-1")}},
    "sha1": {"content": b"{}", "headers": {"X-Hub-Signature": "sha1=" + hmac.new(SECRET, b"{}", "sha1").hexdigest()}},
    "slack": slack(json.dumps(ISSUE)),
}


@pytest.mark.parametrize("call", UNSIGNED.values(), ids=UNSIGNED)
async def test_a_forged_call_does_not_learn_whether_the_trigger_exists(open_gateway, kube, call):
    async with open_gateway(TRIGGER) as http:
        forged = await http.post(url(), **call)
        unknown = await http.post(url("nothing", "nowhere"), **github(ISSUE))

    assert (forged.status_code, kube.jobs) == (401, {})
    assert (forged.status_code, forged.content, forged.headers) == (
        unknown.status_code,
        unknown.content,
        unknown.headers,
    )


async def test_failures_of_an_address_are_limited_and_valid_calls_are_not_delayed(open_gateway, clock):
    async with open_gateway(TRIGGER) as http:
        forged = [await http.post(url(), **UNSIGNED["forged"]) for _ in range(30)]
        right = await http.post(url(), **github(ISSUE))
        clock.now += 60
        later = await http.post(url(), **UNSIGNED["forged"])

    assert [answer.status_code for answer in forged] == [401] * 20 + [429] * 10
    assert (right.status_code, later.status_code) == (201, 401)


@pytest.mark.parametrize(
    ("call", "status"),
    [
        pytest.param(standard(ISSUE), 201, id="right"),
        pytest.param(standard(ISSUE, ago=299), 201, id="some-minutes-old"),
        pytest.param(standard(ISSUE, ago=301), 401, id="old"),
        pytest.param(standard(ISSUE, ago=-301), 401, id="of-the-future"),
        pytest.param(standard(ISSUE, secrets=[b"another secret of bytes.", SECRET]), 201, id="two-signatures"),
        pytest.param(standard(ISSUE, secrets=[b"another secret of bytes."]), 401, id="forged"),
    ],
)
async def test_a_call_of_standard_webhooks_is_valid_for_five_minutes(open_gateway, call, status):
    async with open_gateway(TRIGGER | {"signature": "StandardWebhooks"}) as http:
        answer = await http.post(url(), **call)

    assert answer.status_code == status


async def test_the_id_of_a_standard_webhook_is_its_idempotency_key(open_gateway, kube):
    async with open_gateway(TRIGGER | {"signature": "StandardWebhooks"}) as http:
        answers = [
            await http.post(url(), **standard(ISSUE, id_=id_, ago=ago)) for id_, ago in (("a", 9), ("a", 1), ("b", 1))
        ]

    assert [answer.status_code for answer in answers] == [201, 200, 201]
    assert kube.jobs["default", answers[0].json()["job"]]["metadata"]["annotations"] == {
        ANNOTATION_IDEMPOTENCY_KEY: "a"
    }


async def test_two_secrets_are_accepted_and_a_changed_one_is_used_immediately(open_gateway, secret, tmp_path):
    second = tmp_path / "second"
    second.write_bytes(b"whsec_" + base64.b64encode(b"the key that comes next."))
    trigger = TRIGGER | {"signature": "StandardWebhooks", "secretFiles": [str(secret), str(second)]}
    async with open_gateway(trigger) as http:
        new = await http.post(url(), **standard(ISSUE, secrets=[b"the key that comes next."]))
        secret.write_bytes(b"somebody typed something")
        old = await http.post(url(), **standard(ISSUE, id_="2"))

    assert (new.status_code, old.status_code) == (201, 401)


@pytest.mark.parametrize("content", [b"", b"short", None], ids=["empty", "short", "no-file"])
async def test_an_invalid_secret_rejects_all_calls(open_gateway, secret, content):
    secret.unlink() if content is None else secret.write_bytes(content)
    async with open_gateway(TRIGGER) as http:
        answers = [await http.post(url(), **github(ISSUE, key)) for key in (content or b"", SECRET)]

    assert [answer.status_code for answer in answers] == [401, 401]


async def test_a_challenge_of_slack_is_answered(open_gateway, kube):
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"})
    async with open_gateway(TRIGGER | {"signature": "Slack"}) as http:
        answer = await http.post(url(), **slack(body, kind="application/json"))
        forged = await http.post(url(), **slack(body, kind="application/json", secret=b"another secret of bytes."))

    assert (answer.status_code, answer.json()) == (200, {"challenge": json.loads(body)["challenge"]})
    assert (forged.status_code, kube.jobs) == (401, {})


@pytest.mark.parametrize("challenge", ['"\\ud800"', "7", "null", '"ä"'])
async def test_an_invalid_challenge_is_400(open_gateway, challenge):
    body = f'{{"type": "url_verification", "challenge": {challenge}}}'
    async with open_gateway(TRIGGER | {"signature": "Slack"}) as http:
        answer = await http.post(url(), **slack(body.replace("ä", "\\u00e4"), kind="application/json"))

    assert answer.status_code == 400


async def test_a_command_of_slack_creates_a_job_and_is_answered_200_with_a_text(open_gateway, kube):
    trigger = TRIGGER | {"signature": "Slack", "parameters": {"text": "text", "user": "user_name"}, "when": {}}
    async with open_gateway(trigger) as http:
        answer = await http.post(
            url(), **slack(urlencode({"command": "/triage", "text": "now & then", "user_name": "ann"}))
        )
    [job] = kube.jobs.values()

    assert (answer.status_code, job["metadata"]["name"] in answer.json()["text"]) == (200, True)
    assert job["spec"]["parameters"] == {"text": "now & then", "user": "ann"}


async def test_json_sent_as_a_form_is_refused_with_the_reason(open_gateway, kube):
    form = github(json.dumps(ISSUE).encode(), **{"Content-Type": "application/x-www-form-urlencoded"})
    async with open_gateway(TRIGGER) as http:
        answer = await http.post(url(), **form)

    assert answer.status_code == 400
    assert "Content-Type" in answer.json()["message"]


async def test_json_in_a_field_of_a_form_is_read(open_gateway, kube):
    form = b"payload=" + quote_plus(json.dumps(ISSUE)).encode()
    async with open_gateway(TRIGGER) as http:
        answer = await http.post(url(), **github(form, **{"Content-Type": "application/x-www-form-urlencoded"}))

    assert answer.status_code == 201
    assert [job["spec"]["parameters"]["number"] for job in kube.jobs.values()] == ["7"]


@pytest.mark.parametrize(
    ("call", "trigger"),
    [
        pytest.param(github(ISSUE | {"action": "closed"}), {}, id="another-value"),
        pytest.param(github({}), {}, id="no-value"),
        pytest.param(github(ISSUE, **{"X-GitHub-Event": "ping"}), {"when": {}}, id="ping"),
        pytest.param(
            github(ISSUE, **{"X-GitHub-Event": "push"}), {"when": {"header:X-GitHub-Event": ["issues"]}}, id="header"
        ),
    ],
)
async def test_other_events_are_answered_200_and_create_no_job(open_gateway, kube, call, trigger):
    async with open_gateway(TRIGGER | trigger) as http:
        answer = await http.post(url(), **call)

    assert (answer.status_code, answer.json(), kube.jobs) == (200, {"ignored": True}, {})


async def test_the_first_trigger_that_matches_an_event_creates_its_job(open_gateway, kube):
    closed = TRIGGER | {"when": {"action": ["closed"]}, "parameters": {"closed": "issue.number"}}
    async with open_gateway(TRIGGER, closed) as http:
        await http.post(url(), **github(ISSUE | {"action": "closed"}))

    assert [job["spec"]["parameters"] for job in kube.jobs.values()] == [{"closed": "7"}]


def titled(title):
    return github(b'{"action": "opened", "issue": {"title": ' + title + b"}}")


MANY = {f"p{number}": "x" * 4096 for number in range(30)}
ALL_OF_MANY = {name: name for name in MANY}


@pytest.mark.parametrize(
    ("call", "trigger"),
    [
        pytest.param(github(b"{"), {}, id="no-json"),
        pytest.param(github(b"[" * 100_000), {}, id="deep"),
        pytest.param(github(b'{"action": NaN}'), {}, id="nan"),
        pytest.param(github(b"\xff\xfe"), {}, id="no-text"),
        pytest.param(github(ISSUE | {"issue": {"title": "x" * 4097}}), {}, id="long-parameter"),
        pytest.param(titled(b'"\\ud800"'), {}, id="half-a-character"),
        pytest.param(titled(b'["\\ud800"]'), {}, id="half-a-character-inside"),
        pytest.param(titled(b'{"\\udfff": 1}'), {}, id="half-a-character-as-key"),
        pytest.param(titled(b'"a\\u0000"'), {}, id="nul"),
        pytest.param(github({"action": "opened"} | MANY), {"parameters": ALL_OF_MANY}, id="more-than-a-spec-has"),
        pytest.param(github(ISSUE), {"idempotencyKey": "delivery.id"}, id="no-key"),
        pytest.param(github(b"a=%ff", **{"Content-Type": "application/x-www-form-urlencoded"}), {}, id="no-form"),
    ],
)
async def test_an_unreadable_signed_call_is_400_and_creates_no_job(open_gateway, kube, call, trigger):
    async with open_gateway(TRIGGER | trigger) as http:
        answer = await http.post(url(), **call)

    assert (answer.status_code, kube.jobs) == (400, {})


async def test_a_too_large_body_is_413(open_gateway, kube):
    async with open_gateway(TRIGGER) as http:
        answer = await http.post(url(), **github(b"x" * (MAX_BODY_BYTES + 1)))

    assert (answer.status_code, kube.jobs) == (413, {})


async def test_numbers_are_passed_on_as_they_were_written(open_gateway, kube):
    body = (
        b'{"action": "opened", "issue": {"number": 123456789012345678901234567890, "title": {"a": [1.10, 1e5, true]}}}'
    )
    async with open_gateway(TRIGGER) as http:
        await http.post(url(), **github(body))
    [parameters] = [job["spec"]["parameters"] for job in kube.jobs.values()]

    assert parameters == {"number": "123456789012345678901234567890", "title": '{"a":[1.10,1e5,true]}'}


@pytest.mark.parametrize("key", ["issue.number", "header:X-GitHub-Delivery"])
async def test_a_trigger_can_define_which_calls_are_equal(open_gateway, key):
    async with open_gateway(TRIGGER | {"idempotencyKey": key}) as http:
        answers = [
            await http.post(url(), **github(body, **{"X-GitHub-Delivery": "d-7"}))
            for body in (ISSUE, ISSUE | {"action": "reopened"})
        ]

    assert [answer.status_code for answer in answers] == [201, 200]


async def test_a_job_of_another_key_with_the_same_name_is_not_returned(open_gateway, kube):
    async with open_gateway(TRIGGER) as http:
        first = (await http.post(url(), **github(ISSUE))).json()
        metadata = kube.jobs["default", first["job"]]["metadata"]
        metadata["annotations"] = {ANNOTATION_IDEMPOTENCY_KEY: "another"}
        second, third = [await http.post(url(), **github(ISSUE)) for _ in range(2)]

    assert (second.status_code, third.status_code) == (201, 200)
    assert second.json()["job"] == third.json()["job"] != first["job"]


async def test_names_of_jobs_of_long_template_names_are_valid(open_gateway):
    template = "a-rather.long-name-of-a-template-with-points.and-dashes-x"
    async with open_gateway(TRIGGER | {"template": template}) as http:
        answer = await http.post(url(template), **github(ISSUE))

    assert (answer.status_code, len(answer.json()["job"]) <= 52, "." in answer.json()["job"]) == (201, True, False)


CREATE = {("create", "default", "")}


@pytest.fixture
def ann(kube):
    """Headers of a user who may make jobs."""
    kube.add_user("anns", "ann", may=CREATE)
    return {"Authorization": "Bearer anns"}


async def test_a_user_creates_a_job_with_their_own_token(open_gateway, kube, ann):
    body = {"parameters": {"number": "$(x)"}, "input": {"message": "Look at $(params.number)."}, "name": "mine"}
    async with open_gateway() as http:
        answer = await http.post(url(), json=body, headers=ann)

    assert (answer.status_code, answer.json()) == (201, {"job": "mine", "uid": "uid-0", "created": True})
    assert kube.tokens == ["anns"]
    assert kube.jobs["default", "mine"]["spec"] == {
        "templateRef": {"name": "triage"},
        "parameters": {"number": "$(x)"},
        "input": {"message": "Look at $(params.number)."},
    }


async def test_a_users_call_without_a_key_creates_a_job_each_time(open_gateway, kube, ann):
    async with open_gateway() as http:
        answers = [await http.post(url(), headers=ann) for _ in range(2)]

    assert ([answer.status_code for answer in answers], len(kube.jobs)) == ([201, 201], 2)


async def test_a_users_call_with_a_key_creates_one_job(open_gateway, kube, ann):
    async with open_gateway() as http:
        answers = [await http.post(url(), json={"idempotencyKey": "order-7"}, headers=ann) for _ in range(2)]

    assert ([answer.status_code for answer in answers], len(kube.jobs)) == ([201, 200], 1)


@pytest.mark.parametrize(("may_read", "status"), [(True, 200), (False, 403)])
async def test_a_users_call_finds_its_job_in_history_when_the_object_is_gone(
    open_gateway, kube, ann, history, monkeypatch, may_read, status
):
    call = {"json": {"idempotencyKey": "order-7"}, "headers": ann}
    async with open_gateway() as http:
        first = (await http.post(url(), **call)).json()
        kube.jobs.clear()
        kube.add_user("anns", "ann", may=CREATE | ({("get", "default", first["job"])} if may_read else set()))
        await recorded(history, first, monkeypatch)
        answer = await http.post(url(), **call)
        named = await http.post(url(), **(call | {"json": call["json"] | {"name": first["job"]}}))

    assert (answer.status_code, named.status_code) == (status, 201)
    assert not may_read or answer.json() == first | {"created": False}


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        pytest.param(errors.Unauthenticated("expired"), 401, "Unauthorized", id="token"),
        pytest.param(errors.Denied("no role"), 403, "Forbidden", id="right"),
        pytest.param(errors.NotFound("no namespace"), 404, "NotFound", id="namespace"),
        pytest.param(errors.Invalid("bad"), 422, "Invalid", id="content"),
        pytest.param(errors.AlreadyExists("there"), 409, "AlreadyExists", id="name"),
        pytest.param(errors.Unavailable("away"), 503, "Unavailable", id="away"),
    ],
)
async def test_the_api_servers_error_is_passed_on_to_the_caller(open_gateway, kube, ann, said, status, reason):
    kube.answers = [said]
    async with open_gateway() as http:
        answer = await http.post(url(), json={"name": "mine"}, headers=ann)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize(("token", "status"), [("nobodys", 401), ("bobs", 403)], ids=["unknown", "without-the-right"])
async def test_a_signature_does_not_replace_the_permission_of_a_token(open_gateway, kube, token, status):
    kube.add_user("bobs", "bob", may={("get", "default", "")})
    async with open_gateway(TRIGGER) as http:
        call = github(ISSUE, Authorization=f"Bearer {token}")
        answer = await http.post(url(), **call)

    assert (answer.status_code, kube.jobs) == (status, {})


@pytest.mark.parametrize(
    "body",
    [
        {"parameters": {"n": 7}},
        {"parameters": {"a b": "x"}},
        {"parameters": {"n": "x" * 4097}},
        {"queue": "critical"},
        {"input": {"message": "x", "files": []}},
        {"idempotencyKey": ""},
        [],
    ],
    ids=["number", "name", "long", "field", "input", "key", "list"],
)
async def test_the_body_of_a_users_call_can_contain_only_parameters(open_gateway, kube, ann, body):
    async with open_gateway() as http:
        answer = await http.post(url(), json=body, headers=ann)

    assert (400 <= answer.status_code < 423, kube.jobs) == (True, {})
