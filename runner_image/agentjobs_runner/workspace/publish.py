"""The publishing container: the agent's changes become commits, which are searched for secrets, pushed and proposed.

Only it has the write credentials, and it begins after the agent has ended. Remote, branch and base come from the
accepted spec. It may die at any point: the next start finds at the host what this one did.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from agentjobs import contract
from agentjobs.contract import Attempt, Published, Result, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.log import logger
from agentjobs_runner.workspace import commits, destination, hosts, pull_requests, request_text, search
from agentjobs_runner.workspace.api import Away, Login, Odd, authority_of, unavailable
from agentjobs_runner.workspace.commits import Change
from agentjobs_runner.workspace.container import Ended, Task
from agentjobs_runner.workspace.credentials import PASSWORD, SSH_KEY, TOKEN, Credentials
from agentjobs_runner.workspace.destination import Refs
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.marker import Marker
from agentjobs_runner.workspace.refusals import failed, of_git, refused
from agentjobs_runner.workspace.secret_forms import Search
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Settings, is_commit

PUBLISHED: Final = "Published"
NOT_PUBLISHED: Final = "NotPublished"
_MODES: Final = ("Branch", "PullRequest", "DraftPullRequest")
_SUCCESS: Final = "Succeed"
_FINAL: Final = ("Succeed", "Fail", "Cancel")
_MAX_NAMED: Final = 5
_MOST_ANCESTORS: Final = 20


@dataclass(frozen=True, slots=True)
class Publish:
    """`spec.workspace.publish` of an accepted job."""

    mode: str
    branch: str
    provider: str | None
    api_url: str | None

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Self | None:
        """Parse a resolved spec; None if nothing is to be published."""
        publish = (spec.get("workspace") or {}).get("publish") or {}
        if publish.get("mode", "None") == "None":
            return None
        return cls(publish["mode"], publish.get("branch") or "", publish.get("provider"), publish.get("apiUrl"))


def work(task: Task) -> Ended:
    """Publish; the container's work.

    Raises:
        OSError: the disk failed.
    """
    attempt = task.attempt
    settings, publish = Settings.of(attempt["resolved"]["spec"]), Publish.of(attempt["resolved"]["spec"])
    if settings is None or publish is None:
        return _nothing("the job publishes nothing")
    try:
        spec, result = attempt["resolved"]["spec"], attempt["result"]
        if result is None and "undecided" not in attempt:
            # Then the agent did not succeed, whatever its exit code and message.
            raise refused("the agent stored no answer, so nothing was published")
        if (why := _withheld(spec, attempt)) is not None:
            return _nothing(why)
        if result is None:
            raise refused("the job has no final result, so nothing was published")
        with tempfile.TemporaryDirectory(prefix="publish-") as folder:
            return _Publishing(task, settings, publish, result, Path(folder)).run()
    except StartEnded as ended:
        return Ended(ended.ending)
    except GitFailed as error:
        return Ended(of_git(error, "publishing").ending)


class _Publishing:
    """One publication."""

    def __init__(self, task: Task, settings: Settings, publish: Publish, result: Result, folder: Path) -> None:
        if publish.mode not in _MODES:
            raise refused(f"publish.mode {publish.mode!r:.40} is unknown to this version")
        if task.credentials is None:
            raise refused("publishing needs publish.secretRef, with credentials to write")
        self._task, self._settings, self._publish = task, settings, publish
        self._credentials = Credentials.read(task.credentials, settings.url)
        self._search = Search(_held(self._credentials, os.environ))
        job = f"{task.attempt['namespace']}/{task.attempt['job']}"
        self._text = request_text.of_result(result, job, task.attempt["uid"])
        # Checked before anything is pushed.
        self._host = None if publish.mode == "Branch" else self._host_of(publish)
        kind = self._search.find(f"{self._text.title}\n{self._text.body}")
        if kind is not None and self._host is not None:  # a commit's message is searched with the commit
            raise refused(f"nothing was pushed: the job's answer, which the pull request would show, contains {kind}")
        git = Git(self._credentials, settings=destination.SETTINGS)
        self._pinned = Base.load(task.kept.read(BASE_FILE), settings)
        names = "sha256" if self._pinned is not None and len(self._pinned.commit) == 64 else "sha1"
        self._ours = destination.create(git, folder / "publish.git", settings.url, names)

    def run(self) -> Ended:
        """Publish the change, if any."""
        destination.check_branch(self._ours, self._publish.branch)
        refs = destination.refs_of(self._ours)
        strict = self._fetch_base(refs)
        if self._settings.named and self._goes_on_from(refs):
            strict = False  # the files are those of the branch, plus later changes
        change = commits.changes(self._ours, self._task.place.tree, self._text.commit(), strict=strict)
        if change is None:
            return _nothing("the agent changed no files")
        commit = self._pushed(change, refs)
        if self._settings.named:
            Marker(self._settings.url, self._publish.branch, commit).write(self._task.place)
        published = Published(branch=self._publish.branch, commit=commit)
        if self._host is not None:
            try:
                published["pullRequest"] = self._request(self._host, refs)
            except StartEnded as ended:
                # The branch is pushed, whatever happens to the request.
                message = f"{ended.ending.message}; the branch {published['branch']} was pushed, at {commit[:12]}"
                return Ended(replace(ended.ending, message=message), published)
        return Ended(Ending(Verdict.SUCCEED, PUBLISHED, _caveats(change)), published)

    def _host_of(self, publish: Publish) -> hosts.Host:
        url = self._settings.url
        provider = publish.provider or contract.GIT_PROVIDERS.get(hosts.Address.of(url).host)
        if provider is None:
            raise refused("publish.provider is required: GitHub, GitLab or Gitea")
        login, authority = Login(self._credentials), authority_of(self._credentials)
        return hosts.host_of(provider, url, publish.api_url, login, authority)

    def _fetch_base(self, refs: Refs) -> bool:
        """Fetch the job's base commit, and return whether the agent's commits must continue from it.

        The kept record is not trusted, because the agent can write kept files: it counts if the remote has the commit.
        """
        settings, pinned = self._settings, self._pinned
        if settings.named and self._fetch_own_base(pinned, refs):
            return True
        if pinned is not None and destination.fetch_base(self._ours, pinned.commit, refs, settings.depth):
            # An earlier worktree may be older than the job's base.
            return settings.named
        ref = settings.ref
        tip = refs.commit_of(ref) or (ref if ref is not None and is_commit(ref) else None)
        if tip is None or not destination.fetch_base(self._ours, tip, refs, settings.depth):
            raise refused(
                f"the repository has neither the commit that the job began with nor {ref or 'a default branch'}: its "
                "history was rewritten. Run the job again"
            )
        logger.warning("publish.base_replaced", extra={"pinned": pinned and pinned.commit, "replaced_by": tip})
        return True

    def _fetch_own_base(self, pinned: Base | None, refs: Refs) -> bool:
        """Fetch the newest commit that an earlier worktree continues from, if it is not the job's base.

        The worktree's branches stay while the repository's move on; so does its base.
        """
        line = commits.line_of(self._ours, self._task.place.tree, _MOST_ANCESTORS)
        if pinned is not None and pinned.commit in line:
            return False
        known = [commit for commit in line if commit in refs.tips.values()]
        return any(
            destination.fetch_base(self._ours, commit, refs, self._settings.depth)
            for commit in dict.fromkeys([*known[:1], *line])
        )

    def _goes_on_from(self, refs: Refs) -> bool:
        """Whether the worktree is an earlier job's published commit, with changes; that is the base then.

        Uncommitted changes became a commit of the branch, but not of the worktree.
        """
        there, published = refs.branch(self._publish.branch), Marker.read(self._task.place)
        if there is None or published != Marker(self._settings.url, self._publish.branch, there):
            return False
        line = commits.line_of(self._ours, self._task.place.tree, 1)
        return there not in line and destination.fetch_base(self._ours, there, refs, self._settings.depth)

    def _pushed(self, change: Change, refs: Refs) -> str:
        """Search the change and push it, unless it is there; return the branch's commit."""
        branch = self._publish.branch
        there = refs.branch(branch)
        if there == change.head:
            return change.head
        if there is not None and (same := self._is_there(change, there)) is not None:
            return same
        search.check(self._ours, change, self._search)
        try:
            destination.push(self._ours, change.head, branch)
        except GitFailed as error:
            raise self._unpushed(error, change, refs) from error
        return change.head

    def _is_there(self, change: Change, there: str) -> str | None:
        """Return the commit of an existing branch if it is this change; None if it can be fast-forwarded.

        Raises:
            StartEnded: it has other commits.
        """
        if there in {name for name, _ in change.objects} or there == self._ours.words("rev-parse", destination.BASE):
            return None
        if destination.fetch_tip(self._ours, there) and commits.is_published(self._ours, change, there):
            return there
        if destination.goes_on(self._ours, there, change.head):
            return None
        raise _taken(self._publish.branch, there)

    def _unpushed(self, error: GitFailed, change: Change, refs: Refs) -> StartEnded:
        """Return why a push was rejected; a concurrent push is detected by reading the refs again."""
        branch, doing = self._publish.branch, f"pushing to the branch {self._publish.branch}"
        if error.kind is Kind.BROKEN:
            now = destination.refs_of(self._ours)
            there = now.branch(branch)
            if there not in (refs.branch(branch), change.head, None):
                return _taken(branch, there)
            if now.tips != refs.tips:
                return failed(f"{doing}, while others pushed: {error.message}")
        return of_git(error, doing)

    def _request(self, host: hosts.Host, refs: Refs) -> str:
        ref, draft = self._settings.ref, self._publish.mode == "DraftPullRequest"
        base = ref if ref is not None and refs.is_branch(ref) else refs.default
        try:
            base = base or host.default_branch()
        except Away as error:
            raise unavailable(error) from error
        except Odd as error:
            raise refused(f"the repository's default branch is unknown: {error}") from error
        if base == self._publish.branch:
            raise refused(f"publish.branch is {base}, into which it would be merged; use another")
        text = self._text
        return pull_requests.request(host, hosts.Wanted(self._publish.branch, base, text.title, text.body, draft))


