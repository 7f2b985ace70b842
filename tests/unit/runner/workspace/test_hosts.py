"""Where the API of a repository is, by the address that Git is given."""

import pytest

from agentjobs_runner.endings import StartEnded
from agentjobs_runner.workspace.hosts import Address


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://github.com/o/r.git", "https://github.com", "o/r"),
        ("https://GitHub.com/o/r/", "https://github.com", "o/r"),
        ("https://git.example:8443/a/b/c", "https://git.example:8443", "a/b/c"),
        ("http://127.0.0.1:3000/o/r", "http://127.0.0.1:3000", "o/r"),
        ("git@github.com:o/r.git", "https://github.com", "o/r"),
        ("git@git.example:/o/r", "https://git.example", "o/r"),
        ("ssh://git@ssh.github.com:443/o/r.git", "https://github.com", "o/r"),
        ("ssh://git@git.example:2222/o/r.git", "https://git.example", "o/r"),
        ("https://[::1]:3000/o/r", "https://[::1]:3000", "o/r"),
    ],
)
def test_the_page_of_a_repository_follows_from_its_git_address(url, origin, path):
    found = Address.of(url)

    assert (found.origin, found.path) == (origin, path)


@pytest.mark.parametrize("url", ["https://github.com/r", "https://github.com/o/../r", "git@github.com:r.git"])
def test_an_address_without_an_owner_is_refused(url):
    with pytest.raises(StartEnded) as refused:
        Address.of(url)

    assert refused.value.ending.reason == "PublishRefused"


def test_a_host_can_be_below_a_path():
    found = Address.of("https://git.example/gitlab/group/r.git")

    assert found.below("https://git.example/gitlab/api/v4") == "group/r"
    assert found.below("https://git.example/api/v4") == "gitlab/group/r"
