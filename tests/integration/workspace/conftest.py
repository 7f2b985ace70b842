"""Git servers for the tests of the workspace."""

import pytest
from tests.gitservers import PASSWORD, USER, HttpServer, Repositories, SshServer, secret, sshd

from agentjobs.errors import Invalid


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


class MemoryKept:
    """Kept files in memory."""

    def __init__(self):
        self.stored = {}

    def files(self):
        return {name: len(content) for name, content in self.stored.items()}

    def read(self, name):
        return self.stored.get(name)

    def write(self, name, content, *, offset=0):
        before = self.stored.get(name, b"")
        if len(before) < offset:
            raise Invalid("shorter than the offset")
        self.stored[name] = before[:offset] + content

    def delete(self, name):
        self.stored.pop(name, None)


@pytest.fixture
def kept():
    return MemoryKept()
