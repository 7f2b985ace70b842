"""Markdown of models is rendered as text with a little structure, for any content."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.workcount import lines_run

from agentjobs.dashboard.views.markdown import ATTRIBUTES, MAX_CHARS, TAGS, markdown

PIECES = [
    *(
        "<script>",
        "</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:x">',
        "<!--",
        "]]>",
        "<svg/onload=x>",
    ),
    *(
        "[a](javascript:alert(1))",
        "![b](https://evil.example/p.png)",
        "<https://evil.example>",
        "[c]: data:text/html,x",
    ),
    *(
        "**",
        "`",
        "```html\n",
        "\n\n",
        "> ",
        "* ",
        "1. ",
        "|a|b|\n|-|-|\n",
        "# ",
        "\u202e",
        "\u2066",
        "\x00",
        "\x1b[31m",
    ),
    *(
        "&lt;script&gt;",
        "&#60;",
        "\\<",
        '"',
        "'",
        "style=",
        "onclick=",
        "<style>",
        "<iframe>",
        "[x][c]",
        "~~",
        "====\n",
    ),
]


class Seen(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.tags.add("comment")


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=25).map("".join))
def test_only_listed_tags_and_attributes_are_rendered(text):
    seen = Seen(markdown(text).html)

    assert seen.tags <= TAGS
    assert seen.attributes <= {(tag, name) for tag, names in ATTRIBUTES.items() for name in names}
    assert not {"\u202e", "\u2066", "\x00", "\x1b"} & set(markdown(text).html)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("[here](javascript:alert(1))", "[here](javascript:alert(1))", id="script"),
        pytest.param("[here](https://a.example/x)", "here (https://a.example/x)", id="link"),
        pytest.param("<https://a.example/x>", "https://a.example/x", id="address"),
        pytest.param("![cat](https://a.example/c.png)", "[image: cat] (https://a.example/c.png)", id="image"),
        pytest.param("<b>bold</b>", "<b>bold</b>", id="HTML"),
        pytest.param("a\u202eb", "a\ufffdb", id="direction"),
    ],
)
def test_links_to_other_sites_are_text(text, shown):
    assert "".join(Seen(markdown(text).html).texts).strip() == shown


def test_headings_lists_and_code_are_rendered():
    html = markdown("# Title\n\n* one **bold**\n\n|a|b|\n|-|-|\n|1|2|\n\n```\ncode\n```").html

    assert "<li>one <strong>bold</strong></li>" in html
    assert "<td>2</td>" in html
    assert "<pre><code>code\n</code></pre>" in html
    assert "<h1" not in html


def test_a_long_text_is_truncated_and_says_by_how_much():
    assert markdown("x" * (MAX_CHARS + 5)).left_out == 5
    assert len(markdown("x" * 1_000_000).html) < MAX_CHARS + 20


@pytest.mark.parametrize(
    "piece", ["[", "![", "> ", "*", "`", "_a ", "<", "[a](", "|", "* ", "~~", "&", "\\", "[a][", "(("]
)
def test_the_work_is_linear_in_the_length_of_the_text(piece):
    short, long = (lines_run(lambda size=size: markdown(piece * (size // len(piece)))) for size in (1_000, 4_000))

    assert long < 6 * short + 5_000


@pytest.mark.parametrize("end", ["\n", "\r"])
@pytest.mark.parametrize(("columns", "rows"), [(250, 250), (1000, 2000), (1, 9000)])
def test_a_short_text_does_not_become_a_table_of_thousands_of_cells(columns, rows, end):
    html = markdown("|a" * columns + end + "|-" * columns + end + f"|{end}" * rows).html

    assert ("<td>" in html, len(html) < 70_000) == (False, True)


def test_long_tables_with_content_are_rendered():
    row = "| some | words | in | each | of | eight | cells | here |\n"

    assert markdown("Text.\n\n" + row + "|-" * 8 + "|\n" + row * 300).html.count("<td>") == 8 * 300
