"""The choice of namespaces that pages share."""

from agentjobs.api.recorded_overview import Namespaces
from agentjobs.dashboard.views.namespaces import MAX_LISTED, chosen_namespaces, picker


def known(*items, everywhere=True):
    return Namespaces(items=list(items), everywhere=everywhere)


def test_a_namespace_that_is_named_twice_or_is_empty_is_chosen_once_or_not():
    assert chosen_namespaces([("namespace", "b"), ("namespace", ""), ("namespace", "b"), ("queue", "c")]) == ("b",)


def test_the_choice_keeps_what_else_the_url_says_but_for_the_place_in_the_list():
    found = picker(known("a", "b"), [("phase", "Failed"), ("namespace", "a"), ("cursor", "xyz"), ("phase", "Running")])

    assert found.kept == (("phase", "Failed"), ("phase", "Running"))
    assert found.chosen == ("a",)


def test_who_may_not_read_all_is_told_so():
    assert picker(known("a", everywhere=False), []).told == "All that you may read"


def test_of_many_namespaces_those_chosen_are_offered_first_and_the_rest_is_counted():
    found = picker(known(*(f"n{number:03}" for number in range(100))), [("namespace", "n099")])

    assert found.offered[:2] == ("n099", "n000")
    assert len(found.offered) + found.more == 100
    assert len(found.offered) == MAX_LISTED


def test_rows_of_one_namespace_need_not_name_it():
    assert not picker(known("a", "b"), [("namespace", "a")]).is_several
    assert not picker(known("a"), []).is_several
    assert picker(known("a", "b"), []).is_several
