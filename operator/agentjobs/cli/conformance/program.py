"""The program under test, as a local process or in a container of an image."""

import os
import secrets
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from agentjobs import contract
from agentjobs.cli.failures import USAGE, Failure

NO_TOOL: Final = 3
"""The exit code if this machine cannot run images."""
TOOLS: Final = ("docker", "podman")
# The same as in pods.
_USER: Final = "65532:65532"
_TAIL_BYTES: Final = 16 * 1024
_PIECE_BYTES: Final = 64 * 1024
_TOOL_SECONDS: Final = 20.0
_PULL_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.1
# A descendant in its own session may continue to print.
_DRAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """What is given to a program.

    `mount` is the folder with the token and the CA, `termination` the file for the message; `variables` are those of
    the contract, except the three with a path.
    """

    mount: Path
    termination: Path
    variables: Mapping[str, str]
    authority: bool
    """Whether the folder has a CA, and the program's environment names it."""

    def named(self, mount: str, termination: str) -> dict[str, str]:
        """Return all variables, with the paths in the program's file system."""
        paths = {contract.ENV_TOKEN_FILE: f"{mount}/token", contract.ENV_TERMINATION_FILE: termination}
        if self.authority:
            paths[contract.ENV_GATEWAY_CA] = f"{mount}/{Path(contract.GATEWAY_CA_FILE).name}"
        return {**self.variables, **paths}


class Program(Protocol):
    """The program to run."""

    def start(self, place: Place) -> "Running":
        """Start it.

        Raises:
            Failure: it cannot be started.
        """
        ...


class Running:
    """A started program and its output.

    Args:
        process: the program, or the process that runs its container.
        tool: docker or podman, and the container's name; None for a process.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", tool: tuple[str, str] | None = None) -> None:
        self._process = process
        self._tool = tool
        self._tail = bytearray()
        self._secrets: tuple[bytes, ...] = ()
        self.leaked = False
        """Whether it printed one of the texts given to `watch`."""
        self._over = threading.Event()
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def watch(self, texts: Sequence[str]) -> None:
        """Watch its output for these texts."""
        self._secrets = tuple(text.encode() for text in texts)

    def poll(self) -> int | None:
        """Return the exit code, as a shell reports it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def terminate(self) -> None:
        """Send SIGTERM, as a kubelet does."""
        if self._tool is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        else:
            self._order("kill", "--signal=TERM")

    def end(self) -> None:
        """End all processes that it started, and read the rest of its output."""
        if self._tool is not None:
            self._order("rm", "--force")
        # Descendants share its session, even if the process itself has ended.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._over.set()
        self._reader.join(_DRAIN_SECONDS)
        self._look()

    @property
    def output(self) -> str:
        """The end of its output."""
        return bytes(self._tail).decode("utf-8", "replace")

    def _order(self, *words: str) -> None:
        assert self._tool is not None
        tool, name = self._tool
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603  constant words and a name of ours
                [tool, *words, name], capture_output=True, timeout=_TOOL_SECONDS, check=False
            )

    def _read(self, pipe: IO[bytes]) -> None:
        # Keep only the end: a program may print without end, and a descendant may hold the pipe open forever.
        with pipe:
            while not self._over.is_set() or select.select([pipe], [], [], 0)[0]:
                if not select.select([pipe], [], [], _POLL_SECONDS)[0]:
                    continue
                if not (piece := os.read(pipe.fileno(), _PIECE_BYTES)):
                    return
                self._tail += piece
                self._look()
                del self._tail[:-_TAIL_BYTES]

    def _look(self) -> None:
        tail = bytes(self._tail)
        self.leaked = self.leaked or any(text in tail for text in self._secrets)


@dataclass(frozen=True, slots=True)
class Command:
    """A program of this machine."""

    words: tuple[str, ...]

    def start(self, place: Place) -> Running:
        """See `Program`."""
        ours = place.named(str(place.mount), str(place.termination))
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("AGENTJOBS_")}
        # Proxy variables: they do not lead to the loopback interface.
        theirs |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        try:
            process = subprocess.Popen(  # noqa: S603  what the user typed
                self.words,
                env={**theirs, **ours},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Failure(f"{self.words[0]} cannot be started: {error.strerror or error}.", code=USAGE) from None
        return Running(process)


@dataclass(frozen=True, slots=True)
class Image:
    """An image, with its own or another command; as close to a pod's container as docker or podman allow."""

    tool: str
    name: str
    words: tuple[str, ...] = ()

    def start(self, place: Place) -> Running:
        """See `Program`."""
        container = f"agentjobs-conformance-{secrets.token_hex(6)}"
        process = subprocess.Popen(  # noqa: S603  what the user typed, behind constant words
            self._words(container, place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return Running(process, (self.tool, container))

    def _words(self, container: str, place: Place) -> list[str]:
        variables = place.named(contract.TOKEN_MOUNT, contract.TERMINATION_FILE)
        usual = {"HOME": "/tmp", **variables}  # noqa: S108  the container's own
        command, *arguments = self.words or ("",)
        return [
            *(self.tool, "run", "--rm", "--name", container, "--network", "host"),
            *("--read-only", "--tmpfs", "/tmp:mode=1777", "--user", _USER),  # noqa: S108  as above
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--volume", f"{place.mount}:{contract.TOKEN_MOUNT}:ro"),
            *("--volume", f"{place.termination}:{contract.TERMINATION_FILE}"),
            *(word for name, value in usual.items() for word in ("--env", f"{name}={value}")),
            *(("--entrypoint", command) if command else ()),
            *(self.name, *arguments),
        ]


def image(name: str, words: Sequence[str]) -> Image:
    """Return an image as a program.

    Raises:
        Failure: this machine cannot run images, or the image is not available.
    """
    tried = []
    for tool in TOOLS:
        if (path := shutil.which(tool)) is None:
            tried.append(f"{tool} is not installed")
            continue
        if reason := _refused(path, "info"):
            tried.append(f"{tool} does not work: {reason}")
            continue
        # Before the first situation: its time limit is for the program.
        if _refused(path, "image", "inspect", name) and (reason := _refused(path, "pull", name, seconds=_PULL_SECONDS)):
            raise Failure(f"image {name} is not available: {reason}.")
        return Image(path, name, tuple(words))
    cure = "Without them, give the image's command after `--` to run it as a process"
    raise Failure(f"an image needs docker or podman: {'; '.join(tried)}. {cure}.", code=NO_TOOL)


def _refused(tool: str, *words: str, seconds: float = _TOOL_SECONDS) -> str:
    """Return why a tool failed; empty when it succeeded."""
    try:
        done = subprocess.run(  # noqa: S603  constant words, and an image that the user typed
            [tool, *words], capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else contract.cut(lines[-1] if lines else f"exit code {done.returncode}", 200)
