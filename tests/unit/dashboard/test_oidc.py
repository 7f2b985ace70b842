"""Signing in by OpenID Connect, at a provider of the tests."""

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.dashboardpages import Answers, refusal, site
from tests.oidcprovider import OidcProvider, a_key, a_shared_secret, an_elliptic_key

from agentjobs.dashboard.sign_in.account import Account
from agentjobs.dashboard.sign_in.attempts import Attempts
from agentjobs.dashboard.sign_in.oidc import Client, Provider
from agentjobs.dashboard.sign_in.ways import Ways

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLIENT = Client(
    issuer="http://provider",
    client_id="dashboard",
    secret="hush",
    redirect_uri="http://pages/sign-in/oidc/callback",
    scopes=("openid",),
    username_claim="sub",
    username_prefix="idp:",
    groups_claim="groups",
    groups_prefix="idp:",
    name="Example Login",
    keeps_token=False,
)


@pytest.fixture
def provider(clock):
    return OidcProvider(seconds=clock.seconds())


@pytest.fixture
def answers():
    """REST that says who is impersonated, or whose token it is."""
    found = Answers()
    found["/v1/me"] = lambda asked: httpx.Response(
        200, json={"name": asked.headers.get("impersonate-user", "token's"), "groups": []}
    )
    return found


@pytest.fixture
def sign_in(provider, answers, clock, tmp_path):
    """Makes a browser at a dashboard with this client."""
    (tmp_path / "token").write_text("ours")

    def browser(client=CLIENT):
        http = httpx.AsyncClient(transport=httpx.ASGITransport(provider.app()))
        ways = Ways(
            oidc=Provider(client, http, clock.seconds),
            account=Account(Path(tmp_path / "token")),
            now=clock,
            attempts=Attempts(clock.seconds),
        )
        return httpx.AsyncClient(transport=httpx.ASGITransport(site(answers, ways)), base_url="http://pages")

    return browser


async def through(browser, provider, to="/reasons/Failed"):
    """Go to the provider and come back; gives the last answer."""
    leaving = await browser.get("/sign-in/oidc", params={"to": to})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(provider.app())) as http:
        back = await http.get(leaving.headers["location"])
    return await browser.get(back.headers["location"])


def reason(caplog):
    return [one.reason for one in caplog.records if one.message == "signin.refused"][-1]


async def test_a_user_who_returns_from_the_provider_is_signed_in_and_impersonated(sign_in, provider, answers):
    provider.claims = {"groups": ["dev", "ops"]}
    browser = sign_in()

    back = await through(browser, provider)
    await browser.get("/v1/me")

    asked = answers.asked[-1].headers
    assert (back.status_code, 'content="0;url=/reasons/Failed"' in back.text) == (200, True)
    assert (asked["authorization"], asked["impersonate-user"]) == ("Bearer ours", "idp:ada")
    assert asked.get_list("impersonate-group") == ["idp:dev", "idp:ops"]


async def test_the_id_token_can_be_sent_to_the_api_server(sign_in, provider, answers):
    browser = sign_in(replace(CLIENT, keeps_token=True))

    await through(browser, provider)
    await browser.get("/v1/me")

    asked = answers.asked[-1].headers
    assert asked["authorization"].startswith("Bearer ey")
    assert "impersonate-user" not in asked


async def test_a_session_that_keeps_the_id_token_ends_with_it(sign_in, provider, clock):
    browser = sign_in(replace(CLIENT, keeps_token=True))
    await through(browser, provider)
    clock.at += timedelta(minutes=5)

    assert (await browser.get("/reasons/Failed")).status_code == 303


async def test_an_impersonated_session_can_last_longer_than_the_id_token(sign_in, provider, clock):
    browser = sign_in()
    await through(browser, provider)
    clock.at += timedelta(hours=7)

    assert (await browser.get("/reasons/Failed")).status_code == 200


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({"nonce": "another"}, "InvalidClaim:nonce", id="another-nonce"),
        pytest.param({"nonce": None}, "MissingClaim:nonce", id="no-nonce"),
        pytest.param({"aud": "another"}, "InvalidClaim:aud", id="for-another-client"),
        pytest.param({"aud": ["dashboard", "another"]}, "MissingClaim:azp", id="for-two-clients"),
        pytest.param({"iss": "http://evil"}, "InvalidClaim:iss", id="of-another-issuer"),
        pytest.param({"exp": NOW.timestamp() - 120}, "ExpiredToken:exp", id="expired"),
        pytest.param({"exp": None}, "MissingClaim:exp", id="without-an-end"),
        pytest.param({"iat": NOW.timestamp() + 3600}, "InvalidClaim:iat", id="of-the-future"),
        pytest.param({"nbf": NOW.timestamp() + 3600}, "InvalidClaim:nbf", id="not-yet"),
        pytest.param({"at_hash": "x"}, "InvalidClaim:at_hash", id="of-another-access-token"),
        pytest.param({"sub": None}, "MissingClaim:sub", id="of-nobody"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(sign_in, provider, caplog, claims, why):
    provider.claims = claims

    back = await through(sign_in(), provider)

    assert (back.status_code, "was refused" in back.text) == (403, True)
    assert reason(caplog) == why


async def test_clocks_can_differ_by_a_minute(sign_in, provider, clock):
    provider.claims = {"exp": clock.seconds() - 50, "iat": clock.seconds() + 50}

    assert (await through(sign_in(), provider)).status_code == 200


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        pytest.param("none", None, id="none"),
        pytest.param("HS256", a_shared_secret, id="a-secret-that-two-know"),
        pytest.param("RS256", lambda: a_key("one"), id="another-key-of-that-name"),
        pytest.param("RS256", lambda: a_key("unknown"), id="a-key-that-nobody-tells"),
    ],
)
async def test_a_token_with_an_invalid_signature_is_refused(sign_in, provider, algorithm, key):
    provider.published = [provider.key]
    provider.algorithm, provider.key = algorithm, key() if key else provider.key

    assert (await through(sign_in(), provider)).status_code == 403


