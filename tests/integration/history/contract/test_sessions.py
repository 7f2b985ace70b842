"""A job continues its own session where the previous job ended, and no other session."""

import asyncio

import pytest
from tests.integration.history.runner_calls import Runner, a_turn, texts_of

from agentjobs import errors
from agentjobs.contract import MAX_STATE_BYTES
from agentjobs.history.records import Acceptance


async def test_a_first_job_finds_an_empty_session(a_runner):
    runner = await a_runner()

    assert await runner.session() == {
        "events": [],
        "state": {},
        "user": {},
        "app": {},
        "turns": 0,
        "next": None,
    }


@pytest.mark.parametrize(
    ("later", "told"),
    [
        pytest.param({}, True, id="continued"),
        pytest.param({"mode": "New"}, False, id="anew"),
        pytest.param({"session": "s2"}, False, id="other-session"),
        pytest.param({"user": "bob"}, False, id="other-user"),
        pytest.param({"namespace": "elsewhere"}, False, id="other-namespace"),
    ],
)
async def test_the_answer_to_a_claim_says_whether_there_is_a_session(a_runner, later, told):
    await (await a_runner("uid-1")).put_turn(a_turn("x"))

    assert (await a_runner("uid-2", **later)).attempt["session"] is told


@pytest.mark.parametrize("state", ["user", "app"])
async def test_the_answer_to_a_claim_says_whether_there_is_state(a_runner, state):
    await (await a_runner("uid-1")).put_turn(a_turn("x", **{state: {"k": 1}}))

    assert (await a_runner("uid-2", session="s2", mode="New")).attempt["session"] is True


async def test_a_later_job_reads_events_and_state_of_earlier_turns_in_order(a_runner):
    for number in (1, 2):
        runner = await a_runner(f"uid-{number}")
        await runner.put_turn(a_turn(f"question {number}", f"answer {number}", state={"turn": number}))

    page = await (await a_runner("uid-3")).session()

    assert texts_of(page) == ["question 1", "answer 1", "question 2", "answer 2"]
    assert (page["state"], page["turns"]) == ({"turn": 2}, 2)


async def test_a_job_does_not_read_its_own_turn(a_runner):
    await (await a_runner("uid-1")).put_turn(a_turn("before"))
    runner = await a_runner("uid-2")
    await runner.put_turn(a_turn("own", state={"own": True}))

    page = await runner.session()

    assert texts_of(page) == ["before"]
    assert page["state"] == {}


async def test_another_turn_of_the_same_job_replaces_the_first(a_runner):
    first = await a_runner("uid-1")
    await first.put_turn(a_turn("a", "b", "c", state={"n": 1}))
    await (await a_runner("uid-2")).put_turn(a_turn("later"))

    await first.put_turn(a_turn("again", state={"n": 2}))

    assert texts_of(await (await a_runner("uid-3")).session()) == ["again", "later"]


async def test_a_repeated_turn_does_not_overwrite_later_turns(a_runner):
    first, second = await a_runner("uid-1"), await a_runner("uid-2", session="s2")
    await first.put_turn(a_turn("x", user={"name": "old"}))
    await second.put_turn(a_turn("y", user={"name": "new"}))

    await first.put_turn(a_turn("x", user={"name": "old"}))

    assert (await second.session())["user"] == {"name": "new"}


async def test_mode_new_clears_the_session_for_its_job_and_later_ones(a_runner):
    await (await a_runner("uid-1")).put_turn(a_turn("old", state={"old": True}))
    anew = await a_runner("uid-2", mode="New")

    before = await anew.session()
    await anew.put_turn(a_turn("anew"))

    assert (texts_of(before), before["state"]) == ([], {})
    assert texts_of(await (await a_runner("uid-3")).session()) == ["anew"]


