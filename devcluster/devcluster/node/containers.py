"""One container as one process: starts it, keeps its log, reports its end."""

import asyncio
import contextlib
import datetime
import errno
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.client import Object
from devcluster.node.environment import Paths
from devcluster.node.logs import ContainerLog
from devcluster.node.statuses import Running, Terminated, exit_state, start_error
from devcluster.process import Child, Forks, spawn

# The kubelet's limits for a termination message, and for those of all containers of a pod.
_MESSAGE_BYTES = 4096
_POD_MESSAGE_BYTES = 12 * 1024
# A descendant that left the group may keep the pipe open; the end of the container waits this long for it.
_DRAIN_SECONDS = 0.5

_WHY = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.ENOEXEC: "exec format error",
}


class Container:
    """A started container. Created by `start`."""

    def __init__(
        self,
        spec: Object,
        child: Child,
        log: ContainerLog,
        paths: Paths,
        started: datetime.datetime,
        message_bytes: int = _MESSAGE_BYTES,
    ) -> None:
        self._spec = spec
        self._message_bytes = message_bytes
        self._log = log
        self._paths = paths
        self.child = child
        self.state = Running(child.pid, started)

    async def ended(self) -> Terminated:
        """Wait for the end and return its state."""
        code = await self.child.wait()
        finished = datetime.datetime.now(datetime.UTC)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._log.closed.wait(), _DRAIN_SECONDS)
        self._log.close()
        return exit_state(
            code, pid=self.child.pid, started=self.state.started, finished=finished, message=self._message(code)
        )

    def _message(self, code: int) -> str:
        try:
            with self._paths.termination_file.open("rb") as file:
                text = file.read(self._message_bytes).decode(errors="replace")
        except OSError:
            text = ""
        if not text and code != 0 and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            return self._log.tail()
        return text


def message_bytes(pod: Object) -> int:
    """Return the maximum size of each termination message of a pod: its containers share the kubelet's limit."""
    spec = pod["spec"]
    count = sum(len(spec.get(kind) or []) for kind in ("containers", "initContainers", "ephemeralContainers"))
    return min(_MESSAGE_BYTES, _POD_MESSAGE_BYTES // max(1, count))


async def start(
    spec: Object,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    log: ContainerLog,
    paths: Paths,
    forks: Forks | None = None,
    message_bytes: int = _MESSAGE_BYTES,
) -> Container | Terminated:
    """Start the process of a container in `folder`; return the state of its end if the command cannot be executed.

    Args:
        message_bytes: maximum size of its termination message; the rest is cut.
    """
    now = datetime.datetime.now(datetime.UTC)
    paths.termination_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths.termination_file.touch(mode=0o600)
    loop = asyncio.get_running_loop()
    try:
        child = spawn(command, env=env, folder=folder, output=subprocess.PIPE, contained=True, forks=forks)
    except OSError as error:
        log.close()
        return start_error(command[0], _why(command[0], error), finished=now)
    except ValueError as error:  # a NUL in an argument or a variable
        log.close()
        return start_error(command[0], str(error), finished=now)
    try:
        await loop.connect_read_pipe(lambda: log, child.stdout)
    except BaseException:
        child.send(signal.SIGKILL)
        raise
    return Container(spec, child, log, paths, now, message_bytes)


def _why(command: str, error: OSError) -> str:
    why = _WHY.get(error.errno or 0, error.strerror or str(error))
    if "/" not in command:
        return "executable file not found in $PATH" if error.errno == errno.ENOENT else why
    return f"stat {command}: {why}"
