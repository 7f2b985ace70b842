"""GitHub, GitLab and Gitea: addresses of their APIs, and how each finds and creates a pull request."""

import base64
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from agentjobs_runner.workspace.api import Api, Login, objects_of, text_of
from agentjobs_runner.workspace.refusals import refused

_PAGE: Final = 50
_PAGES: Final = 20
# Hosts with ssh on the port of https.
_SSH_HOSTS: Final = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pull request to create, within one repository."""

    branch: str
    base: str
    title: str
    body: str
    draft: bool


class Host(Protocol):
    """The API of one repository. The methods raise as `Api.get`."""

    def default_branch(self) -> str:
        """Return the repository's default branch."""
        ...

    def find(self, branch: str, base: str) -> str | None:
        """Return the address of the open request from this branch of the repository into `base`."""
        ...

    def make(self, wanted: Wanted) -> str:
        """Create a request and return its address.

        Raises:
            Odd: also if it already exists.
        """
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """A repository's address on the web."""

    origin: str
    host: str
    path: str
    """`owner/name`, or more parts, without surrounding slashes."""

    @classmethod
    def of(cls, url: str) -> "Address":
        """Parse Git's address.

        Raises:
            StartEnded: it is not the address of a repository.
        """
        if "://" in url:
            parts = urlsplit(url)
            host, path = (parts.hostname or "").lower(), parts.path
            # The web server has another port than ssh.
            port = f":{parts.port}" if parts.port and parts.scheme != "ssh" else ""
            scheme = "http" if parts.scheme == "http" else "https"
        else:
            host, _, path = url.partition("@")[2].partition(":")
            host, port, scheme = host.lower(), "", "https"
        host = _SSH_HOSTS.get(host, host)
        path = path.strip("/").removesuffix(".git").rstrip("/")
        if "/" not in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise refused(f"workspace.git.url must have an owner and a repository: {path!r:.100}")
        shown = f"[{host}]" if ":" in host else host
        return cls(f"{scheme}://{shown}{port}", host, path)

    def below(self, api_url: str) -> str:
        """Return the path of the repository, without the host's base folder."""
        folder = urlsplit(api_url).path.partition("/api/")[0].strip("/")
        return self.path.removeprefix(f"{folder}/") if folder else self.path


def host_of(provider: str, url: str, api_url: str | None, login: Login, authority: str | None) -> Host:
    """Return the API of the repository at `url`.

    Args:
        provider: GitHub, GitLab or Gitea.
        url: Git's address.
        api_url: the address of the API; None for the usual one.
        login: the credentials.
        authority: as for `Api`.

    Raises:
        StartEnded: the address or the provider is invalid.
    """
    address = Address.of(url)
    if provider == "GitHub":
        usual = "https://api.github.com" if address.host == "github.com" else f"{address.origin}/api/v3"
        return GitHub(Api(api_url or usual, GitHub.headers(login), authority), address.path)
    if provider == "GitLab":
        api_url = api_url or f"{address.origin}/api/v4"
        return GitLab(Api(api_url, {"Authorization": f"Bearer {_secret(login)}"}, authority), address.below(api_url))
    if provider == "Gitea":
        api_url = api_url or f"{address.origin}/api/v1"
        return Gitea(Api(api_url, Gitea.headers(login), authority), address.below(api_url))
    raise refused(f"publish.provider {provider!r:.40} is unknown; use GitHub, GitLab or Gitea")


