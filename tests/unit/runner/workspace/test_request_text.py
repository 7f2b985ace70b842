"""The texts of pull requests come from a model: they have no effect but to be read."""

import pytest

from agentjobs_runner.workspace.request_text import MAX_BODY_BYTES, MAX_TITLE_BYTES, of_result


def text_of(text="", structured=None):
    return of_result({"text": text, "structured": structured, "usage": {}}, "team/fix", "u-1")


@pytest.mark.parametrize(
    ("text", "structured", "title", "body"),
    [
        ("One line", None, "One line", ""),
        ("# Title\n\nWhy\nmore", None, "Title", "Why\nmore"),
        ("{}", {"title": "T", "body": "B", "summary": "S"}, "T", "B"),
        ("{}", {"title": "T", "summary": "S"}, "T", "S"),
        ("{}", {"summary": "S\nrest"}, "S", "rest"),
        ("{}", {"outcome": "done"}, "Changes of team/fix", ""),
        ("{}", {"title": 3, "body": ["x"]}, "Changes of team/fix", ""),
        ("", None, "Changes of team/fix", ""),
        ("Draft: WIP: [WIP] Fix", None, "Fix", ""),
        ("- \n", None, "Changes of team/fix", ""),
    ],
)
def test_title_and_body_are_taken_from_the_answer(text, structured, title, body):
    made = text_of(text, structured)

    assert (made.title, made.body.removesuffix("Made by the AgentJob team/fix (u-1).").strip()) == (title, body)


def test_long_texts_are_truncated():
    made = text_of("ü" * 5000 + "\n" + "ü" * 50_000)

    assert len(made.title.encode()) <= MAX_TITLE_BYTES
    assert MAX_BODY_BYTES - 10 < len(made.body.encode()) < MAX_BODY_BYTES + 100


@pytest.mark.parametrize("text", ["@team", "(@org/team)", "cc @a-b", "/merge", "a\n  /close", "a\r/close", "a\u2028/x"])
def test_the_text_of_a_pull_request_has_no_mentions_and_no_commands(text):
    made = text_of("Title\n" + text)

    assert "@t" not in made.body
    assert "@a" not in made.body
    assert not any(line.lstrip().startswith("/") for line in made.body.split("\n"))


def test_invisible_characters_are_removed():
    made = text_of("a\x1b[31m\0b\u202ec\u200bd\ud800e\ufefff\x9bg")

    assert made.title == "a[31mbcdefg"


def test_a_model_cannot_choose_the_author_of_a_commit():
    made = text_of("Title\n\nSigned-off-by: A <a@example.com>\nco-authored-by: B <b@example.com>")

    assert not any(line.lower().startswith(("signed", "co-")) for line in made.commit().split("\n"))
