"""The agent's files in the runner: put in place before the engine, kept while it works. No credentials are here."""

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

# Who makes the commits of an agent that says nothing else.
AUTHOR: Final = ("agentjobs", "agentjobs@users.noreply.invalid")


class Renewable(Journal, Protocol):
    """A journal whose run can begin anew."""

    def begin_anew(self) -> None:
        """Forget what earlier starts recorded: this start begins another run. Before `open`."""
        ...


class AgentFiles:
    """The workspace of one start.

    Args:
        kept: keeps changes for later starts; None where this gateway keeps nothing.
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
        # Quick rather than small: a tool's result waits for it. Large files are no differences of each other.
        fast = (("core.compression", "1"), ("core.bigFileThreshold", "8m"))
        self._git = Git(protocols=LOCAL, settings=fast)
        self._saved: Saved | None = None
        self._told = ""

    @classmethod
    def of(
        cls, attempt: Attempt, variables: Mapping[str, str], kept: Kept | None, recorder: Recorder
    ) -> "AgentFiles | None":
        """Return the workspace of a start; None where the job has none, or nobody made it (`agentjobs run`)."""
        settings = Settings.of(attempt["resolved"]["spec"])
        root = variables.get(contract.ENV_WORKSPACE)
        if settings is None or not root:
            return None
        return cls(settings, Place(Path(root)), attempt, kept, recorder)

    @property
    def publishes(self) -> bool:
        """Whether something is published of the files."""
        return self._settings.publishes

    def open(self, journal: Renewable, variables: MutableMapping[str, str]) -> Journal:
        """Put the files in place and lead this process and `variables`, its environment, to them.

        Returns:
            The journal to record in, which keeps the files.

        Raises:
            StartEnded: there is no checkout, or no git.
        """
        self._check()
        try:
            if self._settings.named:
                self._take_in()
            elif self._kept is None:
                self._warn("what the agent changes is not kept: this gateway keeps no files")
            else:
                self._saved = self._prepared(self._kept)
                self._restore(self._kept, self._saved, journal)
        except GitFailed as error:
            raise StartEnded(failed(error)) from error
        os.chdir(self._place.tree)
        variables.update(agent_variables(variables, self._place.tree))
        self._recorder.progressed()
        return journal if self._saved is None else SavingJournal(journal, self)

    def restored(self, ending: Ending) -> Ending:
        """Put the files in place for whoever publishes them; no agent runs any more.

        Returns:
            `ending`, or why they cannot be had again.
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
            said = f"the agent has succeeded, and its files cannot be had again: {error}"
            return Ending(Verdict.FAIL, ErrorClass.PUBLISH_REFUSED, said)
        except Exception as error:  # the outermost line of a thread: an unreported end would hang the pod
            logger.exception("workspace.failed")
            said = f"the agent's files cannot be restored: {type(error).__name__}: {safe_str(error)}"
            return Ending(Verdict.RETRY, ErrorClass.PUBLISH_FAILED, said)
        return ending

    def _restore_all(self) -> None:
        kept = self._kept
        if kept is None or UNKEPT_FILE in kept.files():
            raise NotKept("they could not be kept")
        base = Base.load(kept.read(BASE_FILE), self._settings)
        if base is None or base.lost:
            raise NotKept("the repository has the commit no more that they are based on")
        for problem in self._prepared(kept).restore():
            self._warn(problem)

    def keep(self) -> None:
        """Keep what has changed; says so where it cannot."""
        if self._saved is None:
            return
        self._recorder.progressed()
        try:
            self._saved.save()
            self._told = ""
        except NotKept as error:
            self._warn(f"the agent's files are not kept, so a later start would begin anew: {error}")
        self._recorder.progressed()

    def secure(self) -> None:
        """Keep what the run begins from."""
        if self._saved is not None:
            self._saved.secure()

    def undo(self) -> None:
        """Set the files as the run began."""
        if self._saved is not None:
            try:
                self._saved.undo()
            except GitFailed as error:
                raise StartEnded(failed(error)) from error

    def _check(self) -> None:
        if not (self._place.tree / ".git").is_dir():
            said = f"there is no checkout at {self._place.tree}: the container {contract.CLONE_CONTAINER} makes it"
            raise StartEnded(Ending(Verdict.RETRY, ErrorClass.REPOSITORY_UNAVAILABLE, said))

    def _prepared(self, kept: Kept) -> Saved:
        base = Base.load(kept.read(BASE_FILE), self._settings)
        if base is None:
            head = self._git.run(f"--git-dir={self._place.tree / '.git'}", "rev-parse", "--verify", "HEAD")
            base = Base(self._settings.url, self._settings.ref, "", head.decode().strip(), lost="")
        saved = Saved(self._place, self._git, kept, base, self._start)
        saved.prepare()
        return saved

    def _restore(self, kept: Kept, saved: Saved, journal: Renewable) -> None:
        """Set the files as the start before left them; where that cannot be, the run begins anew."""
        files = kept.files()
        why = ""
        base = Base.load(kept.read(BASE_FILE), self._settings)
        if base is None:
            why = "what the run began from is not known any more" if files else ""
        elif base.lost:
            why = f"the repository has the commit {base.lost[:12]} no more, which the run began from"
        elif UNKEPT_FILE in files:
            why = "the files of the start before could not be kept"
        else:
            try:
                for problem in saved.restore():
                    self._warn(problem)
            except NotKept as error:
                why = str(error)
                # First, so that a start that dies here is not followed by one that goes on without the files.
                kept.write(UNKEPT_FILE, why.encode()[:1024])
                saved.undo()
        if why:
            self._warn(f"the job begins anew: {why}")
            for name in files:
                if name not in (BASE_FILE, UNKEPT_FILE):
                    kept.delete(name)
            journal.begin_anew()

    def _take_in(self) -> None:
        """Give a Named worktree what was fetched for it. Its files and branches stay as they are."""
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
            self._warn(f"what the repository has now could not be taken into the worktree: {error.message}")

    def _warn(self, message: str) -> None:
        """Say it once, while it goes on."""
        if message == self._told:
            return
        self._told = message
        logger.warning("workspace.warning", extra={"why": message})
        self._recorder.add("warning", self._job, {"level": "WARNING", "message": message})


def agent_variables(variables: Mapping[str, str], tree: Path) -> dict[str, str]:
    """Return what an agent's environment needs to work in `tree` with Git, whoever owns the files."""
    count = variables.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isascii() and count.isdigit() else 0
    ours = [("safe.directory", "*")]
    if "GIT_AUTHOR_NAME" not in variables:
        ours += [("user.name", AUTHOR[0]), ("user.email", AUTHOR[1])]
    found = {"PWD": str(tree), "GIT_CONFIG_COUNT": str(first + len(ours))}
    for number, (name, value) in enumerate(ours, first):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found