class GitHub:
    """GitHub, and GitHub Enterprise Server."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._path = path
        self._at = f"/repos/{quote(path)}"

    @staticmethod
    def headers(login: Login) -> dict[str, str]:
        """Return the headers of each request."""
        return {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "Authorization": f"Bearer {_secret(login)}",
        }

    def default_branch(self) -> str:
        """Return the repository's default branch."""
        return text_of(self._api.get(self._at), "default_branch")

    def find(self, branch: str, base: str) -> str | None:
        """Return the address of the open request of this branch."""
        owner = self._path.partition("/")[0]
        found = self._api.get(f"{self._at}/pulls", state="open", head=f"{owner}:{branch}", base=base)
        for item in objects_of(found):
            # Older servers ignore unknown parameters.
            if _within(item, "full_name") and _refs(item) == (branch, base) and item.get("state") == "open":
                return text_of(item, "html_url")
        return None

    def make(self, wanted: Wanted) -> str:
        """Create a request and return its address."""
        body = {
            "title": wanted.title,
            "body": wanted.body,
            "head": wanted.branch,
            "base": wanted.base,
            "draft": wanted.draft,
        }
        return text_of(self._api.post(f"{self._at}/pulls", body), "html_url")


class GitLab:
    """GitLab: draft merge requests are marked by their title."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._at = f"/projects/{quote(path, safe='')}"

    def default_branch(self) -> str:
        """Return the repository's default branch."""
        return text_of(self._api.get(self._at), "default_branch")

    def find(self, branch: str, base: str) -> str | None:
        """Return the address of the open request of this branch."""
        query = {"state": "opened", "source_branch": branch, "target_branch": base}
        for item in objects_of(self._api.get(f"{self._at}/merge_requests", **query)):
            ours = item.get("source_project_id") == item.get("target_project_id")
            if ours and (item.get("source_branch"), item.get("target_branch")) == (branch, base):
                return text_of(item, "web_url")
        return None

    def make(self, wanted: Wanted) -> str:
        """Create a request and return its address."""
        body = {
            "source_branch": wanted.branch,
            "target_branch": wanted.base,
            "title": f"Draft: {wanted.title}" if wanted.draft else wanted.title,
            "description": wanted.body,
        }
        return text_of(self._api.post(f"{self._at}/merge_requests", body), "web_url")


class Gitea:
    """Gitea and Forgejo: draft pull requests are marked by their title."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._at = f"/repos/{quote(path)}"

    @staticmethod
    def headers(login: Login) -> dict[str, str]:
        """Return the headers of each request."""
        if login.token:
            return {"Authorization": f"token {login.token}"}
        both = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        return {"Authorization": f"Basic {both}"}

    def default_branch(self) -> str:
        """Return the repository's default branch."""
        return text_of(self._api.get(self._at), "default_branch")

    def find(self, branch: str, base: str) -> str | None:
        """Return the address of the open request of this branch; there is no filter for it."""
        for page in range(1, _PAGES + 1):
            query = {"state": "open", "sort": "recentupdate", "limit": str(_PAGE), "page": str(page)}
            items = objects_of(self._api.get(f"{self._at}/pulls", **query))
            for item in items:
                if _within(item, "id") and _refs(item) == (branch, base):
                    return text_of(item, "html_url")
            if not items:  # a server may return fewer than requested
                break
        return None

    def make(self, wanted: Wanted) -> str:
        """Create a request and return its address."""
        title = f"WIP: {wanted.title}" if wanted.draft else wanted.title
        body = {"title": title, "body": wanted.body, "head": wanted.branch, "base": wanted.base}
        return text_of(self._api.post(f"{self._at}/pulls", body), "html_url")


def _secret(login: Login) -> str:
    """Hosts without passwords accept a token instead."""
    return login.token or login.password


def _refs(item: dict[str, Any]) -> tuple[object, object]:
    return tuple(_at(item, side, "ref") for side in ("head", "base"))  # type: ignore[return-value]


def _within(item: dict[str, Any], name: str) -> bool:
    """Whether both sides of a request are in one repository: anyone may create one from a fork."""
    here = _at(item, "base", "repo", name)
    return here is not None and _at(item, "head", "repo", name) == here


def _at(item: Any, *names: str) -> object:
    for name in names:
        item = item.get(name) if isinstance(item, dict) else None
    return item
