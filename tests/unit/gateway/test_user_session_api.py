"""What users read and delete of sessions and artifacts, with their own permissions."""

import pytest
from tests.integration.history.runner_calls import Runner, a_turn
from tests.restparameters import unknown_parameters

AS_ADA = {"Authorization": "Bearer t"}
PLACE = "/v1/namespaces/docs"
SESSION = PLACE + "/session"
NAMES = {"app": "shop", "user": "ann", "session": "s1"}
ALL = {("list", "docs", ""), ("get", "docs", ""), ("delete", "docs", "")}


@pytest.fixture(autouse=True)
async def _session(kube, history, sessions):
    """A session with a turn and artifacts, and Ada, who may do everything in its namespace."""
    kube.add_user("t", "ada", may=ALL)
    await history.accept("docs")
    runner = Runner(sessions, "u1", "p1")
    await runner.put_turn(a_turn("hi", state={"n": 1}, user={"u": 1}))
    await runner.save(b"v0", key="a", mime="text/html")
    await runner.save(b"v1", key="b")
    await runner.save(b"photo", name="user:photo")


async def test_sessions_are_listed(http):
    answer = await http.get(PLACE + "/sessions", headers=AS_ADA, params={"user": "ann", "limit": 10})

    assert answer.json()["cursor"] is None
    [found] = answer.json()["items"]
    assert (found["app"], found["user"], found["session"], found["turns"], found["artifacts"]) == (
        *("shop", "ann", "s1"),
        1,
        2,
    )


async def test_a_session_has_its_turns_and_states(http):
    answer = (await http.get(SESSION, headers=AS_ADA, params=NAMES)).json()

    assert [(turn["job"], turn["mode"]) for turn in answer["turns"]] == [("hello", "Continue")]
    assert (answer["state"], answer["userState"], answer["appState"]) == ({"n": 1}, {"u": 1}, {})


async def test_events_are_returned_as_they_were_stored(http):
    answer = (await http.get(SESSION + "/events", headers=AS_ADA, params=NAMES)).json()

    assert [(item["turn"], item["n"], item["event"]["id"]) for item in answer["items"]] == [(1, 0, "e-hi")]


async def test_artifacts_are_listed_and_downloaded_and_never_shown_as_a_page(http):
    listed = (await http.get(SESSION + "/artifacts", headers=AS_ADA, params=NAMES)).json()["items"]
    asked = NAMES | {"name": "report.txt", "version": "0"}
    answer = await http.get(SESSION + "/artifacts/content", headers=AS_ADA, params=asked)

    assert [(one["name"], one["version"]) for one in listed] == [
        ("report.txt", 0),
        ("report.txt", 1),
        ("user:photo", 0),
    ]
    assert (answer.content, answer.headers["content-type"]) == (b"v0", "application/octet-stream")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_deleting_a_session_keeps_data_of_the_user(http):
    gone = await http.delete(SESSION, headers=AS_ADA, params=NAMES)
    again = await http.delete(SESSION, headers=AS_ADA, params=NAMES)
    left = await http.get(SESSION + "/artifacts", headers=AS_ADA, params=NAMES)

    assert gone.json() == {"sessions": 1, "turns": 1, "artifacts": 2, "states": 0}
    assert (again.status_code, [one["name"] for one in left.json()["items"]]) == (404, ["user:photo"])


async def test_allowed_and_refused_deletions_are_recorded(http, kube, actions):
    await http.delete(SESSION, headers=AS_ADA, params=NAMES)
    await http.delete(PLACE + "/user-data", headers=AS_ADA, params={"user": "ann"})
    kube.add_user("eve", "eve", may={("list", "docs", "")})
    await http.delete(SESSION, headers={"Authorization": "Bearer eve"}, params=NAMES)

    found = (await actions.actions(["docs"])).items
    session = f"{NAMES['app']}/{NAMES['user']}/{NAMES['session']}"
    assert {(one.user, one.kind, one.name, one.action, one.status) for one in found} == {
        ("ada", "Session", session, "delete", 200),
        ("ada", "User", "ann", "delete", 200),
        ("eve", "Session", session, "delete", 403),
    }


async def test_all_data_of_a_user_can_be_deleted(http):
    gone = await http.delete(PLACE + "/user-data", headers=AS_ADA, params={"user": "ann"})

    assert gone.json() == {"sessions": 1, "turns": 1, "artifacts": 3, "states": 1}
    assert (await http.get(PLACE + "/sessions", headers=AS_ADA)).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/sessions", "list"),
        ("GET", "/session", "get"),
        ("GET", "/session/events", "get"),
        ("GET", "/session/artifacts", "get"),
        ("GET", "/session/artifacts/content", "get"),
        ("DELETE", "/session", "delete"),
        ("DELETE", "/user-data", "delete"),
    ],
)
async def test_each_request_requires_permission_for_its_verb_on_all_agentjobs(http, kube, method, path, verb):
    others = {right for right in ALL if right[0] != verb} | {(verb, "docs", "hello"), (verb, "elsewhere", "")}
    kube.add_user("t2", "bob", may=others)
    given = NAMES | {"name": "report.txt"}
    params = {name: value for name, value in given.items() if not unknown_parameters(method, PLACE + path, [name])}

    refused = await http.request(method, PLACE + path, headers={"Authorization": "Bearer t2"}, params=params)
    allowed = await http.request(method, PLACE + path, headers=AS_ADA, params=params)

    assert (refused.status_code, allowed.status_code) == (403, 200)


@pytest.mark.parametrize("wanting", ["app", "user", "session"])
async def test_a_session_is_identified_by_app_user_and_id(http, wanting):
    names = {name: value for name, value in NAMES.items() if name != wanting}

    for method in ("GET", "DELETE"):
        assert (await http.request(method, SESSION, headers=AS_ADA, params=names)).status_code == 400


async def test_deleting_without_a_user_deletes_nothing(http):
    for params in ({}, {"user": ""}, {"app": "shop"}):
        assert (await http.delete(PLACE + "/user-data", headers=AS_ADA, params=params)).status_code == 400

    assert len((await http.get(PLACE + "/sessions", headers=AS_ADA)).json()["items"]) == 1


@pytest.mark.parametrize("value", ["../../x", "' OR 1=1 --", "%", "_", "ä", "*"])
async def test_names_are_only_compared(http, value):
    answer = await http.get(PLACE + "/sessions", headers=AS_ADA, params={"user": value})

    assert (answer.status_code, answer.json()["items"]) == (200, [])
