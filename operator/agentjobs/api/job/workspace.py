"""AgentJob.spec.workspace: a Git checkout for the agent, and its publication."""

from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from agentjobs.api.fields import DNS_SUBDOMAIN, HTTP_URL, ONE_LINE, Quantity
from agentjobs.api.model import Boolean, Integer, Model

GIT_URL: Final = r"^(https?://[^\s/?#@]+/[^\s?#]+|ssh://([A-Za-z0-9._-]+@)?[^\s/?#@-][^\s/?#@]*/[^\s?#]+|[A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s?#-][^\s?#]*)$"
"""An address without a password, and not one that git would treat as an option or a program."""
GIT_REF: Final = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$"
DEFAULT_SIZE: Final = "2Gi"
PUBLISHING: Final = ("Branch", "PullRequest", "DraftPullRequest")
PULL_REQUESTS: Final = ("PullRequest", "DraftPullRequest")

WORKSPACE_TEXTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("workspace", "git", "ref"),
    ("workspace", "worktree", "name"),
    ("workspace", "publish", "branch"),
)
"""The texts that may contain `$(…)`."""

Provider = Literal["GitHub", "GitLab", "Gitea"]


class SecretRef(Model):
    """A Secret of the job's namespace: `username` and `password`, `token`, or `ssh-privatekey` and `known_hosts`."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the Secret.")


class Git(Model):
    """The repository that is checked out."""

    url: str = Field(
        min_length=1,
        max_length=2048,
        pattern=GIT_URL,
        description="Address of the repository: `https://…`, `ssh://…` or `git@host:path`, without credentials. "
        "Required, here or in the template.",
    )
    ref: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=ONE_LINE,
        description="Branch, tag or commit. May hold the names of `input.message`. Default: the repository's branch.",
    )
    secret_ref: SecretRef | None = Field(
        default=None,
        description="Credentials to read it: keys `username` and `password`, or `token`; for ssh `ssh-privatekey` and "
        "`known_hosts`. The agent never sees them.",
    )
    depth: Integer = Field(
        default=1, ge=0, le=100000, description="How many commits of history are fetched; 0 for all. Default: 1."
    )
    submodules: Boolean = Field(
        default=False,
        description="Whether submodules are checked out too. Credentials are sent only to the host of `url`.",
    )


class Worktree(Model):
    """How long the files live, and which jobs share them."""

    mode: Literal["Ephemeral", "Named"] = Field(
        default="Ephemeral",
        description="Ephemeral: only for this job; a later start restores them as of the last recorded step, without "
        "files that Git ignores. Named: a volume that outlives the job; jobs that share it take turns. Default: "
        "Ephemeral.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=ONE_LINE,
        description="Name of a Named worktree, of one repository; a DNS label of at most 63 characters after `$(…)` "
        "is replaced.",
    )


class Publish(Model):
    """What is published after the agent has succeeded; done in a separate container, without the agent."""

    mode: Literal["None", "Branch", "PullRequest", "DraftPullRequest"] = Field(
        default="None",
        description="Branch pushes changes to a branch; PullRequest and DraftPullRequest also open a pull request "
        "against `git.ref`. The job succeeds when that is done. Default: None.",
    )
    branch: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=ONE_LINE,
        description="The branch, e.g. `agents/$(job.name)`. May hold the names of `input.message`. An existing branch "
        "is only fast-forwarded.",
    )
    secret_ref: SecretRef | None = Field(
        default=None,
        description="Credentials to write and to open pull requests: as in `git.secretRef`, and only in the publish "
        "container. With ssh, `token` opens pull requests.",
    )
    provider: Provider | None = Field(
        default=None, description="API for pull requests. Default: by the host, if known."
    )
    api_url: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        pattern=HTTP_URL,
        description="Address of that API. Default: the host's usual one.",
    )


class Workspace(Model):
    """A checkout of a Git repository as the agent's folder."""

    git: Git = Field(description="The repository that is checked out; here or in the template.")
    worktree: Worktree = Field(
        default_factory=Worktree, description="How long the files live, and which jobs share them."
    )
    size: Quantity = Field(
        default=DEFAULT_SIZE, description="Space for the checkout and the agent's files. Default: 2Gi."
    )
    claim_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="An existing PersistentVolumeClaim for a Named worktree. Default: one is created, and kept.",
    )
    publish: Publish = Field(default_factory=Publish, description="What is published after the agent has succeeded.")

    @property
    def publishes(self) -> bool:
        """Whether something is published."""
        return self.publish.mode != "None"


def host_of(url: str) -> str:
    """Return the host of a repository's address, in lower case, without its port."""
    if "://" in url:
        return (urlsplit(url).hostname or "").lower()
    return url.partition("@")[2].partition(":")[0].lower()
