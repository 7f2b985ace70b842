"""A text that is made for another reader of `$(…)` reads there as it was meant, whatever the values hold."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.composition import Unusable, composed, filled
from agentjobs.api.substitution import expanded

HOSTILE = st.text(alphabet="$()ajob.uid \n", max_size=12)
NAMES = {"job.uid": "READ", "job.name": "READ", "a": "READ", "": "READ"}


def read(text, names=NAMES):
    """As the job of the follow-up reads it."""
    return expanded(text, names)


@pytest.mark.hypothesis
@given(st.lists(HOSTILE, min_size=1, max_size=4), st.lists(HOSTILE, min_size=4, max_size=4))
def test_names_in_values_are_never_substituted(values, static):
    texts = [re.sub(r"\$+(?=\(|$)", "", one) for one in static]
    template = "".join(f"{text}$(v.{n})" for n, text in zip(range(len(values)), texts, strict=False))
    meant = "".join(text + value for text, value in zip(texts, values, strict=False))

    assert read(composed(template, lambda name: values[int(name.removeprefix("v."))])) == meant


@pytest.mark.hypothesis
@given(HOSTILE, HOSTILE)
def test_only_remaining_names_are_substituted_later(before, after):
    values = {"before": before, "after": after}
    try:
        text = composed("$(before)$(late)$(after)", values.get)
    except Unusable:
        assert before.endswith("$")
        return

    assert read(text, NAMES | {"late": "LATE"}) == f"{before}LATE{after}"


@pytest.mark.parametrize(
    ("template", "values", "reads"),
    [
        pytest.param("$(a)$(b)", {"a": "$", "b": "(job.uid)"}, "$(job.uid)", id="over two values"),
        pytest.param("$($(a))", {"a": "job.uid"}, "$(job.uid)", id="within the author's parentheses"),
        pytest.param("$(a)(job.uid)", {"a": "$"}, "$(job.uid)", id="over a value and the author's text"),
        pytest.param("$$(job.uid)", {}, "$(job.uid)", id="escaped by the author"),
        pytest.param("$(a)", {"a": "$$(job.uid)"}, "$$(job.uid)", id="escaped by the model"),
    ],
)
def test_text_that_looks_like_a_name_is_kept(template, values, reads):
    assert read(composed(template, values.get)) == reads


def test_a_value_that_ends_in_a_dollar_before_a_remaining_name_is_refused():
    with pytest.raises(Unusable):
        composed("$(price)$(after.results)", {"price": "5$"}.get)


def test_a_field_without_substitution_gets_plain_text():
    assert filled("$$(x) $(a)", {"a": "$(job.uid)"}.get) == "$(x) $(job.uid)"


def test_a_field_without_substitution_cannot_use_results():
    with pytest.raises(Unusable):
        filled("$(after.results)", {}.get)
