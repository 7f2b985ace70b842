"""Runs Git so that only its arguments decide: no foreign configuration, hooks, prompts or programs.

Commands with a remote only run in our own repositories: a repository's configuration may direct Git to another host,
and no variable overrides all of it.
"""

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from agentjobs_runner.workspace.credentials import Credentials, SshFiles
from agentjobs_runner.workspace.failures import GitFailed, Kind, in_short, kind_of

# Limit of one command. A large repository takes long on a slow line; a stalled one is ended earlier by `_SETTINGS`.
LONGEST_SECONDS: Final = 3600.0
# Limit of one command's output; lists of refs and of files are far smaller.
MAX_OUTPUT_BYTES: Final = 256 * 1024 * 1024
REMOTE: Final = ("https", "http", "ssh")
LOCAL: Final = ("file",)

_CHUNK: Final = 1 << 16
_KEPT_ERROR_BYTES: Final = 1 << 16
# Network access and trusted CAs: the installation's.
_PASSED: Final = (
    *("PATH", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
# Given by variables, which override every file.
_SETTINGS: Final = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.askPass", ""),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("core.quotePath", "false"),
    ("core.autocrlf", "false"),
    ("credential.helper", ""),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("protocol.ext.allow", "never"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("push.gpgSign", "false"),
    ("push.recurseSubmodules", "no"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    # A server that packs a large repository sends a few bytes every five seconds.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "120"),
    ("pack.threads", "2"),
    # Complete packs only: an interrupted fetch leaves a temporary file, never a partial commit.
    ("fetch.unpackLimit", "1"),
    ("checkout.workers", "0"),
)


_running: set[int] = set()
"""The process groups of running commands."""


def end_all() -> None:
    """End the running commands, when the process is about to end."""
    for group in tuple(_running):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


class Git:
    """Runs Git commands. Thread-safe, one command per thread.

    Args:
        credentials: only for the host of their address; without, remotes are accessed anonymously.
        protocols: allowed protocols of remotes, by Git's names.
        seconds: time limit of one command, which is then killed.
        settings: additional Git configuration, which overrides every file.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        protocols: Sequence[str] = REMOTE,
        seconds: float = LONGEST_SECONDS,
        settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._credentials = credentials
        self._seconds = seconds
        self._ssh = SshFiles(credentials) if "ssh" in protocols else None
        self._environment = _environment(credentials, self._ssh, protocols, settings)

    def run(
        self,
        *arguments: str | bytes | Path,
        cwd: Path | None = None,
        input: bytes | None = None,  # noqa: A002  as subprocess calls it
        variables: Mapping[str, str] | None = None,
        output: IO[bytes] | None = None,
        seconds: float | None = None,
        unless: bytes | None = None,
    ) -> bytes:
        """Run a command and return its output; nothing if `output` is a file for it.

        Args:
            arguments: after `git`.
            cwd: its folder; use `--git-dir` if the folder is not ours.
            input: its standard input; none by default.
            variables: additional environment, e.g. GIT_INDEX_FILE.
            output: an open file for its standard output.
            seconds: replaces the general time limit.
            unless: a warning that counts as a failure.

        Raises:
            GitFailed: it failed or took too long, or git is not installed.
        """
        program = shutil.which("git", path=self._environment.get("PATH", os.defpath))
        if program is None:
            raise GitFailed(Kind.ABSENT, "there is no git in PATH of this image")
        limit = self._seconds if seconds is None else seconds
        try:
            process = subprocess.Popen(  # noqa: S603  no shell, and a name of ours
                [program, *arguments],
                cwd=cwd or "/",
                env={**self._environment, **(variables or {})},
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE if output is None else output,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise GitFailed(Kind.BROKEN, f"git cannot be run: {type(error).__name__}: {error}") from error
        with process:
            _running.add(process.pid)
            try:
                printed, stderr = _communicate(process, input, time.monotonic() + limit)
            except TimeoutError:
                message = f"git {_named(arguments)} did not end within {limit:g} seconds"
                raise GitFailed(Kind.UNAVAILABLE, message) from None
            finally:
                # Also when this thread is stopped: no process of a command survives it.
                _end(process)
                _running.discard(process.pid)
        if process.returncode != 0 or (unless is not None and unless in stderr):
            raise self._failed(arguments, process.returncode, stderr)
        return printed

    def _failed(self, arguments: Sequence[str | bytes | Path], code: int, stderr: bytes) -> GitFailed:
        text = stderr.decode("utf-8", "replace")
        kind = kind_of(text)
        short = in_short(self._credentials.cleared(text) if self._credentials is not None else text)
        return GitFailed(kind, f"git {_named(arguments)}: {short or f'exit code {code}'}")


def _environment(
    credentials: Credentials | None,
    ssh: SshFiles | None,
    protocols: Sequence[str],
    more: Sequence[tuple[str, str]],
) -> dict[str, str]:
    # A redirect could send credentials elsewhere; Git follows only the first one, and here none.
    redirects = ("http.followRedirects", "initial" if credentials is None else "false")
    settings = [*_SETTINGS, redirects, *(credentials.settings() if credentials is not None else ()), *more]
    numbered = {f"GIT_CONFIG_{part}_{n}": text for n, pair in enumerate(settings) for part, text in _parts(pair)}
    return {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
        **numbered,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_SSH_COMMAND": "false" if ssh is None else ssh.command,
        "GIT_SSH_VARIANT": "ssh",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ADVICE": "0",
        "GIT_EDITOR": "false",
    }


def _parts(pair: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("KEY", pair[0]), ("VALUE", pair[1])


def _named(arguments: Sequence[str | bytes | Path]) -> str:
    """The command in the arguments: the others may come from the agent, and be long."""
    words = iter(arguments)
    for word in words:
        if word == "-c":
            next(words, None)  # its value
        elif isinstance(word, str) and not word.startswith("-"):
            return word
    return ""


def _communicate(process: "subprocess.Popen[bytes]", given: bytes | None, until: float) -> tuple[bytes, bytes]:
    """Write the input and read the output until the process has ended; of errors, the last part.

    Raises:
        TimeoutError: it has not ended by then.
        GitFailed: it printed more than `MAX_OUTPUT_BYTES`.
    """
    printed, stderr, left = bytearray(), bytearray(), memoryview(given or b"")
    with selectors.DefaultSelector() as ready:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                ready.register(stream, selectors.EVENT_READ, printed if stream is process.stdout else stderr)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            ready.register(process.stdin, selectors.EVENT_WRITE)
        while ready.get_map():
            if (rest := until - time.monotonic()) <= 0:
                raise TimeoutError
            for key, _ in ready.select(rest):
                if key.fileobj is process.stdin:
                    left = _written(key.fd, left)
                    if not left:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                part = os.read(key.fd, _CHUNK)
                if not part:
                    ready.unregister(key.fileobj)
                key.data.extend(part)
            if len(printed) > MAX_OUTPUT_BYTES:
                raise GitFailed(Kind.BROKEN, f"git printed more than {MAX_OUTPUT_BYTES} bytes")
            del stderr[:-_KEPT_ERROR_BYTES]
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return bytes(printed), bytes(stderr)


def _written(descriptor: int, left: memoryview) -> memoryview:
    """Write what the pipe accepts and return the rest; nothing remains if the reader is gone."""
    try:
        return left[os.write(descriptor, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[len(left) :]


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
