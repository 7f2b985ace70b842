"""Names of models and patterns for them."""

import itertools
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.models.names import Api, Pattern, api_of, canonical, check, plain

TEXTS = st.text("ab/*?", min_size=1, max_size=5).map(Pattern)
NAMES = ["".join(signs) for size in range(6) for signs in itertools.product("ab/", repeat=size)]


@pytest.mark.parametrize(
    "name",
    [
        "gemini-2.5-pro",
        "openai/gpt-5",
        "openai/deepseek/r1:free",
        "anthropic/claude-sonnet-4@20250514",
        "team/fast",
        "a",
    ],
)
def test_names_of_providers_are_valid(name):
    assert check(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "a/../b",
        "./a",
        "a//b",
        "/a",
        "a/",
        "a b",
        "a\n",
        "é",
        "a?b=c",
        "a#b",
        "a%2e",
        "a\\b",
        "a" * 254,
        "a/.",
    ],
)
def test_names_that_would_change_a_path_are_refused(name):
    with pytest.raises(ValueError, match="model name"):
        check(name)


@pytest.mark.parametrize(
    ("api", "own", "name"),
    [
        (Api.GEMINI, "gemini-2.5-pro", "gemini-2.5-pro"),
        (Api.GEMINI, "models/gemini-2.5-pro", "gemini-2.5-pro"),
        (Api.GEMINI, "text-embedding-004", "gemini/text-embedding-004"),
        (Api.OPENAI, "gpt-5", "openai/gpt-5"),
        (Api.OPENAI, "openai/gpt-5", "openai/openai/gpt-5"),
        (Api.ANTHROPIC, "claude-opus-5", "anthropic/claude-opus-5"),
    ],
)
def test_an_own_name_has_one_canonical_name_and_back(api, own, name):
    assert canonical(api, own) == name
    assert api_of(name) is api
    assert plain(name) == own.removeprefix("models/")


@pytest.mark.parametrize("name", ["scripted/a/b", "gpt-5", "team/fast", "gemini", "gemini-", "openai/", "mistral/x"])
def test_other_names_have_no_api(name):
    assert api_of(name) is None


@given(TEXTS, TEXTS)
def test_patterns_overlap_if_a_name_matches_both(one, other):
    both = any(fnmatchcase(name, one.text) and fnmatchcase(name, other.text) for name in NAMES)

    # Five signs each: where they meet at all, a name of at most five letters shows it, or one longer than we try.
    assert one.meets(other) >= both
    assert one.meets(other) == other.meets(one)


@given(st.text("ab/", min_size=1, max_size=4), TEXTS)
def test_a_plain_name_overlaps_with_the_patterns_that_match_it(name, pattern):
    assert Pattern(name).meets(pattern) == pattern.matches(name)


@pytest.mark.parametrize("text", ["", "a b", "[a]", "a\n", "é", "a" * 300])
def test_a_pattern_that_no_name_can_match_is_refused(text):
    with pytest.raises(ValueError, match="pattern"):
        Pattern.parse(text)
