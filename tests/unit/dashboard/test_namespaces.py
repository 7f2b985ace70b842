"""The choice of namespaces that pages share."""

from agentjobs.api.recorded_overview import Namespaces
from agentjobs.dashboard.views.namespaces import MAX_LISTED, chosen_namespaces, picker


def known(*items, everywhere=True):
    return Namespaces(items=list(items), everywhere=everywhere)


def test_a_repeated_namespace_is_selected_once_and_an_empty_one_is_ignored():
    assert chosen_namespaces([("namespace", "b"), ("namespace", ""), ("namespace", "b"), ("queue", "c")]) == ("b",)


def test_selecting_namespaces_keeps_all_parameters_of_the_url_except_the_cursor():
    found = picker(known("a", "b"), [("phase", "Failed"), ("namespace", "a"), ("cursor", "xyz"), ("phase", "Running")])

    assert found.kept == (("phase", "Failed"), ("phase", "Running"))
    assert found.chosen == ("a",)


def test_a_user_who_cannot_read_all_namespaces_is_told_so():
    assert picker(known("a", everywhere=False), []).text == "All that you may read"


def test_selected_namespaces_are_first_and_the_rest_of_many_is_counted():
    found = picker(known(*(f"n{number:03}" for number in range(100))), [("namespace", "n099")])

    assert found.offered[:2] == ("n099", "n000")
    assert len(found.offered) + found.more == 100
    assert len(found.offered) == MAX_LISTED


def test_rows_of_one_namespace_need_not_name_it():
    assert not picker(known("a", "b"), [("namespace", "a")]).is_several
    assert not picker(known("a"), []).is_several
    assert picker(known("a", "b"), []).is_several
