"""Signing in by a token and by a link, and out again, through the whole dashboard over answers of a test."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.dashboardpages import Answers, refusal, site

from agentjobs.dashboard.sign_in.attempts import Attempts
from agentjobs.dashboard.sign_in.links import Links
from agentjobs.dashboard.sign_in.return_path import own_path
from agentjobs.dashboard.sign_in.ways import Ways

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORIGIN = "http://pages"


@pytest.fixture
def ways(clock, tmp_path):
    return Ways(links=Links(tmp_path / "links"), now=clock, attempts=Attempts(clock.seconds))


@pytest.fixture
def answers():
    found = Answers()
    found["/v1/me"] = lambda asked: (
        refusal(401, "Unauthorized")
        if asked.headers["authorization"] != "Bearer good"
        else httpx.Response(200, json={"name": "ada", "groups": []})
    )
    return found


@pytest.fixture
async def browser(answers, ways):
    transport = httpx.ASGITransport(site(answers, ways), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield http


def csrf_of(page):
    return re.search(r'name="csrf" value="([^"]+)"', page.text)[1]


async def signed_in(browser, token="good", to="/reasons/Failed"):
    return await browser.post("/sign-in/token", data={"token": token, "to": to}, headers={"Origin": ORIGIN})


async def test_a_valid_token_signs_in_and_redirects_to_the_requested_page(browser):
    answer = await signed_in(browser)

    page = await browser.get(answer.headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/reasons/Failed")
    assert (page.status_code, "ada" in page.text) == (200, True)


async def test_an_invalid_token_is_refused_on_the_sign_in_page(browser, caplog):
    answer = await signed_in(browser, token="wrong-and-secret")

    assert answer.status_code == 401
    assert "does not accept this token" in answer.text
    assert "wrong-and-secret" not in answer.text + caplog.text


@pytest.mark.parametrize("token", ["", "two words", "ü", "x" * 20_000], ids=["none", "spaces", "no-ascii", "long"])
async def test_a_malformed_token_is_refused_like_an_invalid_one(browser, token):
    assert (await signed_in(browser, token=token)).status_code == 401


async def test_an_unavailable_api_server_is_reported_at_sign_in(browser, answers):
    answers["/v1/me"] = refusal(503, "Unavailable", "The API server does not answer.")

    answer = await signed_in(browser)

    assert (answer.status_code, "does not answer" in answer.text) == (503, True)


async def test_attempts_are_logged_with_method_address_and_user(browser, caplog):
    caplog.set_level("INFO", "agentjobs.dashboard")

    await signed_in(browser)
    await signed_in(browser, token="wrong")

    ok, refused = [one for one in caplog.records if one.message.startswith("signin.")]
    assert (ok.message, ok.user, ok.way, ok.address) == ("signin.succeeded", "ada", "token", "192.0.2.7")
    assert (refused.message, refused.reason, refused.address) == ("signin.refused", "Unauthorized", "192.0.2.7")


async def test_the_eleventh_invalid_token_within_a_minute_is_rate_limited(browser, clock):
    for _ in range(10):
        await signed_in(browser, token="wrong")

    answer = await signed_in(browser)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    clock.at += timedelta(seconds=60)
    assert (await signed_in(browser)).status_code == 303


async def test_valid_tokens_use_up_no_attempts(browser):
    answers = [(await signed_in(browser)).status_code for _ in range(12)]

    assert answers == [303] * 12


async def test_a_session_ends_with_its_token(browser, answers, clock):
    claims = base64.urlsafe_b64encode(json.dumps({"exp": (NOW + timedelta(minutes=5)).timestamp()}).encode()).decode()
    answers["/v1/me"] = {"name": "ada", "groups": []}
    await signed_in(browser, token=f"e30.{claims}.c2ln")

    before = await browser.get("/reasons/Failed")
    clock.at += timedelta(minutes=5)
    after = await browser.get("/reasons/Failed")

    assert (before.status_code, after.status_code) == (200, 303)
    assert after.headers["location"] == "/sign-in?to=%2Freasons%2FFailed"


async def test_a_session_ends_after_eight_hours(browser, clock):
    await signed_in(browser)
    clock.at += timedelta(hours=8)

    assert (await browser.get("/reasons/Failed")).status_code == 303


async def test_a_sign_out_ends_the_session(browser):
    await signed_in(browser)
    token = csrf_of(await browser.get("/reasons/Failed"))

    answer = await browser.post("/sign-out", data={"csrf": token}, headers={"Origin": ORIGIN})

    assert answer.headers["location"] == "/sign-in?done=signed-out"
    assert (await browser.get("/reasons/Failed")).status_code == 303


async def test_a_link_signs_in_once(browser, ways):
    secret = ways.links.make("good", NOW)

    first = await browser.get(f"/sign-in/link/{secret}")
    page = await browser.get("/reasons/Failed")
    browser.cookies.clear()
    again = await browser.get(f"/sign-in/link/{secret}")

    assert (first.status_code, 'content="0;url=/"' in first.text) == (200, True)
    assert "ada" in page.text
    assert (again.status_code, "has been used" in again.text, "kubectl config view" in again.text) == (403, True, True)


async def test_a_used_link_opened_in_the_same_browser_redirects_to_the_overview(browser, ways):
    secret = ways.links.make("good", NOW)

    await browser.get(f"/sign-in/link/{secret}")
    again = await browser.get(f"/sign-in/link/{secret}")

    assert (again.status_code, 'content="0;url=/"' in again.text) == (200, True)


async def test_a_link_expires_after_ten_minutes(browser, ways, clock):
    secret = ways.links.make("good", NOW)
    clock.at += timedelta(minutes=10)

    assert (await browser.get(f"/sign-in/link/{secret}")).status_code == 403


async def test_prefetching_a_link_does_not_use_it_up(browser, ways):
    secret = ways.links.make("good", NOW)

    await browser.get(f"/sign-in/link/{secret}", headers={"Sec-Purpose": "prefetch"})

    assert (await browser.get(f"/sign-in/link/{secret}")).status_code == 200


def test_the_file_of_a_link_is_readable_only_by_its_user(tmp_path):
    Links(tmp_path / "links").make("token", NOW)

    (file,) = (tmp_path / "links").iterdir()
    assert ((tmp_path / "links").stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


@pytest.mark.parametrize("secret", ["..%2F..%2Fkeys", "x" * 5000, "%00"])
async def test_the_secret_of_a_link_cannot_be_a_path(browser, secret):
    assert (await browser.get(f"/sign-in/link/{secret}")).status_code in (403, 404)


@pytest.mark.parametrize(
    "wanted",
    [
        *("//evil.example", "/\\evil.example", "\\\\evil", "https://evil.example", "javascript:alert(1)", "evil"),
        *("/a\r\nSet-Cookie: x=1", "/\t/evil.example", "/" + "a" * 3000, "/sign-in?to=/sign-in", "/sign-out", "", None),
    ],
)
def test_the_redirect_after_the_sign_in_stays_on_this_host(wanted):
    assert own_path(wanted) == "/"


def test_the_sign_in_redirects_to_the_requested_page():
    assert own_path("/jobs?namespace=a&q=x%20y") == "/jobs?namespace=a&q=x%20y"


async def test_a_link_from_another_site_requires_no_new_sign_in(browser):
    page = await browser.get("/reasons/Failed?x=1", headers={"Sec-Fetch-Site": "cross-site"})

    assert (page.status_code, 'content="0;url=/reasons/Failed?x=1"' in page.text) == (200, True)


async def test_an_open_page_whose_session_ended_is_replaced_by_the_sign_in_page(browser):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://pages/reasons/Failed?a=b#c"}

    answer = await browser.get("/reasons/Failed", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/sign-in?to=%2Freasons%2FFailed%3Fa%3Db"


async def test_the_session_is_accepted_for_reading_rest_and_not_for_changes(browser, answers):
    answers["/v1/changes"] = {"ok": True}
    answers["/v1/namespaces/a/agentjobs/b/cancel"] = {"ok": True}
    await signed_in(browser)

    await browser.get("/v1/changes", headers={"Impersonate-User": "root"})
    await browser.post("/v1/namespaces/a/agentjobs/b/cancel")

    read, changed = answers.asked[-2:]
    assert read.headers["authorization"] == "Bearer good"
    assert not {"cookie", "impersonate-user"} & set(read.headers)
    assert "authorization" not in changed.headers


@pytest.mark.parametrize("told", ["Basic Zm9vOmJhcg==", "Bearer of-a-proxy"])
async def test_credentials_of_a_browser_for_a_proxy_are_not_used_as_a_token_for_rest(browser, answers, told):
    answers["/v1/changes"] = {"ok": True}
    await signed_in(browser)

    await browser.get("/v1/changes", headers={"Authorization": told, "Sec-Fetch-Site": "same-origin"})

    assert answers.asked[-1].headers["authorization"] == "Bearer good"


async def test_a_program_with_a_token_is_authenticated_by_it(browser, answers):
    answers["/v1/changes"] = {"ok": True}
    await signed_in(browser)

    await browser.get("/v1/changes", headers={"Authorization": "Bearer of-a-program"})

    assert answers.asked[-1].headers["authorization"] == "Bearer of-a-program"
