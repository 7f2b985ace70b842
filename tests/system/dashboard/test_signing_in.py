"""Signing in and out in a browser, with its real rules for cookies, forms and other sites."""

import contextlib
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import expect
from tests.browserpages import follow
from tests.dashboardpages import Answers, refusal, served, site
from tests.oidcprovider import OidcProvider

from agentjobs.dashboard.sign_in.account import Account
from agentjobs.dashboard.sign_in.links import Links
from agentjobs.dashboard.sign_in.oidc import Client, Provider
from agentjobs.dashboard.sign_in.ways import Ways
from devcluster.ports import free_port

pytestmark = pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
PAGE = "/reasons/Failed"


@pytest.fixture
def answers():
    found = Answers()
    found["/v1/me"] = lambda asked: (
        refusal(401, "Unauthorized")
        if asked.headers.get("authorization") == "Bearer wrong"
        else httpx.Response(200, json={"name": asked.headers.get("impersonate-user", "ada"), "groups": []})
    )
    return found


@pytest.fixture
def opened(browser, javascript):
    """Opens a new browser at an address."""
    with contextlib.ExitStack() as stack:

        def tab(url, **more):
            context = browser.new_context(base_url=url, java_script_enabled=javascript, **more)
            stack.callback(context.close)
            return context.new_page()

        yield tab


def test_a_token_signs_in_leads_back_and_out_again(opened, answers):
    with served(site(answers)) as url:
        tab = opened(url)
        tab.goto(PAGE)
        tab.get_by_label("Token").fill("good")
        follow(tab, tab.get_by_role("button", name="Sign in"))
        tab.wait_for_url(f"**{PAGE}")
        who = tab.get_by_text("ada").is_visible()
        follow(tab, tab.get_by_role("button", name="Sign out"))

        assert who
        expect(tab.get_by_text("You have signed out")).to_be_visible()
        tab.goto(PAGE)
        assert "/sign-in" in tab.url


def test_a_wrong_token_is_told_where_it_was_typed(opened, answers):
    with served(site(answers)) as url:
        tab = opened(url)
        tab.goto("/sign-in")
        tab.get_by_label("Token").fill("wrong")
        follow(tab, tab.get_by_role("button", name="Sign in"))

        expect(tab.get_by_role("alert")).to_contain_text("The API server does not accept this token")
        expect(tab.get_by_label("Token")).to_have_value("")


def test_a_link_signs_in_also_when_it_is_opened_from_another_site(opened, answers, tmp_path):
    links = Links(tmp_path / "links")
    with served(site(answers, Ways(links=links))) as url:
        secret = links.make("token", datetime.now(UTC))
        tab = opened(url)
        tab.route(
            "http://chat.example/**",
            lambda route: route.fulfill(body=f'<a href="{url}/sign-in/link/{secret}">it</a>', content_type="text/html"),
        )
        tab.goto("http://chat.example/")
        follow(tab, tab.get_by_role("link", name="it"))
        tab.wait_for_url(f"{url}/")
        tab.goto(PAGE)

        expect(tab.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_page_opened_from_another_site_knows_who_is_signed_in(opened, answers):
    with served(site(answers)) as url:
        tab = opened(url)
        tab.goto("/sign-in")
        tab.get_by_label("Token").fill("good")
        follow(tab, tab.get_by_role("button", name="Sign in"))
        tab.route(
            "http://chat.example/**",
            lambda route: route.fulfill(body=f'<a href="{url}{PAGE}">it</a>', content_type="text/html"),
        )
        tab.goto("http://chat.example/")
        follow(tab, tab.get_by_role("link", name="it"))
        tab.wait_for_url(f"{url}{PAGE}")

        tab.get_by_role("button", name="Sign out").wait_for()


def test_a_form_on_another_site_does_nothing(opened, answers):
    with served(site(answers)) as url:
        tab = opened(url)
        tab.goto("/sign-in")
        tab.get_by_label("Token").fill("good")
        follow(tab, tab.get_by_role("button", name="Sign in"))
        form = f'<form method="post" action="{url}/sign-out"><button>go</button></form>'
        tab.route("http://evil.example/**", lambda route: route.fulfill(body=form, content_type="text/html"))
        tab.goto("http://evil.example/")
        follow(tab, tab.get_by_role("button", name="go"))
        tab.wait_for_url(f"{url}/sign-out")
        refused = tab.get_by_text("not sent by a page of this dashboard").is_visible()
        tab.goto(f"{url}{PAGE}")

        assert refused
        expect(tab.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_provider_on_another_site_signs_in(opened, answers, tmp_path):
    (tmp_path / "token").write_text("ours")
    provider = OidcProvider(claims={"groups": ["dev"]})
    with served(provider.app()) as there:
        provider.issuer = there.replace("127.0.0.1", "localhost")  # another site than 127.0.0.1
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        client = Client(
            issuer=provider.issuer,
            client_id="dashboard",
            secret="hush",
            redirect_uri=f"{url}/sign-in/oidc/callback",
            scopes=("openid",),
            username_claim="sub",
            username_prefix="",
            groups_claim="groups",
            groups_prefix="",
            name="Example Login",
            keeps_token=False,
        )
        ways = Ways(
            oidc=Provider(client, httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0))),
            account=Account(tmp_path / "token"),
        )
        with served(site(answers, ways), port=port):
            tab = opened(url)
            tab.goto(PAGE)
            follow(tab, tab.get_by_role("link", name="Sign in with Example Login"))
            tab.wait_for_url(f"{url}{PAGE}")

            tab.get_by_role("button", name="Sign out").wait_for()
            assert {cookie["sameSite"] for cookie in tab.context.cookies()} == {"Strict"}