async def test_a_new_key_of_the_provider_is_fetched(sign_in, provider, clock):
    browser = sign_in()
    await through(browser, provider)
    provider.key, provider.algorithm = an_elliptic_key(), "ES256"
    clock.at += timedelta(minutes=1)
    provider.seconds = clock.seconds()

    assert (await through(browser, provider)).status_code == 200
    assert provider.asked.count("/keys") == 2


async def test_unknown_keys_do_not_cause_a_request_each_time(sign_in, provider):
    browser = sign_in()
    provider.published, provider.key = [provider.key], a_key("unknown")

    for _ in range(3):
        await through(browser, provider)

    assert provider.asked.count("/keys") == 1


async def test_the_providers_metadata_are_cached(sign_in, provider):
    browser = sign_in()

    await through(browser, provider)
    await through(browser, provider)

    assert provider.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize("at", ["beginning", "end"])
async def test_an_unavailable_provider_is_reported(sign_in, provider, at):
    browser = sign_in()
    if at == "end":
        await through(browser, provider)
        leaving = await browser.get("/sign-in/oidc")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(provider.app())) as http:
            back = (await http.get(leaving.headers["location"])).headers["location"]
    provider.away = True

    page = await browser.get(back if at == "end" else "/sign-in/oidc")

    assert (page.status_code, "Example Login cannot be reached" in page.text) == (503, True)


async def test_a_provider_with_another_issuer_is_refused(sign_in, provider):
    provider.issuer = "http://evil"

    assert (await sign_in().get("/sign-in/oidc")).status_code == 503


async def test_cancelling_at_the_provider_returns_to_the_sign_in_page(sign_in, provider, caplog):
    provider.error = "access_denied"

    back = await through(sign_in(), provider)

    assert "did not sign in" in back.text
    assert reason(caplog) == "access_denied"


async def test_an_unknown_error_code_is_not_logged_literally(sign_in, provider, caplog):
    provider.error = "a\nb"

    await through(sign_in(), provider)

    assert reason(caplog) == "Refused"


async def test_a_user_can_sign_in_in_several_tabs(sign_in, provider):
    browser = sign_in()
    leaving = [await browser.get("/sign-in/oidc", params={"to": f"/reasons/{number}"}) for number in range(4)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(provider.app())) as http:
        back = [(await http.get(one.headers["location"])).headers["location"] for one in leaving]

    came = [await browser.get(one) for one in reversed(back)]
    assert [one.status_code for one in came] == [200] * 4
    assert [f"url=/reasons/{number}" in page.text for number, page in zip((3, 2, 1, 0), came, strict=True)] == [
        True
    ] * 4
    assert not [name for name in browser.cookies if "state" in name]


async def test_an_unknown_state_does_not_end_the_sign_in_of_another_tab(sign_in, provider):
    browser = sign_in()
    leaving = await browser.get("/sign-in/oidc")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(provider.app())) as http:
        back = (await http.get(leaving.headers["location"])).headers["location"]

    wrong = await browser.get("/sign-in/oidc/callback?code=a&state=evil")
    assert (wrong.status_code, (await browser.get(back)).status_code) == (403, 200)


