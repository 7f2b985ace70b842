"""How much users may ask: each for themselves, and strangers by their address."""

import httpx
import pytest

from agentjobs.gateway.user_limits import ACTIONS_BURST, READS_BURST, REFUSALS_BURST

LIST = "/v1/namespaces/docs/agentjobs"
ADA, BOB = {"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}


@pytest.fixture
def people(kube):
    kube.add_user("a", "ada", may={("list", "docs", ""), ("delete", "docs", "")})
    kube.add_user("b", "bob", may={("list", "docs", "")})


async def spent(http, count, method="GET", path="/v1/me", headers=ADA):
    """Ask so often, and return the last answer."""
    for _ in range(int(count)):
        answer = await http.request(method, path, headers=headers)
    return answer


async def test_a_user_with_too_many_reads_gets_a_retry_delay_and_others_do_not(http, people, clock):
    last = await spent(http, READS_BURST)
    refused = await http.get(LIST, headers=ADA)
    other = await http.get(LIST, headers=BOB)
    clock.now += int(refused.headers["retry-after"])
    again = await http.get(LIST, headers=ADA)

    assert [each.status_code for each in (last, refused, other, again)] == [200, 429, 200, 200]
    assert (refused.json()["reason"], refused.headers["retry-after"]) == ("TooManyRequests", "1")


async def test_actions_of_a_user_are_limited_separately_from_reads(http, people):
    path = "/v1/namespaces/docs/session?app=a&user=u&session=s"
    await spent(http, ACTIONS_BURST, "DELETE", path)
    refused = await http.delete(path, headers=ADA)
    reads = await http.get(LIST, headers=ADA)

    assert (refused.status_code, reads.status_code) == (429, 200)


async def test_a_user_has_one_rate_limit_across_tokens(http, people, kube):
    kube.add_user("other", "ada", may={("list", "docs", "")})
    await spent(http, READS_BURST)

    assert (await http.get(LIST, headers={"Authorization": "Bearer other"})).status_code == 429


async def test_an_impersonated_user_has_a_separate_rate_limit(http, kube):
    names = ("ann", "ben")
    kube.add_user("p", "robot", may={("impersonate users", "", name) for name in names})
    acting = [{"Authorization": "Bearer p", "Impersonate-User": name} for name in names]
    await spent(http, READS_BURST, headers=acting[0])

    assert [(await http.get("/v1/me", headers=each)).status_code for each in acting] == [429, 200]


async def test_unknown_tokens_beyond_the_limit_of_an_address_are_not_reviewed(app, people, kube):
    async with strangers(app, "10.1.2.3") as http:
        first = [
            (await http.get("/v1/me", headers={"Authorization": f"Bearer x{n}"})).status_code
            for n in range(int(REFUSALS_BURST))
        ]
        kube.asked.clear()
        refused = await http.get("/v1/me", headers={"Authorization": "Bearer another"})
    async with strangers(app, "10.9.9.9") as http:
        elsewhere = await http.get("/v1/me", headers=ADA)

    assert (set(first), refused.status_code, elsewhere.status_code) == ({401}, 429, 200)
    assert kube.asked == ["TokenReview"]


async def test_a_known_token_is_accepted_from_an_address_at_its_limit_of_unknown_tokens(app, people):
    async with strangers(app, "10.1.2.3") as http:
        before = await http.get("/v1/me", headers=ADA)
        for number in range(int(REFUSALS_BURST) + 1):
            await http.get("/v1/me", headers={"Authorization": f"Bearer x{number}"})
        after = await http.get("/v1/me", headers=ADA)

    assert (before.status_code, after.status_code) == (200, 200)


async def test_the_dashboards_requests_are_not_limited_by_unknown_tokens(http, people):
    """All of them come from one address, those of people with wrong tokens too."""
    for number in range(int(REFUSALS_BURST) + 1):
        await http.get("/v1/me", headers={"Authorization": f"Bearer x{number}"})

    assert (await http.get("/v1/me", headers=ADA)).status_code == 200


async def test_refused_impersonation_is_counted_by_address(http, kube):
    kube.add_user("p", "robot")
    acting = {"Authorization": "Bearer p", "Impersonate-User": "ann"}

    statuses = [(await http.get("/v1/me", headers=acting)).status_code for _ in range(int(REFUSALS_BURST) + 1)]

    assert (statuses[0], statuses[-1]) == (403, 429)


async def test_runners_are_not_counted_among_users(http, kube):
    kube.add_runner("r", job="hello", start=1)

    asked = [http.post("/v1/attempt/heartbeat", headers={"Authorization": "Bearer r"}) for _ in range(101)]

    assert 429 not in {(await each).status_code for each in asked}


def strangers(app, address):
    transport = httpx.ASGITransport(app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")
