"""Whom a request acts as, by its headers."""

import pytest

from agentjobs.kube.impersonation import MAX_GROUPS, MAX_NAME_CHARS, Impersonation, impersonation_of
from agentjobs.problem import Problem


def given(*headers):
    """Headers as a server hands them on."""
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]


def test_without_headers_the_caller_acts_as_themselves():
    assert impersonation_of(given(("authorization", "Bearer t"), ("x-impersonate-user", "ann"))) is None


def test_headers_of_a_user_and_groups_can_have_any_case_and_order():
    headers = given(("IMPERSONATE-USER", "ann"), ("impersonate-group", "b"), ("Impersonate-Group", "a"))

    assert impersonation_of(headers) == Impersonation("ann", ("a", "b"))


def test_a_repeated_group_is_sent_once_and_the_group_of_authenticated_users_is_not_sent():
    groups = [("impersonate-group", name) for name in ("a", "system:authenticated", "a")]

    found = impersonation_of(given(("impersonate-user", "ann"), *groups))

    assert found.headers() == [("Impersonate-User", "ann"), ("Impersonate-Group", "a")]


@pytest.mark.parametrize("name", ["zoë@example.com", "Иван", "oidc:https://issuer/#42", "a b", "%C3%AB"])
def test_names_are_utf_8_and_not_changed(name):
    assert impersonation_of(given(("impersonate-user", name))).user == name


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("impersonate-group", "a")], id="groups-alone"),
        pytest.param([("impersonate-user", "")], id="nobody"),
        pytest.param([("impersonate-user", "ann"), ("impersonate-user", "bob")], id="two-users"),
        pytest.param([("impersonate-user", "ann"), ("impersonate-user", "ann")], id="one-user-twice"),
        pytest.param([("impersonate-user", "ann"), ("impersonate-group", "")], id="no-group"),
        pytest.param([("impersonate-user", "ann"), ("impersonate-uid", "7")], id="uid"),
        pytest.param([("impersonate-user", "ann"), ("impersonate-extra-scopes", "all")], id="extra"),
        pytest.param([("impersonate-user", "ann"), ("impersonate-anything", "x")], id="unknown"),
        pytest.param([("impersonate-user", b"\xff\xfe")], id="not-utf-8"),
        pytest.param([("impersonate-user", "ann\r\nImpersonate-Group: root")], id="another-header"),
        pytest.param([("impersonate-user", "ann\x00")], id="nul"),
        pytest.param([("impersonate-user", "ann\u2028")], id="line-separator"),
        pytest.param([("impersonate-user", "ann\u0085")], id="c1"),
        pytest.param([("impersonate-user", " ann")], id="outer-space"),
        pytest.param([("impersonate-user", "a" * (MAX_NAME_CHARS + 1))], id="long"),
        pytest.param([("impersonate-user", "a"), *[("impersonate-group", str(n)) for n in range(MAX_GROUPS + 1)]]),
    ],
)
def test_invalid_and_ambiguous_headers_are_400(headers):
    with pytest.raises(Problem) as refused:
        impersonation_of(given(*headers))

    assert (refused.value.status, refused.value.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    "name", ["system:masters", "system:admin", "system:serviceaccount:a:b", "system:nodes", "SYSTEM:Masters", "system:"]
)
@pytest.mark.parametrize("as_group", [True, False], ids=["group", "user"])
def test_system_users_cannot_be_impersonated(name, as_group):
    headers = [("impersonate-user", "ann"), ("impersonate-group", name)] if as_group else [("impersonate-user", name)]

    with pytest.raises(Problem) as refused:
        impersonation_of(given(*headers))

    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")


def test_the_group_of_all_authenticated_users_is_refused_as_a_user():
    with pytest.raises(Problem) as refused:
        impersonation_of(given(("impersonate-user", "system:authenticated")))

    assert refused.value.status == 403
