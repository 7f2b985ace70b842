"""Git servers for the tests of the workspace."""

import pytest
from tests.gitservers import PASSWORD, USER, HttpServer, Repositories, SshServer, secret, sshd
from tests.memorystores import MemoryKept


@pytest.fixture
def repositories(tmp_path):
    root = tmp_path / "served"
    root.mkdir()
    return Repositories(root)


@pytest.fixture
def http(repositories):
    server = HttpServer(repositories.root)
    yield server
    server.close()


@pytest.fixture
def other(repositories):
    """Another server, of another port: another host to Git."""
    server = HttpServer(repositories.root)
    yield server
    server.close()


@pytest.fixture
def reader(tmp_path):
    """The folder of a Secret that the servers accept."""
    return secret(tmp_path / "secret", username=USER, password=PASSWORD + "\n")


@pytest.fixture
def ssh(repositories, tmp_path):
    program = sshd()
    if program is None:
        pytest.skip("sshd is not installed: openssh-server")
    server = SshServer(tmp_path, program)
    yield server
    server.close()


@pytest.fixture
def kept():
    return MemoryKept()
