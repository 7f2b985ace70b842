"""The page of a job: what happened, from the cluster, from history, or from both."""

import html
import re
from datetime import UTC, datetime

import httpx
import pytest
import yaml
from tests.dashboardjobs import (
    BASE,
    SECOND_START,
    UID,
    a_failed_job,
    a_job,
    a_move,
    a_span,
    a_start,
    a_step,
    a_story,
    an_entry,
    an_object,
    answered,
    at,
)
from tests.dashboardpages import refusal
from tests.workcount import lines_run

from agentjobs.api.recorded import (
    RecordedEntries,
    RecordedResult,
    RecordedSpec,
    RecordedSteps,
    RecordedTree,
    RelatedJob,
    Result,
    StepContent,
    StepSpans,
)
from agentjobs.api.recorded_overview import KubernetesEvent, KubernetesEvents, QueueItem
from agentjobs.api.recorded_sessions import RecordedArtifact, RecordedArtifacts
from agentjobs.api.recorded_usage import RecordedCalls
from agentjobs.dashboard.views.timeline import timeline

PAGE = "/jobs/docs/triage-7"
TABS = ["overview", "transcript", "steps", "logs", "result", "models", "events", "related", "yaml"]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe\x1b[31m" + "'\"" + "{{ 7 * 7 }}"
AWAY = refusal(503, "Unavailable", "The database cannot be reached.")


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


async def test_a_failed_job_has_the_reason_and_a_solution(pages, answers):
    a_failed_job(answers)
    page = await pages.get(PAGE)

    assert page.status_code == 200
    told = text_of(page)
    assert "Failed after 2 attempts" in told
    assert "Replace the provider" in told
    assert 'href="/reasons/ModelAuth"' in page.text


async def test_the_failure_and_the_input_are_shown_without_a_click(pages, answers):
    a_failed_job(answers)
    told = text_of(await pages.get(PAGE))

    assert "The key that the job uses was revoked." in told
    assert "Triage the issue." in told
    assert "read the issue" in told


OF_A_SCHEDULE = {"agentjobs.dev/scheduled-time": "2026-11-20T12:00:00Z"}


@pytest.mark.parametrize("address", [PAGE, f"{PAGE}?show=transcript", f"{PAGE}/files/input"])
async def test_the_input_is_shown_as_the_agent_gets_it(pages, answers, address):
    message = "$(job.name) at $(schedule.time) for $(params.who), $$(as is), after $(after.first.result)"
    spec = {"input": {"message": message}, "templateRef": {"name": "greet"}, "parameters": {"who": "$(job.uid)"}}
    seen = an_object(annotations=OF_A_SCHEDULE, spec=spec)
    answered(answers, a_story(a_start()), seen=seen)
    page = await pages.get(address)

    assert "triage-7 at 2026-11-20T12:00:00Z for $(job.uid), $(as is), after $(after.first.result)" in page.text
    assert not any(request.url.path.endswith("/spec") for request in answers.asked)


async def test_the_first_page_takes_at_most_six_requests(pages, answers):
    a_failed_job(answers)
    await pages.get(PAGE)

    assert len(answers.asked) <= 6


async def test_a_deleted_job_is_shown_from_history(pages, answers):
    answered(answers, a_story(a_start(), message="all well"))
    page = await pages.get(PAGE)

    assert page.status_code == 200
    assert "Its object was deleted" in page.text


@pytest.mark.parametrize("key", ["triage-7", UID])
async def test_the_page_of_an_ended_job_follows_the_job_of_its_address(pages, answers, key):
    answered(answers, a_story(a_start()), seen=an_object(), key=key)
    page = await pages.get(f"/jobs/docs/{key}")

    assert f'sse-connect="/v1/changes?job=docs%2F{key}"' in page.text


async def test_a_job_unknown_to_history_is_shown_from_its_object(pages, answers):
    answered(answers, seen=an_object("Queued", "WaitingForSlot"))
    page = await pages.get(PAGE)

    assert "not in history yet" in page.text
    assert 'sse-connect="/v1/changes?job=docs%2Ftriage-7"' in page.text


@pytest.mark.parametrize("show", TABS)
async def test_each_tab_reports_an_unavailable_history_and_shows_the_rest(pages, answers, show):
    base = answered(answers, AWAY, seen=an_object("Running", ""))
    for path in ("spans", "events", "steps", "result", "models", "calls", "tree", "spec"):
        answers[f"{base}/{path}"] = AWAY
    page = await pages.get(PAGE, params={"show": show})

    assert page.status_code == 200
    assert "History cannot be read now" in page.text


async def test_the_page_reports_an_unavailable_cluster(pages, answers):
    answered(answers, a_story(a_start()), seen=refusal(503, "Unavailable", "The API server is away."))
    page = await pages.get(PAGE)

    assert "cluster cannot be read" in page.text
    assert "Its object was deleted" not in page.text
    assert "sse-connect" in page.text


@pytest.mark.parametrize(
    ("story", "seen", "status"),
    [
        pytest.param(None, None, 404, id="nowhere"),
        pytest.param(refusal(403, "Forbidden"), refusal(403, "Forbidden"), 403, id="not allowed"),
        pytest.param(AWAY, None, 503, id="perhaps in history"),
    ],
)
async def test_the_page_of_a_job_in_neither_source_has_the_status_of_the_failure(pages, answers, story, seen, status):
    answers[f"{BASE}/triage-7"], answers[f"{BASE}/triage-7/object"] = story, seen

    assert (await pages.get(PAGE)).status_code == status


async def test_a_user_whose_session_ended_is_redirected_to_sign_in(pages, answers):
    answered(answers, a_story(a_start()), seen=refusal(401, "Unauthorized"))
    page = await pages.get(PAGE)

    assert page.status_code == 303
    assert page.headers["location"].startswith("/sign-in")


async def test_an_older_job_of_the_same_name_is_not_mixed_with_the_one_in_the_cluster(pages, answers):
    answered(answers, a_story(a_start(message="of the old one")), seen=an_object("Queued", "", uid="another"))
    page = await pages.get(PAGE)

    assert "of the old one" not in page.text
    assert "not in history yet" in page.text


async def test_a_waiting_job_shows_how_many_others_wait(pages, answers):
    conditions = [
        {
            "type": "Admitted",
            "status": "False",
            "reason": "WaitingForSlot",
            "message": "all 2 slots of queue agents are taken",
            "lastTransitionTime": "2026-11-20T12:00:00Z",
        }
    ]
    answered(answers, a_story(phase="Queued"), seen=an_object("Queued", status={"conditions": conditions, "starts": 0}))
    answers["/v1/namespaces/docs/queues/agents"] = QueueItem(
        namespace="docs", name="agents", object=None, phases={"Queued": 5}
    )
    told = text_of(await pages.get(PAGE))

    assert "4 other jobs" in told
    assert "all 2 slots of queue agents are taken" in told


async def test_a_part_of_the_timeline_can_be_shown(pages, answers):
    a_failed_job(answers)
    page = await pages.get(PAGE, params={"start": "2"})

    assert "start 1</text>" not in page.text
    assert "Show the whole timeline" in page.text


@pytest.mark.parametrize("query", ["from=yesterday", "start=two", "show=steps&step=-1", "show=logs&log=x"])
async def test_an_invalid_time_or_number_is_reported(pages, answers, query):
    a_failed_job(answers)

    assert (await pages.get(f"{PAGE}?{query}")).status_code == 400


async def test_a_step_opens_on_its_page_of_the_table(pages, answers):
    base = a_failed_job(answers)
    page = await pages.get(PAGE, params={"show": "steps", "step": "2"})

    assert "what step 2 gave" in page.text
    assert 'id="step-2" class="chosen"' in page.text
    assert "interrupted" in page.text
    asked = next(one for one in answers.asked if one.url.path == f"{base}/steps")
    assert asked.url.params["after"] == "0"


def a_tool_step(answers, **request):
    """A failed job, whose third step is the call in entry 3 of start 2."""
    base = a_failed_job(answers)
    step = a_step(3, SECOND_START + 5, None, kind="tool", name="search", start=2, key="2/c1")
    answers[f"{base}/steps"] = RecordedSteps(items=[step], cursor=None)
    answers[f"{base}/steps/3"] = StepContent(step=step, request=request, body=None)


async def test_a_tools_step_shows_its_arguments_and_links_to_its_call(pages, answers):
    a_tool_step(answers, id="c1")
    page = await pages.get(PAGE, params={"show": "steps", "step": "3"})

    assert "&#34;query&#34;: &#34;heat pumps&#34;" in page.text
    assert 'href="/jobs/docs/triage-7?show=transcript&amp;start=2&amp;after=0#entry-2-3"' in page.text


async def test_a_step_whose_call_is_not_found_links_to_the_transcript_at_its_time(pages, answers):
    a_tool_step(answers, id="another")
    page = await pages.get(PAGE, params={"show": "steps", "step": "3"})

    assert "Transcript around this step" in page.text
    assert "heat pumps" not in page.text


async def test_only_few_of_thousands_of_entries_are_read_for_the_arguments(pages, answers):
    a_tool_step(answers, id="c1")
    call = {"name": "search", "callId": "c1", "args": {"query": "one of many"}}
    all_ = [
        an_entry(n, "model", {"toolCalls": [call] if n == 4321 else []}, start=2, seconds=SECOND_START + 5 + n - 4322)
        for n in range(1, 9001)
    ]

    def entries(request):
        after, limit = int(request.url.params.get("after", 0)), int(request.url.params["limit"])
        shown = all_[::-1] if "newest" in request.url.params else all_[after:]
        return RecordedEntries(items=shown[:limit], cursor=None)

    answers[f"{BASE}/triage-7/events"] = entries
    page = await pages.get(PAGE, params={"show": "steps", "step": "3"})

    assert "one of many" in page.text
    assert sum(one.url.path.endswith("/events") for one in answers.asked) < 12


@pytest.mark.parametrize(
    ("call", "where"), [("0", "show=steps&step=3#step-3"), ("7", "show=steps&after=3")], ids=["found", "not found"]
)
async def test_a_call_in_the_transcript_links_to_its_step(pages, answers, call, where):
    a_tool_step(answers, id="c1")
    base = f"{BASE}/triage-7"
    answers[f"{base}/events"] = RecordedEntries(
        items=[one for one in answers.by_path[f"{base}/events"].items if one.seq == 3], cursor=None
    )
    page = await pages.get(f"{PAGE}/entries/2/3/step", params={"call": call})

    assert (page.status_code, page.headers["location"]) == (303, f"{PAGE}?{where}")


async def test_a_late_step_is_requested_with_only_its_page(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/steps"] = RecordedSteps(items=[a_step(n) for n in range(4901, 5001)], cursor="more")
    page = await pages.get(PAGE, params={"show": "steps", "step": "4950"})

    asked = next(one for one in answers.asked if one.url.path == f"{base}/steps")
    assert (asked.url.params["after"], asked.url.params["limit"]) == ("4900", "100")
    assert "after=5000" in page.text
    assert "after=4800" in page.text


def a_model_call(answers, content):
    """A failed job, of which the first step's call is recorded."""
    base = a_failed_job(answers)
    call = {
        "id": "0e0e0e0e-0000-0000-0000-000000000001",
        "start": 1,
        "attempt": 1,
        "step": "triage:1",
        "requested": "m",
        "model": "m",
        "provider": "p",
        "key": "p/k",
        "began": at(4),
        "ended": at(20),
        "status": 200,
        "outcome": "Answered",
        "input_tokens": 1,
        "output_tokens": 1,
        "cached_tokens": 0,
        "thinking_tokens": 0,
        "cache_written_tokens": 0,
        "cost_usd": "0",
        "reserved_usd": "0",
        "estimated": False,
        "has_content": True,
    }
    answers[f"{base}/calls"] = RecordedCalls.model_validate({"items": [call], "cursor": None})
    answers[f"{base}/calls/{call['id']}/content"] = {"content": content}


async def test_the_request_to_a_model_is_shown_if_it_is_recorded(pages, answers):
    a_model_call(answers, {"request": {"contents": "Read it."}})
    page = await pages.get(PAGE, params={"show": "steps", "step": "1"})

    assert "Read it." in page.text


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (KubernetesEvents(items=[]), "Kubernetes deletes them"),
        (KubernetesEvents(items=[], readable=False), "may not read Events"),
    ],
)
async def test_missing_events_and_unreadable_events_are_distinguished(pages, answers, told, said):
    base = a_failed_job(answers)
    answers[f"{base}/kubernetes-events"] = told

    assert said in (await pages.get(PAGE, params={"show": "events"})).text


