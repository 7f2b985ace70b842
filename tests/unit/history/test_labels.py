"""Labels and words by which a job is found."""

from agentjobs.history.labels import MAX_LABELS, kept_labels, label_words, labels_of
from agentjobs.history.words import has_words, words_query


def test_labels_of_users_are_stored_and_ours_are_not():
    assert kept_labels({"team": "docs", "agentjobs.dev/schedule": "brief", "a/b": ""}) == (
        ("a/b", ""),
        ("team", "docs"),
    )


def test_a_job_with_very_many_labels_keeps_the_first():
    assert [key for key, _ in kept_labels({f"k{n:03}": "" for n in range(100)})] == [
        f"k{n:03}" for n in range(MAX_LABELS)
    ]


def test_labels_are_found_by_their_key_and_returned_unchanged():
    words = label_words((("team", "docs"), ("empty", "")))

    assert words == ["team", "team=docs", "empty", "empty="]
    assert labels_of(words) == {"team": "docs", "empty": ""}


def test_words_are_quoted_and_the_last_one_can_be_a_prefix():
    assert words_query("OOM-killed: it's (no) lu") == "'oom' & 'killed' & 'it' & 's' & 'no' & 'lu':*"


def test_all_words_must_match_in_any_order():
    of = ("nightly-report-7", "ToolError", "no luck")

    assert [has_words(of, text) for text in ("luck night", "LUCK report-7", "luck tool", "uck", "nightl luck")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_origin_of_a_rerun_is_kept():
    told = {
        "agentjobs.dev/rerun-of": "hello",
        "agentjobs.dev/rerun-of-uid": "u1",
        "agentjobs.dev/rerun-changes": "agent.model",
    }

    assert dict(kept_labels(told)) == told