async def test_a_job_accepted_before_modes_existed_begins_a_new_session(backend, a_job, a_runner):
    await (await a_runner("uid-1")).put_turn(a_turn("old"))
    build = a_job("uid-2", name="older")
    said = {"appName": "shop", "userId": "ann", "sessionId": "s1"}
    await backend.operator.accept(Acceptance(build.job(session=said), build.start(1)))
    await backend.gateway.claim("uid-2", 1, "pod", **build.place)

    assert (await Runner(backend.sessions, "uid-2", "pod").session())["turns"] == 0


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"session": "s2"}, id="session"),
        pytest.param({"user": "bob"}, id="user"),
        pytest.param({"app": "bank"}, id="app"),
        pytest.param({"namespace": "elsewhere"}, id="namespace"),
    ],
)
async def test_a_job_does_not_read_other_sessions(a_runner, other):
    await (await a_runner("uid-1")).put_turn(a_turn("secret", state={"secret": 1}))

    page = await (await a_runner("uid-2", **other)).session()

    assert (page["events"], page["state"], page["turns"]) == ([], {}, 0)


@pytest.mark.parametrize(
    ("other", "user", "app"),
    [
        pytest.param({"session": "s2"}, {"u": 1}, {"a": 1}, id="session"),
        pytest.param({"user": "bob"}, {}, {"a": 1}, id="user"),
        pytest.param({"app": "bank"}, {}, {}, id="app"),
        pytest.param({"namespace": "elsewhere"}, {}, {}, id="namespace"),
    ],
)
async def test_the_prefix_of_a_state_key_determines_its_scope(a_runner, other, user, app):
    await (await a_runner("uid-1")).put_turn(a_turn("x", user={"u": 1}, app={"a": 1}))

    page = await (await a_runner("uid-2", mode="New", **other)).session()

    assert (page["user"], page["app"]) == (user, app)


async def test_names_whose_concatenations_are_equal_are_different_sessions(a_runner):
    await (await a_runner("uid-1", app="ab", user="c")).put_turn(a_turn("x", user={"k": 1}))

    assert (await (await a_runner("uid-2", app="a", user="bc")).session())["user"] == {}


async def test_state_is_merged_by_name_and_null_is_a_value(a_runner):
    first, second = await a_runner("uid-1"), await a_runner("uid-2", session="s2")
    await first.put_turn(a_turn("x", user={"kept": 1, "changed": 1, "nulled": 1}))
    await second.put_turn(a_turn("y", user={"changed": 2, "nulled": None}))

    assert (await first.session())["user"] == {"kept": 1, "changed": 2, "nulled": None}


async def test_jobs_of_a_user_that_end_simultaneously_lose_nothing(a_runner):
    runners = [await a_runner(f"uid-{number}", session=f"s{number}") for number in range(16)]
    turns = [a_turn("x", user={f"u{number}": number}, app={f"a{number}": number}) for number in range(16)]

    await asyncio.gather(*(runner.put_turn(turn) for runner, turn in zip(runners, turns, strict=True)))

    page = await runners[0].session()
    assert page["user"] == {f"u{number}": number for number in range(16)}
    assert page["app"] == {f"a{number}": number for number in range(16)}


async def test_events_are_read_in_pages(a_runner):
    texts = [f"{number} {'x' * 75_000}" for number in range(9)]
    await (await a_runner("uid-1")).put_turn(a_turn(*texts, state={"n": 9}))
    runner = await a_runner("uid-2")

    pages = [await runner.session()]
    while pages[-1]["next"]:
        pages.append(await runner.session(pages[-1]["next"]))

    assert [text for page in pages for text in texts_of(page)] == texts
    assert [len(page["events"]) for page in pages] == [7, 2]
    assert [page["state"] for page in pages] == [{"n": 9}, {}]


async def test_a_cursor_of_another_list_is_refused(a_runner):
    with pytest.raises(errors.Invalid):
        await (await a_runner()).session("bm90aGluZw")


async def test_the_size_of_a_session_is_limited(a_runner, monkeypatch):
    for module in ("sessions", "memory_sessions"):
        monkeypatch.setattr(f"agentjobs.history.{module}.MAX_SESSION_BYTES", 1000)
    await (await a_runner("uid-1")).put_turn(a_turn("x" * 300))
    runner = await a_runner("uid-2")

    with pytest.raises(errors.TooLarge):
        await runner.put_turn(a_turn("x" * 300))

    assert (await runner.session())["turns"] == 1