@pytest.mark.parametrize(
    ("source", "reason", "is_link"),
    [("agentjobs", "Started", True), ("kubelet", "Started", False), ("agentjobs", "Pulled", False)],
    ids=["ours", "our word, another meaning", "unknown"],
)
async def test_only_documented_reasons_are_links(pages, answers, source, reason, is_link):
    base = a_failed_job(answers)
    about = {"time": at(2), "type": "Normal", "message": "", "count": 1, "about": "Pod/triage-7-1"}
    answers[f"{base}/kubernetes-events"] = KubernetesEvents(
        items=[KubernetesEvent(source=source, reason=reason, **about)]
    )
    page = await pages.get(PAGE, params={"show": "events"})

    assert reason in text_of(page)
    assert (f'href="/reasons/{reason}"' in page.text) is is_link


async def test_the_first_entry_of_a_day_has_the_date_and_the_time_zone(pages, answers):
    said = [an_entry(n, "text", {"text": "x", "final": False}, seconds=s) for n, s in ((1, 3), (2, 4), (3, 86_404))]
    answered(answers, a_story(a_start()), entries=said)

    page = await pages.get(PAGE, params={"show": "transcript"})

    shown = re.findall(r"<time [^>]*entry \d\">([^<]*)</time>", page.text)
    full = [f"{at(seconds):%Y-%m-%d %H:%M:%S} UTC" for seconds in (3, 86_404)]
    assert shown == [full[0], f"{at(4):%H:%M:%S}", full[1]]


