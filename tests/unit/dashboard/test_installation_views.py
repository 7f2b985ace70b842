"""The page of an installation, which begins with its problems."""

from datetime import timedelta

import pytest
from tests.dashboardobjects import NOON, a_key, a_process, a_provider, an_installation, models_seen

from agentjobs.api.recorded_models import ClosedKey
from agentjobs.dashboard.views.installation import installation_view, size

CLOSED = ClosedKey(model="", reason="401 invalid key", until=NOON + timedelta(minutes=3))
WELL = (a_process("operator", leads=True), a_process("gateway"), a_process("proxy"))


def wrong(*processes, models=None, **more):
    return installation_view(an_installation(*processes, **more), models or models_seen(), NOON).wrong


def test_a_healthy_installation_has_no_problems():
    standby, dashboard = a_process("operator", name="b"), a_process("dashboard")

    assert wrong(*WELL, standby, dashboard) == []


@pytest.mark.parametrize(
    ("processes", "tone", "said"),
    [
        pytest.param(WELL[1:], "bad", "jobs do not start", id="no-operator"),
        pytest.param((a_process("operator"), *WELL[1:]), "bad", "No operator leads", id="no-leader"),
        pytest.param((*WELL, a_process("operator", name="b", leads=True)), "warn", "-a and b", id="two-leaders"),
        pytest.param((WELL[0], WELL[2]), "bad", "runners cannot report", id="no-gateway"),
        pytest.param(WELL[:2], "warn", "No model proxy", id="no-proxy"),
        pytest.param((*WELL, a_process("gateway", version="9.9")), "warn", "0.1.0 and 9.9", id="mixed-versions"),
    ],
)
def test_each_problem_is_one_sentence_at_the_top(processes, tone, said):
    (told,) = wrong(*processes)

    assert (told.tone, said in told.text) == (tone, True)


@pytest.mark.parametrize(("skew", "said"), [(90.0, "90 s ahead of"), (-3.0, "3 s behind")])
def test_different_clocks_are_reported(skew, said):
    (told,) = wrong(*WELL, clock_skew_seconds=skew)

    assert said in told.text


def test_a_refused_key_is_reported():
    models = models_seen(a_provider(a_key(closed=[CLOSED])))

    (told,) = wrong(*WELL, models=models)

    assert told.text.startswith("gemini refused key first")
    assert told.text.endswith(" 12:03:00 UTC: 401 invalid key")


def test_the_leader_is_first_and_different_versions_are_marked():
    processes = (a_process("operator", name="a", version="0.2.0"), a_process("operator", name="b", leads=True))

    operators = installation_view(an_installation(*processes), models_seen(), NOON).groups[0]

    assert ([one.id for one in operators.processes], operators.mixed) == (["b", "a"], True)
    assert (operators.state.word, operators.state.text) == ("Leads", "One leader, 1 standby.")


@pytest.mark.parametrize(
    ("count", "said"), [(8192, "8 KiB"), (312 * 2**20, "312 MiB"), (5 * 2**30, "5.0 GiB")], ids=["k", "m", "g"]
)
def test_sizes_are_formatted_for_people(count, said):
    assert size(count) == said


@pytest.mark.parametrize(
    ("keys", "word", "tone"),
    [
        ([], "No key", "bad"),
        ([a_key()], "Open", "ok"),
        ([a_key(), a_key("gemini/second", closed=[CLOSED])], "Closed", "warn"),
        ([a_key(closed=[CLOSED])], "Closed", "bad"),
    ],
    ids=["none", "open", "one-of-two", "all"],
)
def test_the_health_of_a_provider_follows_from_its_keys(keys, word, tone):
    ((name, health),) = installation_view(an_installation(*WELL), models_seen(a_provider(*keys)), NOON).providers

    assert (name, health.word, health.tone) == ("gemini", word, tone)
