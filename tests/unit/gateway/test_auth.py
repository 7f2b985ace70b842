"""Who a token is, on an API server of a few lines."""

import base64
import json
from decimal import Decimal

import pytest

from agentjobs import errors
from agentjobs.auth import (
    CACHE_SECONDS,
    DEFAULT_BUDGET,
    REFUSED_SECONDS,
    RUNNER_CACHE_SECONDS,
    Authenticator,
    RunnerIdentity,
)
from agentjobs.contract import ANNOTATION_BUDGET, LABEL_JOB, LABEL_QUEUE
from agentjobs.models.budget import Limits
from agentjobs.problem import Problem
from agentjobs.tokens import credentials_of


async def test_a_pod_bound_token_identifies_the_start_of_its_pod(kube, authenticator):
    kube.add_runner("t", namespace="docs", job="hello", start=3, uid="u1", pod_uid="p1")

    runner = await authenticator.runner("Bearer t")

    assert runner == RunnerIdentity(namespace="docs", job="hello", uid="u1", start=3, pod="hello-3", pod_uid="p1")


@pytest.mark.parametrize(
    "header",
    [None, "", "Basic dDp0", "Bearer", "Bearer   ", "Bearer a\x00b", "Bearer ü", "Bearer " + "x" * 20_000],
    ids=["none", "empty", "basic", "no-token", "blank", "nul", "not-ascii", "huge"],
)
async def test_a_malformed_bearer_token_is_401_without_a_review(kube, authenticator, header):
    with pytest.raises(Problem) as refused:
        await authenticator.runner(header)

    assert (refused.value.status, refused.value.reason, kube.asked) == (401, "Unauthorized", [])


@pytest.mark.parametrize("authorization", ["Bearer unknown", "Bearer of-a-user", "Bearer deaf"])
async def test_an_unknown_token_and_one_for_another_audience_are_401(kube, authenticator, authorization):
    kube.add_user("of-a-user", "ada")
    kube.add_runner("deaf", job="hello", start=1)
    kube.reviews["deaf"]["audiences"] = ["https://kubernetes.default.svc"]

    with pytest.raises(Problem) as refused:
        await authenticator.runner(authorization)

    assert refused.value.status == 401
    assert "agentjobs-gateway" in refused.value.message


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ownerReferences": []}, id="no-owner"),
        pytest.param({"owner": {"kind": "Job", "apiVersion": "batch/v1"}}, id="a-batch-job"),
        pytest.param({"owner": {"apiVersion": "agentjobs.example/v1"}}, id="other-group"),
        pytest.param({"owner": {"controller": False}}, id="not-its-controller"),
        pytest.param({"owner": {"name": "other"}}, id="name-of-another-job"),
        pytest.param({"labels": {}}, id="no-label"),
        pytest.param({"uid": "another"}, id="another-pod-of-that-name"),
        pytest.param({"gone": True}, id="pod-gone"),
    ],
)
async def test_a_pod_that_is_not_a_runner_is_403(kube, authenticator, changes):
    kube.add_runner("t", job="hello", start=1)
    kube.spoil("hello-1", **changes)

    with pytest.raises(Problem) as refused:
        await authenticator.runner("Bearer t")

    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")


@pytest.mark.parametrize("pod", ["hello", "hello-0", "hello-01", "hello-x", "hello-1-2", "other-1"])
async def test_a_pod_not_named_after_a_start_is_403(kube, authenticator, pod):
    kube.add_runner("t", job="hello", start=1, pod=pod)

    with pytest.raises(Problem) as refused:
        await authenticator.runner("Bearer t")

    assert refused.value.status == 403


async def test_a_service_account_token_without_a_pod_is_403(kube, authenticator):
    kube.add_runner("t", job="hello", start=1)
    kube.reviews["t"]["user"]["extra"] = {}

    with pytest.raises(Problem) as refused:
        await authenticator.runner("Bearer t")

    assert refused.value.status == 403


NOW = 1_800_000_000.0


