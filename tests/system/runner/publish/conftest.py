"""A repository behind a real server, and a checkout of it as an agent finds it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from agentjobs_runner.workspace import destination
from agentjobs_runner.workspace.credentials import Credentials
from agentjobs_runner.workspace.git import Git
from tests import gitservers


@dataclass
class Site:
    """One repository `team/app` at a server, and the agent's checkout."""

    server: gitservers.HttpServer
    folder: Path
    work: Path
    """Where people push from."""
    credentials: Path

    @property
    def url(self):
        return f"{self.server.url}/team/app.git"

    @property
    def bare(self):
        return self.server.root / "team/app.git"

    @property
    def tree(self):
        return self.folder / "workspace/tree"

    def base(self):
        return gitservers.git("rev-parse", "origin/main", cwd=self.work)

    def ours(self, depth=1, base=None, name="publish.git"):
        """Our repository with the base fetched, as `publish` makes it."""
        git = Git(Credentials.read(self.credentials, self.url), settings=destination.SETTINGS)
        made = destination.create(git, self.folder / name, self.url)
        assert destination.fetch_base(made, base or self.base(), destination.refs_of(made), depth)
        return made

    def there(self, *arguments):
        """Run git at the server."""
        return gitservers.git(*arguments, cwd=self.bare)


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "root"
    (root / "team").mkdir(parents=True)
    server = gitservers.HttpServer(root)
    files = {"a.txt": "one\n", "b/c.txt": "two\n", ".gitignore": "*.log\nbuild/\n"}
    work = gitservers.Repositories(root).make("team/app", files)
    made = Site(server, tmp_path, work, gitservers.secret(tmp_path / "write", username=gitservers.USER))
    gitservers.secret(made.credentials, password=gitservers.PASSWORD)
    made.tree.parent.mkdir()
    gitservers.git("clone", "-q", "--depth=1", f"file://{made.bare}", str(made.tree))
    yield made
    server.close()