async def test_a_turn_is_refused_if_the_users_state_exceeds_its_limit(a_runner):
    half = "x" * (MAX_STATE_BYTES // 2)
    await (await a_runner("uid-1")).put_turn(a_turn("x", user={"a": half}))
    runner = await a_runner("uid-2")

    with pytest.raises(errors.Invalid):
        await runner.put_turn(a_turn("y", user={"b": half}))

    page = await runner.session()
    assert (page["turns"], list(page["user"])) == (1, ["a"])


async def test_another_pod_can_neither_read_nor_write_a_session(backend, a_runner):
    await a_runner("uid-1")
    stranger = Runner(backend.sessions, "uid-1", "pod-of-somebody")

    for call in (stranger.session(), stranger.put_turn(a_turn("x")), stranger.search("x"), stranger.names()):
        with pytest.raises(errors.Fenced):
            await call


async def test_an_older_start_of_a_job_can_neither_read_nor_write(backend, a_runner, a_job):
    runner = await a_runner("uid-1")
    build = a_job("uid-1", name="job-uid-1")
    await backend.operator.write([build.start(2)])

    for call in (runner.session(), runner.put_turn(a_turn("x")), runner.save(), runner.load()):
        with pytest.raises(errors.Fenced):
            await call


async def test_an_unknown_job_has_no_session(backend):
    with pytest.raises(errors.NotFound):
        await Runner(backend.sessions, "nobody", "pod").session()


async def test_memory_finds_events_of_the_users_other_sessions_by_relevance(a_runner):
    await (await a_runner("uid-1", session="s1")).put_turn(a_turn("The cat sat on the mat", "Dogs bark"))
    await (await a_runner("uid-2", session="s2")).put_turn(a_turn("A cat and a mat"))
    runner = await a_runner("uid-3", session="s3")

    hits = await runner.search("Where is the cat's mat, please?")

    assert [(hit["session"], hit["text"]) for hit in hits[:1]] == [("s1", "The cat sat on the mat")]
    assert {hit["text"] for hit in hits} == {"The cat sat on the mat", "A cat and a mat"}
    assert hits[0] | {"id": "", "text": ""} == {
        "id": "",
        "session": "s1",
        "author": "agent",
        "time": "2027-01-15T08:00:00+00:00",
        "text": "",
    }


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"session": "s1"}, id="own-session"),
        pytest.param({"user": "bob"}, id="user"),
        pytest.param({"app": "bank"}, id="app"),
        pytest.param({"namespace": "elsewhere"}, id="namespace"),
    ],
)
async def test_memory_does_not_find_events_of_other_users_and_apps(a_runner, other):
    await (await a_runner("uid-1")).put_turn(a_turn("a secret"))

    assert await (await a_runner("uid-2", **({"session": "s2"} | other))).search("secret") == []


@pytest.mark.parametrize("query", ["", "  ", "!&|()<->:*'\\", "\x00", "-", "zebra", "💥"])
async def test_a_query_without_a_matching_word_finds_nothing(a_runner, query):
    await (await a_runner("uid-1")).put_turn(a_turn("a secret"))

    assert await (await a_runner("uid-2", session="s2")).search(query) == []


async def test_a_minus_and_quotes_in_a_query_are_not_operators(a_runner):
    await (await a_runner("uid-1")).put_turn(a_turn("buy milk"))

    assert await (await a_runner("uid-2", session="s2")).search('- buy\n- "honey"') != []


async def test_memory_returns_at_most_the_requested_number(a_runner):
    await (await a_runner("uid-1")).put_turn(a_turn(*(f"cat {number}" for number in range(20))))

    assert len(await (await a_runner("uid-2", session="s2")).search("cat", limit=3)) == 3


async def test_a_replaced_turn_is_found_only_by_its_new_words(a_runner):
    first, other = await a_runner("uid-1"), await a_runner("uid-2", session="s2")
    await first.put_turn(a_turn("cat"))
    await first.put_turn(a_turn("dog"))

    assert (len(await other.search("cat")), len(await other.search("dog"))) == (0, 1)