async def test_the_transcript_is_a_conversation(pages, answers):
    a_failed_job(answers)
    page = await pages.get(PAGE, params={"show": "transcript"})

    told = text_of(page)
    assert told.index("Input") < told.index("calls search") < told.index("read the issue")
    assert 'id="entry-2-5"' in page.text
    assert "<li>answer (https://a.example)</li>" in page.text


async def test_a_place_in_the_transcript_without_its_start_is_ignored(pages, answers):
    a_failed_job(answers)
    await pages.get(PAGE, params={"show": "transcript", "after": "3"})

    (request,) = [request for request in answers.asked if request.url.path.endswith("/events")]
    assert "after" not in request.url.params


async def test_the_log_is_readable_and_its_lines_have_anchors(pages, answers):
    a_failed_job(answers)
    page = await pages.get(PAGE, params={"show": "logs", "log": "2"})

    assert "2026-11-20 12:00:03 triage tool search returned 12:00:04" in text_of(page)
    assert re.findall(r'id="at-\w+" class="log-error"><a href="#at-(\w+)">', page.text) == ["18e9bf11a5bf9a03"]
    assert answers.asked[-1].url.params["timestamps"] == "true"


@pytest.mark.parametrize(("log", "grows"), [("2", True), ("1", False)])
async def test_only_the_log_of_the_running_start_grows(pages, answers, log, grows):
    story = a_story(a_start(1, 1, 9), a_start(2, 10, None), phase="Running", starts=2)
    answered(answers, story, logs=httpx.Response(200, text="a line"))

    page = await pages.get(PAGE, params={"show": "logs", "log": log})

    assert ("data-polled" in page.text) is grows