@pytest.mark.parametrize("change", ["state", "cookie", "iss", "late", "twice"])
async def test_a_callback_is_accepted_once_and_only_from_the_browser_that_began(sign_in, provider, clock, change):
    browser = sign_in()
    leaving = await browser.get("/sign-in/oidc")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(provider.app())) as http:
        back = (await http.get(leaving.headers["location"])).headers["location"]
    match change:
        case "state":
            back = back.replace("state=", "state=x")
        case "iss":
            back = back.replace("iss=http%3A%2F%2Fprovider", "iss=http%3A%2F%2Fevil")
        case "cookie":
            browser.cookies.clear()
        case "late":
            clock.at += timedelta(minutes=10)
        case "twice":
            await browser.get(back)

    assert (await browser.get(back)).status_code == 403


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({"sub": "x" * 2000}, "NameNotTaken", id="long"),
        pytest.param({"sub": "a\nb"}, "NameNotTaken", id="two-lines"),
        pytest.param({"sub": ["ada"]}, "InvalidClaim:sub", id="a-list"),
    ],
)
async def test_an_invalid_username_is_refused(sign_in, provider, caplog, claims, why):
    provider.claims = claims

    assert (await through(sign_in(), provider)).status_code == 403
    assert reason(caplog) == why


async def test_without_a_prefix_system_users_are_refused(sign_in, provider):
    provider.claims = {"sub": "system:admin"}

    assert (await through(sign_in(replace(CLIENT, username_prefix="")), provider)).status_code == 403


async def test_without_a_prefix_system_groups_are_left_out(sign_in, provider, answers):
    provider.claims = {"groups": ["system:masters", "SYSTEM:x", "dev", 7, "a\nb"]}
    browser = sign_in(replace(CLIENT, groups_prefix=""))

    await through(browser, provider)

    assert answers.asked[-1].headers.get_list("impersonate-group") == ["dev"]


@pytest.mark.parametrize(("verified", "status"), [(False, 403), ("true", 403), (True, 200), (None, 200)])
async def test_an_email_address_must_be_verified(sign_in, provider, verified, status):
    provider.claims = {"email": "ada@example.com", "email_verified": verified}

    assert (await through(sign_in(replace(CLIENT, username_claim="email")), provider)).status_code == status


async def test_sign_in_requires_the_permission_to_impersonate(sign_in, provider, answers):
    answers["/v1/me"] = refusal(403, "Forbidden", "The dashboard may not impersonate users.")
    browser = sign_in()

    back = await through(browser, provider)

    assert (back.status_code, "may not impersonate" in back.text) == (403, True)
    assert (await browser.get("/reasons/Failed")).status_code == 303


async def test_after_the_sign_in_the_redirect_stays_on_this_host(sign_in, provider):
    back = await through(sign_in(), provider, to="//evil.example")

    assert 'content="0;url=/"' in back.text


async def sign_out(browser):
    """Send the form of a page that signs out."""
    form = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/reasons")).text)[1]
    return await browser.post("/sign-out", data={"csrf": form})


@pytest.mark.parametrize("keeps_token", [False, True])
async def test_a_sign_out_also_ends_the_session_at_the_provider(sign_in, provider, keeps_token):
    browser = sign_in(replace(CLIENT, keeps_token=keeps_token))
    await through(browser, provider)

    left = await sign_out(browser)
    address = html.unescape(re.search(r'content="0;url=([^"]+)"', left.text)[1])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(provider.app())) as http:
        back = await http.get(address)
    page = await browser.get(back.headers["location"], follow_redirects=True)

    assert (urlsplit(address).path, parse_qs(urlsplit(address).query)["theme"]) == ("/end-session", ["plain"])
    assert ("id_token_hint" in parse_qs(urlsplit(address).query)) is not keeps_token
    assert back.headers["location"] == "http://pages/sign-in/oidc/signed-out"
    assert "You have signed out." in page.text
    assert (await browser.get("/reasons")).status_code == 303


@pytest.mark.parametrize(
    ("end_session", "away"),
    [
        pytest.param(None, False, id="no-address"),
        pytest.param(":no-port/", False, id="an-invalid-address"),
        pytest.param("/end-session", True, id="away"),
    ],
)
async def test_without_an_end_session_endpoint_only_our_session_ends(sign_in, provider, clock, end_session, away):
    provider.end_session = end_session
    browser = sign_in()
    await through(browser, provider)
    provider.away = away
    clock.at += timedelta(hours=2)

    left = await sign_out(browser)

    assert (left.status_code, left.headers["location"]) == (303, "/sign-in?done=signed-out")
    assert (await browser.get("/reasons")).status_code == 303


async def test_cookies_contain_an_id_token_once(sign_in, provider):
    provider.claims = {"text": "x" * 1500}
    browser = sign_in(replace(CLIENT, keeps_token=True))
    await through(browser, provider)

    assert sum(len(value) for value in browser.cookies.values()) < 4500


async def test_a_long_id_token_is_not_sent_in_a_sign_out(sign_in, provider):
    provider.claims = {"groups": [f"group-{number:04}" for number in range(250)]}
    browser = sign_in()
    await through(browser, provider)

    left = await sign_out(browser)

    assert "client_id=dashboard" in left.text
    assert "id_token_hint" not in left.text
