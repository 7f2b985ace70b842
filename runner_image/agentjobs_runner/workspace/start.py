"""The agent's files in the runner: restored before the engine runs, kept while it runs. No credentials are here."""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final, Protocol

from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.journal import Journal
from agentjobs_runner.kept import Kept
from agentjobs_runner.log import logger
from agentjobs_runner.redaction import safe_str
from agentjobs_runner.timeline import Recorder
from agentjobs_runner.workspace.clone import FETCHED_REF
from agentjobs_runner.workspace.container import failed
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import LOCAL, Git
from agentjobs_runner.workspace.saved import UNKEPT_FILE, NotKept, Saved
from agentjobs_runner.workspace.saving_journal import SavingJournal
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place, Settings

# The author of commits if the agent sets none.
AUTHOR: Final = ("agentjobs", "agentjobs@users.noreply.invalid")


class Renewable(Journal, Protocol):
    """A journal whose run can begin again."""

    def begin_anew(self) -> None:
        """Discard the steps of earlier starts: this start begins another run. Call it before `open`."""
        ...


class AgentFiles:
    """The workspace of one start.

    Args:
        kept: keeps changes for later starts; None if this gateway does not support it.
        recorder: takes warnings, and signs of progress.
    """

    def __init__(
        self, settings: Settings, place: Place, attempt: Attempt, kept: Kept | None, recorder: Recorder
    ) -> None:
        self._settings = settings
        self._place = place
        self._job, self._start = attempt["job"], attempt["start"]
        self._kept = kept
        self._recorder = recorder
        # Fast rather than small: a tool's result waits for it. Large files are not stored as differences.
        fast = (("core.compression", "1"), ("core.bigFileThreshold", "8m"))
        self._git = Git(protocols=LOCAL, settings=fast)
        self._saved: Saved | None = None
        self._journal: SavingJournal | None = None
        self._warned = ""

    @classmethod
    def of(
        cls, attempt: Attempt, variables: Mapping[str, str], kept: Kept | None, recorder: Recorder
    ) -> "AgentFiles | None":
        """Return the workspace of a start; None without one, or without a checkout (`agentjobs run`)."""
        settings = Settings.of(attempt["resolved"]["spec"])
        root = variables.get(contract.ENV_WORKSPACE)
        if settings is None or not root:
            return None
        return cls(settings, Place(Path(root)), attempt, kept, recorder)

    @property
    def publishes(self) -> bool:
        """Whether the files are to be published."""
        return self._settings.publishes

    def open(self, journal: Renewable, variables: MutableMapping[str, str]) -> Journal:
        """Restore the files and make this process and `variables`, its environment, use them.

        Returns:
            The journal to use, which keeps the files.

        Raises:
            StartEnded: there is no checkout, or no git.
        """
        self._check()
        try:
            if self._settings.named:
                self._take_in()
            elif self._kept is None:
                self._warn("the agent's changes are not kept: this gateway does not support it")
            else:
                self._saved = self._prepared(self._kept)
                self._restore(self._kept, self._saved, journal)
        except GitFailed as error:
            raise StartEnded(failed(error)) from error
        os.chdir(self._place.tree)
        variables.update(agent_variables(variables, self._place.tree))
        self._recorder.progressed()
        if self._saved is None:
            return journal
        self._journal = SavingJournal(journal, self)
        return self._journal

    def is_recording(self) -> bool:
        """Whether files of a step are being kept that the journal does not have yet."""
        return self._journal is not None and self._journal.is_recording()

    def restored(self, ending: Ending) -> Ending:
        """Restore the files for publishing, after the agent has already succeeded.

        Returns:
            `ending`, or why they cannot be restored.
        """
        try:
            self._check()
            if not self._settings.named:
                self._restore_all()
        except StartEnded as ended:
            return ended.ending
        except GitFailed as error:
            return failed(error)
        except NotKept as error:
            message = f"the agent has succeeded, but its files cannot be restored: {error}"
            return Ending(Verdict.FAIL, ErrorClass.PUBLISH_REFUSED, message)
        except Exception as error:  # an unreported end would hang the pod
            logger.exception("workspace.failed")
            message = f"the agent's files cannot be restored: {type(error).__name__}: {safe_str(error)}"
            return Ending(Verdict.RETRY, ErrorClass.PUBLISH_FAILED, message)
        return ending

    def _restore_all(self) -> None:
        kept = self._kept
        if kept is None or UNKEPT_FILE in kept.files():
            raise NotKept("they could not be kept")
        base = Base.load(kept.read(BASE_FILE), self._settings)
        if base is None or base.lost:
            raise NotKept("the repository no longer has their base commit")
        for problem in self._prepared(kept).restore():
            self._warn(problem)

    def keep(self) -> None:
        """Keep changes; warns if that fails."""
        if self._saved is None:
            return
        self._recorder.progressed()
        try:
            self._saved.save()
            self._warned = ""
        except NotKept as error:
            self._warn(f"the agent's files are not kept, so a later start would begin again: {error}")
        self._recorder.progressed()

    def secure(self) -> None:
        """Keep the run's base."""
        if self._saved is not None:
            self._saved.secure()

    def undo(self) -> None:
        """Reset the files to the run's base."""
        if self._saved is not None:
            try:
                self._saved.undo()
            except GitFailed as error:
                raise StartEnded(failed(error)) from error

    def _check(self) -> None:
        if not (self._place.tree / ".git").is_dir():
            message = f"there is no checkout at {self._place.tree}: container {contract.CLONE_CONTAINER} creates it"
            raise StartEnded(Ending(Verdict.RETRY, ErrorClass.REPOSITORY_UNAVAILABLE, message))

    def _prepared(self, kept: Kept) -> Saved:
        base = Base.load(kept.read(BASE_FILE), self._settings)
        if base is None:
            head = self._git.run(f"--git-dir={self._place.tree / '.git'}", "rev-parse", "--verify", "HEAD")
            base = Base(self._settings.url, self._settings.ref, "", head.decode().strip(), lost="")
        saved = Saved(self._place, self._git, kept, base, self._start)
        saved.prepare()
        return saved

    def _restore(self, kept: Kept, saved: Saved, journal: Renewable) -> None:
        """Restore the files of the previous start; if that fails, the run begins again."""
        files = kept.files()
        why = ""
        base = Base.load(kept.read(BASE_FILE), self._settings)
        if base is None:
            why = "the run's base is no longer known" if files else ""
        elif base.lost:
            why = f"the repository no longer has the run's base commit {base.lost[:12]}"
        elif UNKEPT_FILE in files:
            why = "the files of the previous start could not be kept"
        else:
            try:
                for problem in saved.restore():
                    self._warn(problem)
            except NotKept as error:
                why = str(error)
                # First, so that a start that dies here is not followed by one that continues without the files.
                kept.write(UNKEPT_FILE, why.encode()[:1024])
                saved.undo()
        if why:
            self._warn(f"the job begins again: {why}")
            for name in files:
                if name not in (BASE_FILE, UNKEPT_FILE):
                    kept.delete(name)
            journal.begin_anew()

    def _take_in(self) -> None:
        """Add fetched objects to a Named worktree. Its files and branches do not change."""
        fetched = self._place.fetched
        if not fetched.is_dir():
            return
        git, tree = self._git, f"--git-dir={self._place.tree / '.git'}"
        base = None if self._kept is None else Base.load(self._kept.read(BASE_FILE), self._settings)
        name = f"refs/remotes/origin/{base.branch}" if base is not None and base.branch else "refs/agentjobs/base"
        order = ("fetch", "-q", "--no-tags", "--update-shallow", "--no-write-fetch-head", "--no-recurse-submodules")
        try:
            git.run(tree, *order, f"file://{fetched}", f"+{FETCHED_REF}:{name}")
        except GitFailed as error:
            if error.kind is Kind.ABSENT:
                raise
            self._warn(f"the repository's new objects could not be added to the worktree: {error.message}")

    def _warn(self, message: str) -> None:
        """Warn once, until it succeeds again."""
        if message == self._warned:
            return
        self._warned = message
        logger.warning("workspace.warning", extra={"detail": message})
        self._recorder.add("warning", self._job, {"level": "WARNING", "message": message})


def agent_variables(variables: Mapping[str, str], tree: Path) -> dict[str, str]:
    """Return the environment in which an agent can use Git in `tree`, regardless of the owner of its files."""
    count = variables.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isascii() and count.isdigit() else 0
    ours = [("safe.directory", "*")]
    if "GIT_AUTHOR_NAME" not in variables:
        ours += [("user.name", AUTHOR[0]), ("user.email", AUTHOR[1])]
    found = {"PWD": str(tree), "GIT_CONFIG_COUNT": str(first + len(ours))}
    for number, (name, value) in enumerate(ours, first):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found
