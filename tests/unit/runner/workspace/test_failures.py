"""Git's failures, with the messages of servers and hosts."""

import pytest

from agentjobs_runner.workspace.failures import Kind, in_short, kind_of

AT = "fatal: unable to access 'https://git.example.com/team/"


@pytest.mark.parametrize("name", ["certificate.git/", "tls/", "ssl_tools.git/"])
def test_the_name_of_a_repository_does_not_determine_the_error_class(name):
    assert kind_of(f"{AT}{name}': Could not resolve host: git.example.com") is Kind.UNAVAILABLE
    assert kind_of(f"fatal: repository 'https://git.example.com/team/{name}' not found") is Kind.MISSING


def test_the_name_of_a_branch_does_not_determine_the_error_class():
    said = "To https://git.example.com/tls\n ! [rejected]  0a1b -> tls/certificate (fetch first)\n"

    assert kind_of(f"{said}error: failed to push some refs to 'https://git.example.com/tls'") is Kind.BROKEN


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Empty reply from server", Kind.UNAVAILABLE),
        ("transfer closed with outstanding read data remaining", Kind.UNAVAILABLE),
        ("HTTP/2 stream 5 was not closed cleanly: INTERNAL_ERROR (err 2)", Kind.UNAVAILABLE),
        ("The requested URL returned error: 407", Kind.REFUSED),
        ("The requested URL returned error: 410", Kind.MISSING),
        ("The requested URL returned error: 451", Kind.REFUSED),
        ("The requested URL returned error: 502", Kind.UNAVAILABLE),
    ],
)
def test_an_error_of_an_http_proxy_is_distinguished_from_one_of_the_host(said, kind):
    assert kind_of(f"{AT}app.git/': {said}") is kind


def test_a_push_that_is_too_large_for_a_proxy_is_not_retried():
    said = (
        "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\n"
        "send-pack: unexpected disconnect while reading sideband packet\nfatal: the remote end hung up unexpectedly\n"
    )

    assert kind_of(said) is Kind.REFUSED


@pytest.mark.parametrize(
    "said",
    [
        "fatal: No url found for submodule path 'm' in .gitmodules",
        "fatal: bad config line 2 in file /workspace/.agentjobs/begun/.gitmodules",
        "fatal: strange hostname '-oProxyCommand=x' blocked",
        "fatal: Fetched in submodule path 'lib', but it did not contain 0a1b. Direct fetching of that commit failed.",
    ],
)
def test_errors_about_submodules_are_permanent(said):
    assert kind_of(said) is Kind.MISSING


@pytest.mark.parametrize("why", ["refusing to allow an App to create a workflow", "shallow update not allowed"])
def test_the_reason_of_a_refused_push_is_reported(why):
    said = f"To https://h/a.git\n ! [remote rejected] 0a1b -> agents/a ({why})\nerror: failed to push some refs\n"

    assert why in in_short(said)


def test_credentials_in_an_address_are_not_shown():
    said = in_short("fatal: clone of 'https://user:pa%40ss@git.example.com/lib.git' into submodule path 'lib' failed")

    assert "pa%40ss" not in said
    assert "https://git.example.com/lib.git" in said


def test_a_repeated_message_appears_once():
    assert in_short("fatal: clone of 'x' failed\nfatal: clone of 'x' failed\n") == "fatal: clone of 'x' failed"
