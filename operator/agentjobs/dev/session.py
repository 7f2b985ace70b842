"""`agentjobs dev`: a development cluster in a terminal, until Ctrl-C or the end of a command."""

import asyncio
import contextlib
import fcntl
import logging
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from agentjobs.dev.backends import Backend
from agentjobs.dev.parts import PartEnded
from agentjobs.dev.programs import MODELS_FILE, handed_to_models, handed_to_pods
from agentjobs.dev.up import DevCluster, up
from agentjobs.dev.welcome import welcome
from agentjobs.errors import AgentJobsError
from devcluster.client import ApiError
from devcluster.postgres import PostgresError
from devcluster.process import Child, spawn

# kubectl caches discovery by host and port for hours, so an interactive cluster keeps its port if possible.
PORT = 17443
# Bookmarks and sessions depend on the port.
DASHBOARD_PORT = 17445
_reservations: list[socket.socket] = []
_GRACE_SECONDS = 10.0
_ABSENT: Mapping[Backend, str] = {
    "embedded": "Not served here: exec, attach, port-forward, cp, webhooks, quotas, Deployments and other workloads.",
    "envtest": "Not served here: exec, attach, port-forward, cp, Deployments and other workloads.",
    "kubeconfig": """\
In the cluster: namespace {place.namespace}, which this KUBECONFIG names, {place.system} and the node {place.node}.
They are removed at the end, with their contents; the CustomResourceDefinitions stay.
Not served here: logs, exec, attach, port-forward, cp for our pods.""",
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

APISERVER_VARIABLE = "AGENTJOBS_DEV_APISERVER"
FOLDER_VARIABLE = "AGENTJOBS_DEV_FOLDER"


class UsageError(Exception):
    """The session cannot start; the message has the reason and a solution."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


FAILURES: Final = (UsageError, PartEnded, PostgresError, AgentJobsError, ApiError, TimeoutError, OSError)
"""Errors that prevent a start or end a cluster; the user sees the message without a traceback."""


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    apiserver: str | None = None,
    context: str | None = None,
    sinks: str | None = None,
    triggers: str | None = None,
) -> int:
    """Run the session and return its exit status: the command's, else 0 after Ctrl-C and 1 when a part failed."""
    try:
        chosen = backend(environ, wanted=apiserver)
        if context and chosen != "kubeconfig":
            raise UsageError(f"--context={context} needs --apiserver=kubeconfig, but it is {chosen}", status=2)
        if command and shutil.which(command[0], path=environ.get("PATH")) is None:
            # Checked before a cluster is started, with the status of a shell.
            raise UsageError(f"cannot run {command[0]!r}: not found in PATH, or not executable", status=127)
        session = _Session(
            command=command,
            environ=environ,
            apiserver=chosen,
            context=context,
            providers=_providers(environ),
            sinks=_file("--sinks", sinks, _check_sinks),
            triggers=_file("--triggers", triggers, _check_triggers),
        )
        with _folder(environ, temporary=bool(command)) as folder:
            _log_to(folder / "cluster.log")
            return asyncio.run(session.run(folder))
    except FAILURES as error:
        print(f"agentjobs dev: {error}", file=sys.stderr)
        return error.status if isinstance(error, UsageError) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """A session with valid options."""

    command: Sequence[str]
    """Empty for a session that lasts until Ctrl-C."""
    environ: Mapping[str, str]
    apiserver: Backend
    context: str | None
    providers: Mapping[str, str]
    sinks: Path | None
    triggers: Path | None

    async def run(self, folder: Path) -> int:
        """Start the cluster, run the command or wait for a signal, and stop the cluster; return the exit status."""
        stop = asyncio.Event()
        received: list[int] = []
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, _receive, number, received, stop)
        cluster = self._cluster(folder)
        starting = asyncio.create_task(cluster.__aenter__())
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return 130
            running = starting.result()
            if self.command:
                return await _run_command(self.command, running, received, self.environ)
            absent = _ABSENT[running.backend].format(place=running.place)
            banner = welcome(running, self.providers, absent=absent, sinks=self.sinks, triggers=self.triggers)
            print(banner, flush=True)
            await _until(waiting, running)
            print("\nstopping …", flush=True)
            return 0
        finally:
            waiting.cancel()
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting})
            elif not starting.cancelled() and starting.exception() is None:
                await cluster.__aexit__(None, None, None)

    def _cluster(self, folder: Path) -> contextlib.AbstractAsyncContextManager[DevCluster]:
        lasting = not self.command
        return up(
            folder,
            apiserver=self.apiserver,
            port=_port(PORT) if lasting else 0,
            context=self.context,
            inherit_env=handed_to_pods(self.environ),
            providers=self.providers,
            keep=lasting,
            sinks=self.sinks,
            triggers=self.triggers,
            dashboard=lasting,  # a command does not need pages, and would wait for them
            dashboard_port=_port(DASHBOARD_PORT) if lasting else 0,
        )