def _withheld(spec: Mapping[str, Any], attempt: Attempt) -> str | None:
    """Return why an answer is not published: a rule of the job does not count it as success."""
    rules = [rule for rule in (spec.get("resultPolicy") or {}).get("rules") or () if rule.get("onOutcomes")]
    result = attempt["result"]
    if result is None:
        outcome = attempt.get("undecided")
        again = any(outcome in rule["onOutcomes"] and rule.get("action") not in _FINAL for rule in rules)
        return f"outcome {outcome!r:.80} is not final: a rule of the job may let it run again" if again else None
    outcome = result.get("outcome")
    for rule in rules:
        if outcome is not None and outcome in rule["onOutcomes"]:
            if rule.get("action") == _SUCCESS:
                return None
            return (
                f"outcome {outcome!r:.80} is not published: rule {rule.get('name')!r:.80} does not count it as success"
            )
    return None


def _held(credentials: Credentials, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the pod's secrets, with their names for messages."""
    for key in (PASSWORD, TOKEN, SSH_KEY):
        if key in credentials.keys:
            yield f"{key} of publish.secretRef", (credentials.folder / key).read_text("utf-8", "surrogateescape")
    if file := variables.get(contract.ENV_TOKEN_FILE):
        yield "the pod's token", Path(file).read_text("utf-8", "surrogateescape")


def _nothing(why: str) -> Ended:
    return Ended(Ending(Verdict.SUCCEED, NOT_PUBLISHED, why), Published(branch="", commit=""))


def _taken(branch: str, there: str) -> StartEnded:
    return refused(
        f"the branch {branch} exists, with commits that the agent's commits do not follow ({there[:12]}), and is only "
        "moved forward. Delete it, or use another publish.branch, e.g. with $(job.name), and run the job again"
    )


def _caveats(change: Change) -> str:
    """Return caveats about what was published."""
    parts = [] if change.kept else ["the agent's commits could not be kept, so its files are one commit"]
    if change.left_out:
        named = ", ".join(repr(os.fsdecode(path))[:80] for path in change.left_out[:_MAX_NAMED])
        more = " and more" if len(change.left_out) > _MAX_NAMED else ""
        parts.append(f"left out, because Git cannot add them: {named}{more}")
    return "; ".join(parts)
