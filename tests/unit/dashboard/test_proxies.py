"""Identity headers are accepted from trusted proxies and ignored from other addresses."""

import httpx
import pytest
from fastapi import Response
from prometheus_client import CollectorRegistry
from tests.dashboardpages import Answers, site

from agentjobs.dashboard.asgi import create_site
from agentjobs.dashboard.metrics import DashboardMetrics
from agentjobs.dashboard.sign_in.account import AGAIN_SECONDS, Account
from agentjobs.dashboard.sign_in.attempts import MOST, Attempts
from agentjobs.dashboard.sign_in.proxies import Proxies
from agentjobs.dashboard.sign_in.ways import Ways
from agentjobs.errors import Misconfigured
from agentjobs.problem import Problem

PROXY, STRANGER = "10.1.2.3", "192.0.2.7"
PAGE = "/reasons/Failed"


@pytest.fixture
def account(tmp_path):
    (tmp_path / "token").write_text("ours\n")
    return Account(tmp_path / "token")


@pytest.fixture
def answers():
    found = Answers()
    found["/v1/me"] = {"name": "seen", "groups": []}
    return found


@pytest.fixture
def came_from(answers, account):
    """Makes a browser, or a proxy, at an address."""

    def browser(address, networks=("10.0.0.0/8", "fd00::/8")):
        proxies = Proxies(networks, user_header="X-Forwarded-User", groups_header="X-Forwarded-Groups")
        whole = site(answers, Ways(proxies=proxies, account=account))
        return httpx.AsyncClient(transport=httpx.ASGITransport(whole, client=(address, 1)), base_url="http://pages")

    return browser


async def test_a_user_signed_in_at_a_trusted_proxy_is_impersonated(came_from, answers):
    told = {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "dev, ops"}

    page = await came_from(PROXY).get(PAGE, headers=told)
    await came_from(PROXY).get("/v1/me", headers=told)

    asked = answers.asked[-1].headers
    assert (page.status_code, ">ada<" in page.text) == (200, True)
    assert (asked["authorization"], asked["impersonate-user"]) == ("Bearer ours", "ada")
    assert asked.get_list("impersonate-group") == ["dev", "ops"]


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        pytest.param(STRANGER, [("X-Forwarded-User", "ada")], id="from-anywhere"),
        pytest.param(STRANGER, [("X-Forwarded-User", "ada"), ("X-Forwarded-For", PROXY)], id="says-it-is-the-proxy"),
        pytest.param(PROXY, [], id="nobody"),
        pytest.param(PROXY, [("X-Forwarded-User", "")], id="no-name"),
        pytest.param(PROXY, [("X-Forwarded-User", "ada"), ("X-Forwarded-User", "root")], id="two-names"),
        pytest.param(
            PROXY,
            [("X-Forwarded-User", "ada"), ("X-Forwarded-Groups", "dev"), ("x-forwarded-groups", "ops")],
            id="two-lines-of-groups",
        ),
        pytest.param(PROXY, [("X_Forwarded_User", "ada")], id="underscores"),
        pytest.param(PROXY, [("X-Forwarded-User", "system:admin")], id="the-systems"),
        pytest.param(PROXY, [("X-Forwarded-User", "System:Admin")], id="the-systems-in-capitals"),
        pytest.param(PROXY, [("X-Forwarded-User", "a" * 2000)], id="long"),
        pytest.param(PROXY, [("X-Forwarded-User", b"\xff\xfe")], id="no-text"),
    ],
)
async def test_headers_from_other_addresses_are_ignored(came_from, answers, address, headers):
    page = await came_from(address).get(PAGE, headers=headers)
    await came_from(address).get("/v1/me", headers=headers)

    assert page.status_code == 303
    assert "impersonate-user" not in answers.asked[-1].headers


async def test_system_groups_are_left_out(came_from, answers):
    told = {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "system:masters,dev"}

    await came_from(PROXY).get("/v1/me", headers=told)

    assert answers.asked[-1].headers.get_list("impersonate-group") == ["dev"]


async def test_a_username_of_any_alphabet_is_passed_on(came_from, answers):
    await came_from(PROXY).get("/v1/me", headers=[("X-Forwarded-User", "Zoë".encode())])

    found = dict(answers.asked[-1].headers.raw)
    assert found[b"impersonate-user"] == "Zoë".encode()


async def test_forms_require_a_token_behind_a_proxy_too(came_from):
    told = {"X-Forwarded-User": "ada", "Sec-Fetch-Site": "same-origin"}
    browser = came_from(PROXY)

    without = await browser.post("/sign-out", headers=told)
    page = await browser.get(PAGE, headers=told)
    token = page.text.split('name="csrf" value="')[1].split('"')[0]
    with_it = await browser.post("/sign-out", headers=told, data={"csrf": token})

    assert (without.status_code, with_it.status_code) == (403, 303)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (STRANGER, "1.1.1.1", STRANGER),
        (PROXY, "1.1.1.1", "1.1.1.1"),
        (PROXY, "6.6.6.6, 1.1.1.1, 10.9.9.9", "1.1.1.1"),
        (PROXY, "", ""),
        ("::ffff:10.1.2.3", "1.1.1.1", "1.1.1.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_sign_in_attempt_counts_for_the_address_behind_the_trusted_proxies(peer, forwarded, address):
    from fastapi import Request

    proxies = Proxies(("10.0.0.0/8", "fd00::/8"), user_header=None, groups_header=None)
    headers = [(b"x-forwarded-for", forwarded.encode())]

    assert proxies.address(Request({"type": "http", "client": (peer, 1), "headers": headers})) == address


def test_ipv6_addresses_of_a_subscriber_count_together():
    attempts = Attempts(lambda: 0.0)
    for number in range(MOST):
        attempts.take(f"2001:db8:1:2::{number:x}")

    with pytest.raises(Problem) as refused:
        attempts.take("2001:db8:1:2:ffff::1")
    attempts.take("2001:db8:1:3::1")

    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "60")


def test_the_token_of_the_process_is_read_again_when_its_file_changes(tmp_path, caplog):
    now = [0.0]
    file = tmp_path / "token"
    file.write_text("first")
    account = Account(file, clock=lambda: now[0])

    file.write_text("second")
    before = account.token()
    now[0] = AGAIN_SECONDS
    after = account.token()
    file.unlink()
    now[0] += AGAIN_SECONDS

    assert (before, after, account.token()) == ("first", "second", "second")
    assert "account.token_unreadable" in caplog.messages


def test_impersonation_requires_the_token_of_the_process(tmp_path):
    with pytest.raises(Misconfigured, match="impersonate"):
        Account(tmp_path / "none")


@pytest.mark.parametrize(("peer", "address"), [(PROXY, "1.1.1.1"), (STRANGER, STRANGER)])
async def test_rest_gets_the_clients_address(account, peer, address):
    """It bounds unknown tokens by address: those of one attacker must not count for all behind the proxy."""
    heard = []

    async def rest(scope, receive, send):
        heard.append(scope["client"][0])
        await Response(status_code=204)(scope, receive, send)

    ways = Ways(proxies=Proxies(["10.0.0.0/8"], user_header=None, groups_header=None))
    whole = create_site(rest, ways=ways, metrics=DashboardMetrics(CollectorRegistry()))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(whole, client=(peer, 1)), base_url="http://pages"
    ) as http:
        await http.get("/v1/me", headers={"X-Forwarded-For": "6.6.6.6, 1.1.1.1", "Authorization": "Bearer x"})

    assert heard == [address]