async def _until(waiting: "asyncio.Task[bool]", cluster: DevCluster) -> None:
    """Return at a request to stop; raise if the cluster breaks."""
    broken = asyncio.create_task(cluster.until_broken())
    try:
        await asyncio.wait({waiting, broken}, return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
    finally:
        broken.cancel()


async def _run_command(
    command: Sequence[str], cluster: DevCluster, received: list[int], environ: Mapping[str, str]
) -> int:
    """Run the user's command in this terminal and return its status, as in a shell."""
    try:
        child = spawn(command, env={**environ, "KUBECONFIG": str(cluster.kubeconfig)}, output=None, foreground=True)
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}: {error.strerror}", status=126) from error
    broken = asyncio.create_task(cluster.until_broken())
    forward = asyncio.create_task(_forward(child, received))
    ended = asyncio.create_task(child.wait())
    try:
        await asyncio.wait({ended, broken}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await child.stop(_GRACE_SECONDS)
            broken.result()
        code = await ended
        return 128 - code if code < 0 else code
    finally:
        for task in (broken, forward, ended):
            task.cancel()
        child.send(signal.SIGKILL)


async def _forward(child: Child, received: list[int]) -> None:
    """Forward signals to the command, which gets Ctrl-C from the terminal itself."""
    while True:
        await asyncio.sleep(0.05)
        for number in received:
            if number != signal.SIGINT:
                child.send(number)
        received.clear()


def _receive(number: int, received: list[int], stop: asyncio.Event) -> None:
    received.append(number)
    stop.set()


def backend(environ: Mapping[str, str], *, wanted: str | None = None) -> Backend:
    """Return the chosen API server, by default that of the environment; raises `UsageError` for an unknown one."""
    wanted = wanted or environ.get(APISERVER_VARIABLE) or "embedded"
    for known in get_args(Backend):
        if wanted == known:
            chosen: Backend = known
            return chosen
    raise UsageError(
        f"--apiserver={wanted} ({APISERVER_VARIABLE}): use one of {', '.join(get_args(Backend))}", status=2
    )


def _providers(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the model proxy's variables of the environment; raises `UsageError` for an invalid models file."""
    providers = handed_to_models(environ)
    if MODELS_FILE in providers:
        from agentjobs.models import config  # most sessions have no such file

        try:
            config.read(Path(providers[MODELS_FILE]))
        except AgentJobsError as error:
            raise UsageError(f"{MODELS_FILE} is invalid:\n{error}", status=2) from error
    return providers


def _file(option: str, path: str | None, check: Callable[[Path], object]) -> Path | None:
    """Return the file of an option; raises `UsageError` if it is invalid."""
    if path is None:
        return None
    found = Path(path).expanduser().absolute()
    try:
        check(found)
    except AgentJobsError as error:
        raise UsageError(f"{option}: invalid file:\n{error}", status=2) from error
    return found


def _check_sinks(path: Path) -> None:
    from agentjobs.notifier.sinks import Sinks  # most sessions have no such file

    Sinks(path, {})


def _check_triggers(path: Path) -> None:
    from agentjobs.gateway.triggers.file import read  # most sessions have no such file

    read(path)


def _port(usual: int) -> int:
    """Return the usual port, or 0 for any if it is in use, or reserved by another session that is starting.

    Its server binds it seconds later. Until this process ends, the UDP port of that number is the reservation.
    """
    reservation = socket.socket(type=socket.SOCK_DGRAM)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reservation.bind(("127.0.0.1", usual))
            probe.bind(("127.0.0.1", usual))
        except OSError:
            reservation.close()
            return 0
    _reservations.append(reservation)
    return usual


@contextlib.contextmanager
def _folder(environ: Mapping[str, str], *, temporary: bool) -> Iterator[Path]:
    """Lock a folder for this session: a permanent one, which keeps the history, or a temporary one for a command."""
    if temporary:
        folder = Path(tempfile.mkdtemp(prefix="agentjobs-dev-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(environ.get(FOLDER_VARIABLE) or cache / "agentjobs" / "dev").expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another session runs in {folder}; use it (KUBECONFIG={folder / 'kubeconfig'}), stop it, "
                f"or set {FOLDER_VARIABLE} to another folder"
            ) from error
        for log in folder.glob("*.log"):
            log.unlink()
        yield folder


def _log_to(path: Path) -> None:
    """Write the log of this process to a file instead of the terminal."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