async def test_the_shown_start_is_among_the_links_to_starts(pages, answers):
    answered(answers, a_story(*(a_start(number) for number in range(1, 31))))

    page = await pages.get(PAGE, params={"show": "transcript", "start": 3})

    nav = re.search(r'class="starts-nav".*?</p>', page.text, re.DOTALL)[0]
    assert re.findall(r">(\w+)</a>", nav) == ["all", "3", *map(str, range(11, 31))]
    assert re.search(r'aria-current="true">3<', nav)


def timed(number):
    return f"2026-11-20T12:{number // 60:02}:{number % 60:02}.000000001Z line {number} {'é<' * 200}"


def in_a_burst(number):
    return f"2026-11-20T12:00:00.000001Z line {number} {'é<' * 20}"


def some_of_a_log(text, *, is_truncated):
    return httpx.Response(200, text=text, headers={"Agentjobs-Log-Truncated": "true" if is_truncated else "false"})


def a_log(answers, line, count):
    base = a_failed_job(answers)

    def newest(request):
        lines = int(request.url.params["lines"])
        return some_of_a_log("\n".join(map(line, range(count)[-lines:])), is_truncated=lines < count)

    answers[f"{base}/logs"] = newest


@pytest.mark.parametrize(("line", "count"), [(timed, 600), (in_a_burst, 1200)], ids=["many times", "one time"])
async def test_a_long_log_is_read_page_by_page_from_its_end(pages, answers, line, count):
    a_log(answers, line, count)
    shown, address = [], f"{PAGE}?show=logs"
    while address:
        page = (await pages.get(address)).text
        shown = [*map(int, re.findall(r"<span>line (\d+)", page)), *shown]
        links = dict(map(reversed, re.findall(r'<a href="([^"]+)">((?:Earlier|Newest) lines)<', page)))
        address = links.get("Earlier lines", "").replace("&amp;", "&")

    assert shown == list(range(count))
    assert "before" not in links["Newest lines"]


