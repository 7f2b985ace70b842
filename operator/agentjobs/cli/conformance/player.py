"""One situation from beginning to end: servers, folder, program; the observations are returned as a value."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentjobs import contract
from agentjobs.cli.conformance.observations import MODELS, Observations
from agentjobs.cli.conformance.program import Place, Program, Running
from agentjobs.cli.conformance.server import Server, serving
from agentjobs.cli.conformance.stage import Script, Stage
from agentjobs.contract import Attempt

if TYPE_CHECKING:
    from agentjobs.dev.authority import Certified

_POLL_SECONDS: Final = 0.02
# A program that does not stop in time gets a little longer, to measure how late it is.
_LATE_SECONDS: Final = 2.0
# The part of a termination file that is read to measure it.
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scene:
    """How a situation is played. Times are in seconds.

    `script` has the gateway's special answers; `stop` decides, from the requests so far, when the program is stopped.
    """

    attempt: Attempt
    script: Callable[[Stage], Script]
    answer: str
    hold: float = 0.0
    """The delay of model answers."""
    works_long: bool = False
    """Whether the program is known to take long for the job."""
    limit: float = 60.0
    """The time limit of the program."""
    grace: float = 30.0
    stop: Callable[[Stage], float | None] | None = None
    opens_after: float = 0.0
    """When the gateway begins to listen."""
    tls: str = ""
    """`own` for a CA that the program is given, `other` for one that it is not."""
    engine: str = ""


class Stopped(Exception):
    """The command was stopped."""


def play(scene: Scene, program: Program, stopping: threading.Event) -> Observations:
    """Run the program in the scene and return the observations. All its processes are ended.

    Raises:
        Failure: the program cannot be started.
        Stopped: `stopping` was set.
    """
    with tempfile.TemporaryDirectory(prefix="agentjobs-conformance-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # a container has another user
        mount = _Mount(folder / "mount")
        stage = Stage(
            scene.attempt, answer=scene.answer, hold=scene.hold, works_long=scene.works_long, renew=mount.write_token
        )
        mount.write_token(stage.tokens[-1])
        stage.script = scene.script(stage)
        pair = _certificates(folder, mount, scene.tls)
        server = Server(stage, None if pair is None else (pair.certificate, pair.key))
        termination = _TerminationFile(folder / "termination")
        place = Place(mount.folder, termination.path, _variables(scene, server.url), authority=pair is not None)
        with termination, serving(server, after=scene.opens_after):
            began = time.monotonic()
            running = program.start(place)
            running.watch(stage.tokens)
            with _ended(running):
                course = _follow(scene, stage, running, began, stopping)
            replaced = termination.is_replaced()
        return Observations(
            attempt=stage.given,
            calls=tuple(stage.calls),
            began=began,
            ended=course.ended,
            code=course.code,
            why_killed=course.why_killed,
            termination=termination.read(),
            replaced=replaced,
            leaked=running.leaked,
            output=running.output,
            stopped=course.stopped,
            grace=scene.grace,
            held=scene.works_long or (scene.hold > 0 and any(call.of_models for call in stage.calls)),
            final=stage.final,
            shaken_off=stage.shaken_off is not None,
        )


@dataclass(slots=True)
class _Course:
    ended: float = 0.0
    code: int | None = None
    why_killed: str = ""
    stopped: float | None = None


def _follow(scene: Scene, stage: Stage, running: Running, began: float, stopping: threading.Event) -> _Course:
    """Wait for the program's end; stop it when the scene requires that, and kill it after its time limit."""
    course = _Course()
    while (code := running.poll()) is None:
        now = time.monotonic()
        if stopping.wait(_POLL_SECONDS):
            raise Stopped
        running.watch(stage.tokens)
        if course.stopped is None and scene.stop is not None:
            at = scene.stop(stage)
            if at is not None and now >= at:
                course.stopped = now
                running.terminate()
        if course.stopped is not None and now > course.stopped + scene.grace + _LATE_SECONDS:
            course.why_killed = f"did not stop within {scene.grace:.0f} s after SIGTERM"
        elif now > began + scene.limit:
            course.why_killed = f"did not end within {scene.limit:.0f} s"
        elif stage.hopeless:
            course.why_killed = "was repeatedly rejected for its token"
        if course.why_killed:
            break
    course.ended, course.code = time.monotonic(), code
    return course


@contextmanager
def _ended(running: Running) -> Iterator[None]:
    try:
        yield
    finally:
        running.end()


class _Mount:
    """The folder with the token, renewed like a kubelet does it: by a symbolic link to another folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = 0
        folder.mkdir(mode=0o755)

    def write_token(self, token: str) -> None:
        """Replace the token."""
        self._written += 1
        data = self.folder / f"..{self._written}"
        data.mkdir(mode=0o755)
        (data / "token").write_text(token)
        link, new = self.folder / "..data", self.folder / "..data_tmp"
        new.symlink_to(data.name)
        new.replace(link)
        if not (self.folder / "token").is_symlink():
            (self.folder / "token").symlink_to("..data/token")


class _TerminationFile:
    """The file for the termination message. In a pod it is a mount, so that a program can write but not replace it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        path.chmod(0o666)

    def __enter__(self) -> None:
        # Kept open, so that no other file can get its inode number.
        self._mounted = self.path.open("rb")

    def __exit__(self, *_: object) -> None:
        self._mounted.close()

    def is_replaced(self) -> bool:
        """Whether the program has removed it, or has put another file in its place."""
        return not self.path.exists() or not os.path.samestat(self.path.stat(), os.fstat(self._mounted.fileno()))

    def read(self) -> bytes:
        """Return the content, up to a kubelet's limit."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            return os.read(descriptor, _MOST_BYTES)
        except OSError:  # it is a folder
            return b""
        finally:
            os.close(descriptor)


def _certificates(folder: Path, mount: _Mount, tls: str) -> "Certified | None":
    """Create the server's certificate, and put its CA into the mount that the program uses to verify it."""
    if not tls:
        return None
    from agentjobs.dev.authority import certified  # part of the development cluster, which images lack

    made = []
    for name in ("own", "other"):
        (folder / name).mkdir(mode=0o700)
        made.append(certified(folder / name, now=datetime.now(UTC)))
    own, other = made
    (mount.folder / Path(contract.GATEWAY_CA_FILE).name).write_bytes(own.authority.read_bytes())
    return own if tls == "own" else other


def _variables(scene: Scene, url: str) -> dict[str, str]:
    engine = {contract.ENV_ENGINE: scene.engine} if scene.engine else {}
    return {
        contract.ENV_GATEWAY_URL: url,
        contract.ENV_MODELS_URL: f"{url}{MODELS}",
        contract.ENV_NAMESPACE: scene.attempt["namespace"],
        contract.ENV_JOB: scene.attempt["job"],
        contract.ENV_START: str(scene.attempt["start"]),
        contract.ENV_GRACE_SECONDS: f"{scene.grace:.0f}",
        **engine,
    }