def token_until(end):
    """A token as service accounts have it, or one without an end that could be read."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
    return "opaque" if end is None else f"x.{claims}.x"


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        (NOW + 3600, RUNNER_CACHE_SECONDS),
        (NOW + 300, 300),
        (None, CACHE_SECONDS),
        ("x", CACHE_SECONDS),
    ],
)
async def test_a_runner_is_cached_until_its_token_expires(kube, clock, end, seconds):
    authenticator, token = Authenticator(kube, clock=clock, now=lambda: NOW), token_until(end)
    kube.add_runner(token, job="hello", start=1)
    kube.pods["default", "hello-1"]["status"] = {"podIP": "10.1.0.7"}
    await authenticator.runner(f"Bearer {token}", "10.1.0.7")

    clock.now += seconds - 1
    await authenticator.runner(f"Bearer {token}", "10.1.0.7")
    remembered = len(kube.asked)
    clock.now += 1
    await authenticator.runner(f"Bearer {token}", "10.1.0.7")

    assert (remembered, len(kube.asked)) == (2, 4)


async def test_a_refusal_is_cached_only_briefly(kube, authenticator, clock):
    for _ in range(3):
        with pytest.raises(Problem):
            await authenticator.runner("Bearer t")
    kube.add_runner("t", job="hello", start=1)
    clock.now += REFUSED_SECONDS

    assert (await authenticator.runner("Bearer t")).start == 1
    assert len(kube.asked) == 3


async def test_an_outage_is_not_cached(kube, authenticator):
    kube.add_runner("t", job="hello", start=1)
    kube.away = True
    with pytest.raises(errors.Unavailable):
        await authenticator.runner("Bearer t")

    kube.away = False

    assert (await authenticator.runner("Bearer t")).job == "hello"


async def test_the_cache_is_bounded_and_contains_no_tokens(kube, clock):
    authenticator = Authenticator(kube, clock=clock)
    for number in range(9000):
        with pytest.raises(Problem):
            await authenticator.runner(f"Bearer secret-{number}")

    assert len(authenticator._runners) == 8192
    assert "secret" not in str(authenticator._runners._entries)


async def test_a_user_can_read_what_an_access_review_allows(kube, authenticator):
    kube.add_user("t", "ada", may={("list", "docs", "")})

    user = await authenticator.user("Bearer t", verb="list", namespace="docs")

    assert (user.name, user.groups) == ("ada", ("system:authenticated",))


@pytest.mark.parametrize(
    ("verb", "namespace", "name"), [("get", "docs", ""), ("list", "other", ""), ("list", "docs", "hello")]
)
async def test_a_user_can_do_nothing_that_an_access_review_denies(kube, authenticator, verb, namespace, name):
    kube.add_user("t", "ada", may={("list", "docs", "")})

    with pytest.raises(Problem, match="'ada' may not") as refused:
        await authenticator.user("Bearer t", verb=verb, namespace=namespace, name=name)

    assert refused.value.status == 403


async def test_a_runners_token_is_refused_for_users(kube, authenticator):
    kube.add_runner("t", job="hello", start=1)

    with pytest.raises(Problem) as refused:
        await authenticator.user("Bearer t", verb="list", namespace="docs")

    assert refused.value.status == 401


@pytest.mark.parametrize("audience", ["agentjobs-gateway", ["x", "agentjobs-gateway"]])
async def test_a_runners_token_is_refused_for_users_even_if_the_api_server_has_our_audience(
    kube, authenticator, audience
):
    claims = base64.urlsafe_b64encode(json.dumps({"aud": audience}).encode()).decode().rstrip("=")
    kube.add_user(f"x.{claims}.x", "ada", may={("list", "docs", "")})

    with pytest.raises(Problem, match="a runner's token") as refused:
        await authenticator.user(f"Bearer x.{claims}.x", verb="list", namespace="docs")

    assert refused.value.status == 401


@pytest.mark.parametrize(("left", "asked"), [(10, 2), (1000, 1)], ids=["ends-soon", "lives"])
async def test_a_user_is_not_cached_beyond_the_tokens_expiry(kube, clock, left, asked):
    authenticator, token = Authenticator(kube, clock=clock, now=lambda: NOW), token_until(NOW + left)
    kube.add_user(token, "ada")
    await authenticator.identify_user(f"Bearer {token}")

    clock.now += 11
    await authenticator.identify_user(f"Bearer {token}")

    assert kube.asked.count("TokenReview") == asked


@pytest.mark.parametrize(
    ("status", "address"),
    [
        pytest.param({"podIP": "10.1.0.7"}, "10.1.0.7", id="its-own"),
        pytest.param({"podIP": "10.1.0.7"}, "::ffff:10.1.0.7", id="as-seen-by-an-ipv6-socket"),
        pytest.param({"podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}, {"ip": "fd00:0::7"}]}, "fd00::7", id="dual"),
        pytest.param({}, "10.9.9.9", id="not-reported-yet"),
    ],
)
async def test_a_runner_is_accepted_only_from_its_pods_address(kube, authenticator, status, address):
    kube.add_runner("t", job="hello", start=1)
    kube.pods["default", "hello-1"]["status"] = status

    assert (await authenticator.runner("Bearer t", address)).pod == "hello-1"


@pytest.mark.parametrize("address", ["10.1.0.8", "127.0.0.1", "", None, "nonsense"])
async def test_a_stolen_token_is_403_from_another_address_even_while_its_owner_uses_it(kube, authenticator, address):
    kube.add_runner("t", job="hello", start=1)
    kube.pods["default", "hello-1"]["status"] = {"podIP": "10.1.0.7"}
    await authenticator.runner("Bearer t", "10.1.0.7")

    with pytest.raises(Problem) as refused:
        await authenticator.runner("Bearer t", address)

    assert (refused.value.status, "AGENTJOBS_CHECK_ADDRESSES" in refused.value.message) == (403, True)
    assert "10.1.0.7" not in refused.value.message
    assert (await authenticator.runner("Bearer t", "10.1.0.7")).pod == "hello-1"


async def test_a_pods_address_is_checked_as_soon_as_it_is_known(kube, authenticator, clock):
    kube.add_runner("t", job="hello", start=1)
    await authenticator.runner("Bearer t", "10.9.9.9")
    kube.pods["default", "hello-1"]["status"] = {"podIP": "10.1.0.7"}
    clock.now += REFUSED_SECONDS

    with pytest.raises(Problem):
        await authenticator.runner("Bearer t", "10.9.9.9")


async def test_the_check_of_addresses_can_be_disabled(kube, clock):
    kube.add_runner("t", job="hello", start=1)
    kube.pods["default", "hello-1"]["status"] = {"podIP": "10.1.0.7"}
    lenient = Authenticator(kube, clock=clock, check_addresses=False)

    assert (await lenient.runner("Bearer t", "127.0.0.6")).pod == "hello-1"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer t"},
        {"x-api-key": "t"},
        {"x-goog-api-key": " t "},
        {"api-key": "t"},
        {"authorization": "Bearer t", "x-api-key": "t"},
        {"authorization": "Basic dDp0", "x-api-key": "t"},
    ],
    ids=lambda headers: "-".join(headers),
)
def test_the_token_is_found_where_each_providers_client_puts_its_key(headers):
    assert credentials_of(headers, {}) == "t"


def test_the_token_can_be_the_key_of_the_query():
    assert credentials_of({}, {"key": "t"}) == "t"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"authorization": "Bearer t", "x-api-key": "own"}, {}, id="a-key-of-its-own-beside"),
        pytest.param({"x-api-key": "t"}, {"key": "own"}, id="another-in-the-query"),
        pytest.param({"x-api-key": "a\x00b"}, {}, id="nul"),
        pytest.param({"x-api-key": "x" * 20_000}, {}, id="huge"),
    ],
)
def test_missing_repeated_and_malformed_tokens_are_401(headers, query):
    with pytest.raises(Problem) as refused:
        credentials_of(headers, query)

    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("annotations", "budget"),
    [
        pytest.param({ANNOTATION_BUDGET: '{"maxCostUSD": "2.5", "maxLLMCalls": 6}'}, Limits(Decimal("2.5"), None, 6)),
        pytest.param({ANNOTATION_BUDGET: "{}"}, Limits(), id="without-limits"),
        pytest.param({}, DEFAULT_BUDGET, id="unsaid"),
        pytest.param({ANNOTATION_BUDGET: "["}, DEFAULT_BUDGET, id="no-json"),
        pytest.param({ANNOTATION_BUDGET: "[]"}, DEFAULT_BUDGET, id="no-object"),
        pytest.param({ANNOTATION_BUDGET: '{"maxLLMCalls": -1}'}, DEFAULT_BUDGET, id="no-use"),
    ],
)
async def test_the_budget_comes_from_the_pod_or_is_the_default(kube, authenticator, annotations, budget):
    kube.add_runner("t", job="hello", start=1)
    kube.spoil("hello-1", annotations=annotations, labels={LABEL_JOB: "hello", LABEL_QUEUE: "nightly"})

    runner = await authenticator.runner_of_token("t")

    assert (runner.queue, runner.budget) == ("nightly", budget)