LEFT_OUT = '{"time": "2026-11-20T12:00:00Z", "level": "info", "event": "step.ended", "author": "a"}'


@pytest.mark.parametrize("last", ["line 4999", LEFT_OUT], ids=["shown", "left out"])
async def test_the_first_page_of_what_is_read_of_a_longer_log_names_the_command_for_all(pages, answers, last):
    base = a_failed_job(answers)
    log = [f"2026-11-20T12:00:00.{number:09}Z line {number}" for number in range(4999)]
    log.append(f"2026-11-20T12:00:01Z {last}")
    answers[f"{base}/logs"] = some_of_a_log("\n".join(log), is_truncated=True)
    third = hex(int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9 + 3)[2:]

    page = (await pages.get(PAGE, params={"show": "logs", "before": third})).text

    assert re.findall(r"<span>line (\d+)", page) == ["0", "1", "2"]
    assert re.search(r"<code>agentjobs logs -n \S+ --start 2 \S+</code> prints all", page)
    assert "Download more" not in page


LONG_LINES = [f"2026-11-20T12:00:00.{number:09}Z {number} {'x' * 70_000}" for number in range(15)]


@pytest.mark.parametrize(
    ("container", "command"),
    [("", "agentjobs logs -n docs --start 2 triage-7"), ("publish", "kubectl logs -n docs -c publish triage-7-2")],
)
async def test_a_log_that_rest_cut_at_its_limit_of_bytes_names_the_command_for_all(pages, answers, container, command):
    base = a_failed_job(answers)
    answers[f"{base}/logs"] = some_of_a_log("\n".join(LONG_LINES), is_truncated=True)

    page = (await pages.get(PAGE, params={"show": "logs", "container": container})).text

    assert f"<code>{command}</code> prints all" in page
    assert "Earlier lines" not in page


