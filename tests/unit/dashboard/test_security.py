"""What protects every page, through the whole dashboard."""

import httpx
import pytest
from tests.dashboardpages import ADA, Answers, application, client, site

from agentjobs.dashboard import csrf
from agentjobs.dashboard.security import CONTENT_POLICY
from agentjobs.problem import Problem

ORIGIN = "http://pages"


@pytest.fixture
async def pages():
    """Asks for pages as Ada, and sends nothing by itself."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application(Answers())), base_url=ORIGIN) as http:
        yield http


@pytest.fixture
async def whole():
    transport = httpx.ASGITransport(site(Answers(), hosts={"pages"}))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield http


@pytest.mark.parametrize("path", ["/reasons/Failed", "/nothing", "/sign-in", "/static/style.css"])
async def test_every_answer_has_security_headers(pages, path):
    headers = (await pages.get(path)).headers

    assert headers["content-security-policy"] == CONTENT_POLICY
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
    assert "strict-transport-security" not in headers


async def test_answers_over_tls_have_strict_transport_security():
    app = application(Answers())
    app.secure = True
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://pages") as http:
        assert "max-age=" in (await http.get("/sign-in")).headers["strict-transport-security"]


def test_pages_have_no_inline_scripts_and_load_nothing_from_other_sites():
    assert "unsafe" not in CONTENT_POLICY
    assert "http" not in CONTENT_POLICY
    assert CONTENT_POLICY.startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("path", "caching"),
    [
        ("/reasons", "no-store"),
        ("/static/style.css", "no-cache"),
        ("/static/nothing.css?1", "no-store"),
        ("/static/style.css?1", "public, max-age=31536000, immutable"),
        ("/static/vendor/htmx-2.0.11.min.js", "public, max-age=31536000, immutable"),
    ],
)
async def test_pages_are_not_cached_and_files_are_cached_permanently(pages, path, caching):
    assert (await pages.get(path)).headers["cache-control"] == caching


async def test_addresses_of_files_contain_a_hash_of_the_content(pages):
    page = await pages.get("/reasons")

    assert "/static/style.css?" in page.text
    assert "/static/live.js?" in page.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "http://evil.example"}, id="another-origin"),
        pytest.param({"Origin": "null"}, id="no-origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="cross-site"),
        pytest.param({"Sec-Fetch-Site": "same-site", "Origin": "http://other.pages"}, id="a-neighbour"),
    ],
)
async def test_a_form_of_another_site_is_refused_even_with_the_token(pages, headers):
    answer = await pages.post("/sign-out", data={"csrf": ADA.csrf}, headers=headers)

    assert (answer.status_code, "not sent by" in answer.text) == (403, True)


@pytest.mark.parametrize("sent", [{}, {"csrf": ""}, {"csrf": "guessed"}, {"csrf": csrf.masked(b"x" * 16)}])
async def test_a_form_without_the_sessions_token_is_refused(pages, sent):
    answer = await pages.post("/sign-out", data=sent, headers={"Origin": ORIGIN})

    assert (answer.status_code, "another session" in answer.text) == (403, True)


async def test_a_script_can_send_the_token_in_a_header(pages):
    answer = await pages.post("/sign-out", headers={"X-CSRF-Token": ADA.csrf, "Sec-Fetch-Site": "same-origin"})

    assert answer.status_code == 303


async def test_the_token_is_masked_differently_each_time():
    first, second = csrf.masked(b"0123456789abcdef"), csrf.masked(b"0123456789abcdef")

    assert first != second
    assert csrf.is_same(first, second)
    assert not csrf.is_same(first, csrf.masked(b"0123456789abcdeg"))


async def test_a_form_above_the_limits_is_refused_before_it_is_read_completely(pages):
    answer = await pages.post("/sign-out", content=b"x" * 300_000, headers={"Origin": ORIGIN})

    assert (answer.status_code, "larger than" in answer.text) == (413, True)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        pytest.param("csrf=csrf-of-ada" + "&job=one" * 2000, 413, "2001 fields", id="too-many-fields"),
        pytest.param(b"csrf=csrf-of-ada&name=%ff", 400, "UTF-8", id="not-text"),
    ],
)
async def test_an_unreadable_form_is_refused_with_the_reason(pages, content, status, said):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = await pages.post("/bulk", content=content, headers={"Origin": ORIGIN, **kind})

    assert (answer.status_code, said in answer.text) == (status, True)


@pytest.mark.parametrize(("host", "status"), [("pages", 200), ("pages:99", 200), ("PAGES", 200), ("rebound.evil", 421)])
async def test_only_known_host_names_are_answered(whole, host, status):
    assert (await whole.get("/sign-in", headers={"Host": host})).status_code == status
    assert (await whole.get("/v1/me", headers={"Host": host})).status_code == (404 if status == 200 else 421)


async def test_health_is_answered_for_any_host_name(whole):
    answers = await whole.get("/healthz", headers={"Host": "10.1.2.3:8445"})

    assert answers.status_code == 404  # of this test's REST, which the request reached


async def test_pages_are_compressed(whole):
    page = await whole.get("/sign-in", headers={"Host": "pages", "Accept-Encoding": "gzip"})

    assert page.headers["content-encoding"] == "gzip"


async def test_an_internal_error_is_reported_without_details(monkeypatch):
    async with client(Answers()) as http:
        monkeypatch.setattr("agentjobs.dashboard.pages.reasons.MEANINGS", None)
        http._transport.raise_app_exceptions = False
        page = await http.get("/reasons/Failed")

    assert (page.status_code, "Its log has the reason" in page.text) == (500, True)
    assert "TypeError" not in page.text


@pytest.mark.parametrize(
    ("status", "headers", "again"),
    [(503, {}, "5"), (429, {"Retry-After": "17"}, "17"), (502, {}, "5"), (404, {}, None), (403, {}, None)],
)
async def test_a_temporary_error_page_reloads_without_javascript(status, headers, again):
    app = application(Answers())

    @app.pages.get("/failing")
    async def failing():
        raise Problem(status, "Reason", "It is so.", headers=headers)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as http:
        page = await http.get("/failing")

    assert (page.status_code, page.headers.get("refresh")) == (status, again)
    assert ("tries again by itself" in page.text) == (again is not None)


async def test_an_address_that_pages_would_repeat_too_often_is_refused(pages):
    answer = await pages.get("/jobs?" + "&".join(f"phase={number}" for number in range(2000)))

    assert (answer.status_code, len(answer.content) < 200_000) == (414, True)


@pytest.mark.parametrize(
    ("path", "location"), [("/jobs/?a=b", "/jobs?a=b"), ("/jobs///", "/jobs"), ("//evil.example/", "/"), ("//", "/")]
)
async def test_a_trailing_slash_redirects_to_the_page_on_the_same_scheme_and_host(pages, path, location):
    answer = await pages.get(f"{ORIGIN}{path}")

    assert (answer.status_code, answer.headers["location"]) == (307, location)


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        pytest.param("pages", "/metrics", 404, id="people"),
        pytest.param("10.0.0.7:8443", "/metrics", 200, id="prometheus"),
        pytest.param("10.0.0.7:8443", "/healthz", 200, id="kubelet"),
        pytest.param("10.0.0.7:8443", "/jobs", 421, id="another-name"),
    ],
)
async def test_metrics_are_not_served_under_the_public_host_names(host, path, status):
    answers = Answers()
    answers["/metrics"] = answers["/healthz"] = {"ok": True}
    transport = httpx.ASGITransport(site(answers, hosts={"pages"}))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        assert (await http.get(path, headers={"Host": host})).status_code == status