async def test_all_of_a_log_with_long_lines_is_not_called_cut(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/logs"] = some_of_a_log("\n".join(LONG_LINES), is_truncated=False)

    page = (await pages.get(PAGE, params={"show": "logs"})).text

    assert ">Download the log<" in page
    assert "prints all" not in page


async def test_the_page_before_all_that_rest_returns_does_not_say_that_the_log_begins_there(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/logs"] = some_of_a_log(LONG_LINES[0], is_truncated=True)
    first = hex(int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9)[2:]

    page = (await pages.get(PAGE, params={"show": "logs", "before": first})).text

    assert "There are no earlier lines" not in page
    assert "prints all" in page


@pytest.mark.parametrize("line", [timed, in_a_burst], ids=["many times", "one time"])
async def test_a_line_has_the_same_anchor_on_all_pages(pages, answers, line):
    a_log(answers, line, 1200)

    async def anchors(**more):
        page = (await pages.get(PAGE, params={"show": "logs", **more})).text
        return {int(number): anchor for anchor, number in re.findall(r'id="at-([\w-]+)".*?<span>line (\d+)', page)}

    newest = await anchors()
    earlier = await anchors(before=newest[1199])

    both = newest.keys() & earlier.keys()
    assert len(both) > 20
    assert {number: earlier[number] for number in both} == {number: newest[number] for number in both}


async def test_a_line_that_is_no_longer_read_says_where_the_log_is(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/logs"] = httpx.Response(200, text=timed(1))

    page = (await pages.get(PAGE, params={"show": "logs", "before": "abc"})).text

    assert "not among the newest 5,000" in page
    assert "/files/log/2" in page


async def test_the_log_page_of_a_deleted_pod_says_so(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/logs"] = refusal(404, "PodGone", "gone")

    assert "The pod of start 2 was deleted" in (await pages.get(PAGE, params={"show": "logs"})).text


def a_result(text="All is **well**.", structured=None, **more):
    result = Result(text=text, structured=structured, usage={}, **more)
    return RecordedResult(uid=UID, name="triage-7", phase="Succeeded", result=result)


async def test_a_result_is_rendered_as_markdown_and_downloaded_as_text(pages, answers):
    answered(answers, a_story(a_start()), seen=an_object(), result=a_result())
    page = await pages.get(PAGE, params={"show": "result"})
    file = await pages.get(f"{PAGE}/files/result")

    assert "All is <strong>well</strong>." in page.text
    assert (file.text, file.headers["content-type"]) == ("All is **well**.", "text/plain; charset=utf-8")
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''triage-7-result.txt"


async def test_a_structured_result_is_json_with_its_outcome(pages, answers):
    told = a_result('{"fix": 1}', {"fix": 1}, outcome="approve", cut_from=9_000_000)
    answered(answers, a_story(a_start(), outcome="approve"), seen=an_object(), result=told)
    page = await pages.get(PAGE, params={"show": "result"})

    assert "&#34;fix&#34;: 1" in page.text
    assert "approve" in page.text
    assert "9,000,000 bytes" in page.text


@pytest.mark.parametrize(
    ("address", "is_link"),
    [("https://git.example/pulls/1", True), ("javascript:alert(1)", False), ("http://git.example/1", False)],
)
async def test_a_pull_request_is_a_link_only_over_https(pages, answers, address, is_link):
    published = {"branch": "agents/x", "commit": "0a1b", "pullRequest": address}
    answered(answers, a_story(a_start(), workspace=published), seen=an_object())
    page = await pages.get(PAGE, params={"show": "result"})

    assert address in page.text
    assert (f'href="{address}"' in page.text) == is_link


async def test_artifacts_of_the_job_are_downloaded_and_never_shown(pages, answers):
    answered(answers, a_story(a_start()), seen=an_object())
    told = {"kind": "data", "mime": "text/html", "bytes": 9, "stored": at(9), "metadata": {}}
    items = [
        RecordedArtifact(name="page.html", version=1, job=UID, **told),
        RecordedArtifact(name="of-another", version=0, job="another", **told),
    ]
    answers["/v1/namespaces/docs/session/artifacts"] = RecordedArtifacts(items=items, cursor=None)
    answers["/v1/namespaces/docs/session/artifacts/content"] = httpx.Response(200, content=b"<script>")
    page = await pages.get(PAGE, params={"show": "result"})
    file = await pages.get(f"{PAGE}/files/artifact", params={"name": "page.html", "version": "1"})

    assert "page.html" in page.text
    assert "of-another" not in page.text
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment")
    asked = answers.asked[-1].url.params
    assert (asked["app"], asked["user"], asked["session"], asked["version"]) == ("triage-7", "system", UID, "1")


async def test_an_entry_is_downloaded_completely(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/events"] = RecordedEntries(
        items=[an_entry(5, "text", {"text": "x" * 15_000}, start=2)], cursor=None
    )
    file = await pages.get(f"{PAGE}/files/entries/2/5")

    assert len(file.json()["text"]) == 15_000
    assert dict(answers.asked[-1].url.params) == {"start": "2", "limit": "1", "after": "4"}


LONG = "<script>\u202e" + "x" * 250_000


async def whole(pages, show, **query):
    """The files to which `download all` leads on a tab."""
    page = await pages.get(PAGE, params={"show": show} | query)
    addresses = re.findall(r'more characters: <a href="([^"]*)">download all', page.text)
    return [await pages.get(html.unescape(address)) for address in addresses]


async def test_a_truncated_failure_and_input_can_be_downloaded_completely(pages, answers):
    base = a_failed_job(answers)
    answers[f"{base}/object"] = an_object("Failed", "ModelAuth", spec={"input": {"message": LONG}})
    listed = [
        an_entry(1, "tool", {"name": "search", "result": LONG}, start=2),
        an_entry(2, "error", {"code": "401", "message": LONG}, start=2),
    ]

    def entries(request):
        return RecordedEntries(items=listed[int(request.url.params.get("after", 0)) :], cursor=None)

    answers[f"{base}/events"] = entries
    error, returned, given = await whole(pages, "overview")

    assert (error.json()["message"], returned.json()["result"], given.text) == (LONG, LONG, LONG)
    assert {file.headers["content-type"] for file in (error, returned, given)} == {"text/plain; charset=utf-8"}


async def test_an_object_and_its_accepted_spec_can_be_downloaded_completely(pages, answers):
    base = a_failed_job(answers)
    seen = an_object("Failed", "ModelAuth", spec={"input": {"message": LONG}})
    answers[f"{base}/object"] = seen
    answers[f"{base}/spec"] = RecordedSpec(uid=UID, name="triage-7", spec={"input": {"message": LONG}})
    files = await whole(pages, "yaml")

    assert [yaml.safe_load(file.text) for file in files] == [seen.object, {"input": {"message": LONG}}]
    for file, name in zip(files, ("triage-7.yaml", "triage-7-spec.yaml"), strict=True):
        assert file.headers["content-type"] == "text/yaml; charset=utf-8"
        assert file.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
        assert file.headers["x-content-type-options"] == "nosniff"


async def test_a_long_request_to_a_model_can_be_downloaded_completely(pages, answers):
    asked = {"request": {"contents": LONG}}
    a_model_call(answers, asked)
    (file,) = await whole(pages, "steps", step="1")

    assert file.json() == asked


@pytest.mark.parametrize("file", ["input", "object", "spec", "calls/x", f"calls/{UID}"])
async def test_a_missing_file_is_not_found(pages, answers, file):
    answered(answers, a_story(a_start()))

    assert (await pages.get(f"{PAGE}/files/{file}")).status_code in (400, 404)


async def test_the_tree_shows_parents_before_follow_ups(pages, answers):
    base = answered(answers, a_story(a_start()), seen=an_object())
    jobs = [
        RelatedJob(**a_job(uid="a", name="first").model_dump()),
        RelatedJob(**a_job().model_dump(), parent_uid="a"),
        RelatedJob(**a_job(uid="c", name="third").model_dump(), parent_uid=UID),
        RelatedJob(**a_job(uid="d", name="loop").model_dump(), parent_uid="d"),
    ]
    answers[f"{base}/tree"] = RecordedTree(items=jobs)
    page = await pages.get(PAGE, params={"show": "related"})

    assert page.text.index("first") < page.text.index("this job") < page.text.index("third")
    assert 'class="deep deep-2"' in page.text


async def test_the_accepted_spec_is_shown_only_to_users_with_permission(pages, answers):
    base = a_failed_job(answers)
    shown = await pages.get(PAGE, params={"show": "yaml"})
    answers[f"{base}/spec"] = refusal(403, "Forbidden", "may not get configmaps")
    hidden = await pages.get(PAGE, params={"show": "yaml"})

    assert shown.text.count("message: Triage the issue.") == 2
    assert hidden.text.count("message: Triage the issue.") == 1
    assert "may not read the accepted spec" in hidden.text


@pytest.mark.parametrize("show", TABS)
async def test_texts_of_models_and_users_are_escaped(pages, answers, show):
    long = HOSTILE + "x" * 1_000_000
    start = a_start(message=HOSTILE, reason="Odd", verdict="Fail")
    published = {"branch": HOSTILE, "commit": HOSTILE, "pullRequest": "javascript:alert(1)"}
    labels = {HOSTILE: HOSTILE}
    story = a_story(
        start,
        moves=[a_move(1, 0, "Failed", HOSTILE, long)],
        phase="Failed",
        reason=HOSTILE,
        message=long,
        model=HOSTILE,
        partition_key=HOSTILE,
        labels=labels,
        outcome=HOSTILE,
        workspace=published,
        template=HOSTILE,
        schedule=HOSTILE,
    )
    condition = {"type": "Failed", "status": "True", "reason": HOSTILE, "message": HOSTILE}
    seen = an_object(
        "Failed",
        HOSTILE,
        spec={"input": {"message": long}, "agent": {"module": HOSTILE}, "queue": HOSTILE},
        status={"conditions": [condition | {"lastTransitionTime": "2026-11-20T12:00:00Z"}]},
    )
    kinds = ("text", "tool", "model", "error", "warning", "repair", "ended", "odd")
    data = {"text": long, "name": HOSTILE, "result": {HOSTILE: HOSTILE}, "message": HOSTILE, "code": HOSTILE}
    data["toolCalls"] = [{"name": HOSTILE, "args": {HOSTILE: HOSTILE}}]
    entries = [an_entry(n, kind, data, author=HOSTILE) for n, kind in enumerate(kinds, 1)]
    base = answered(answers, story, seen=seen, entries=entries, spans=[a_span(1, 2, 3, name=HOSTILE)])
    answers[f"{base}/steps"] = RecordedSteps(items=[a_step(1, name=HOSTILE, agent=HOSTILE, kind="odd")], cursor=None)
    answers[f"{base}/logs"] = httpx.Response(200, text=f"{HOSTILE}\n{'y' * 1_000_000}\n")
    answers[f"{base}/result"] = a_result(long, outcome=HOSTILE)
    answers[f"{base}/spec"] = RecordedSpec(uid=UID, name="triage-7", spec={HOSTILE: HOSTILE})
    page = await pages.get(PAGE, params={"show": show})

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text.replace('<img src="/static/icon.svg', "")
    assert not {"\u202e", "\x1b"} & set(page.text)
    # The page's clock has any number in it, once a minute this one.
    assert "49" not in re.findall(r"\b49\b", re.sub(r'data-now="[^"]*"', "", page.text, count=1))
    assert 'href="javascript' not in page.text
    assert len(page.content) < 300_000


@pytest.mark.parametrize(("query", "listed", "is_offered"), [("", 10, True), ("?starts=all", 30, False)])
async def test_the_newest_ten_starts_are_shown_with_a_link_to_all(pages, answers, query, listed, is_offered):
    starts = [a_start(n, n * 10.0, n * 10.0 + 5) for n in range(1, 31)]
    answered(answers, a_story(*starts, finished=at(305)), seen=an_object())
    page = (await pages.get(PAGE + query)).text

    assert [page.count('<tr id="start-'), page.count('aria-label="Zoom to start')] == [listed, listed]
    assert ('?starts=all">Show all 30 starts' in page) is is_offered


async def test_the_timeline_links_to_steps_and_to_parts_of_long_waits(pages, answers):
    a_failed_job(answers)
    page = (await pages.get(PAGE)).text
    wait, *_ = re.findall(r'class="break" href="([^"]*)" aria-label="Zoom to 3d 10s of waiting"', page)
    zoomed = await pages.get(html.unescape(wait))

    assert re.findall(r'show=steps&amp;step=(\d)#step-(\d)" aria-label="Step (\d),', page) == [
        (n, n, n) for n in "1234"
    ]
    assert "waiting before the next start: 3d 10s" in zoomed.text


async def test_the_page_of_five_thousand_steps_is_small(pages, answers):
    spans = [a_span(n, n * 2.0, n * 2.0 + 1.5, kind="model" if n % 2 else "tool") for n in range(1, 5001)]
    base = answered(answers, a_story(a_start(1, 0, 10_010), finished=at(10_010)), seen=an_object(), spans=spans)
    answers[f"{base}/spans"] = httpx.Response(200, content=StepSpans(items=spans).model_dump_json(by_alias=True))
    page = await pages.get(PAGE)

    assert len(page.content) < 60_000
    assert 'show=steps&amp;start=1" aria-label="Steps of start 1, model calls"' in page.text


def test_the_work_for_the_timeline_is_linear_in_the_number_of_steps():
    def drawn(count):
        spans = [a_span(n, n * 2.0, n * 2.0 + 1.5, kind="model" if n % 2 else "tool") for n in range(1, count + 1)]
        end = 2 * count + 10
        story = a_story(a_start(1, 0, end), finished=at(end))
        return lines_run(lambda: timeline(story, spans, at(end)))

    assert drawn(2_000) < 3 * drawn(1_000)


@pytest.mark.parametrize(
    ("query", "title"),
    [("", "triage-7 (failed)"), ("?show=logs", "Logs of triage-7"), ("?show=steps&step=2", "Step 2 of triage-7")],
)
async def test_pages_of_a_job_have_different_titles(pages, answers, query, title):
    a_failed_job(answers)

    page = await pages.get(f"{PAGE}{query}")

    assert f"<title>{title} · AgentJobs</title>" in page.text


@pytest.mark.parametrize(("finished", "shown"), [(None, "none yet"), (at(9), "none")])
async def test_a_job_that_has_not_started_has_no_attempts(pages, answers, finished, shown):
    answered(answers, a_story(phase="Cancelled" if finished else "Queued", finished=finished, attempts=0))

    page = (await pages.get(PAGE)).text

    assert f"<dt>Attempts</dt><dd>{shown}</dd>" in page


async def test_exact_times_are_available_without_a_mouse(pages, answers):
    a_failed_job(answers)

    assert "Created 2026-11-20 12:00:00 UTC" in text_of(await pages.get(PAGE))


@pytest.mark.parametrize(("lines", "said"), [(3, ">Download the log"), (500, "The last 274 lines.")])
async def test_only_a_truncated_log_says_that_it_is_truncated(pages, answers, lines, said):
    base = a_failed_job(answers)
    answers[f"{base}/logs"] = some_of_a_log("x\n" * lines, is_truncated=lines == 500)

    page = await pages.get(f"{PAGE}?show=logs")

    assert said in page.text
    assert ("The last" in page.text) == (lines == 500)
