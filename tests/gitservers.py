"""Real Git servers on the loopback interface: http through `git http-backend`, ssh through sshd."""

import base64
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
import unittest
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

USER, PASSWORD = "reader", "pass/word with%odd:signs"
HOST = "127.0.0.1"
_PLAIN = {
    **{name: os.environ[name] for name in ("PATH",)},
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def git(*arguments, cwd=None, given=None, check=True):
    """Run git as a person would, without the configuration of who runs the tests; return what it printed."""
    done = subprocess.run(["git", *arguments], cwd=cwd, input=given, env=_PLAIN, capture_output=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"git {arguments}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").strip()


def commit(folder, files, message="change"):
    """Write files (None deletes one) into a checkout, commit them, and return the commit."""
    for name, content in files.items():
        path = Path(folder) / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


@dataclass
class Repositories:
    """Bare repositories in a folder, each with a checkout from which tests push."""

    root: Path

    def make(self, name, files=None):
        """Make a repository with one commit on main, and return its checkout."""
        bare, work = self.root / f"{name}.git", self.root.parent / f"{name}-work"
        git("init", "-q", "--bare", "-b", "main", str(bare))
        git("config", "http.receivepack", "true", cwd=bare)
        git("init", "-q", "-b", "main", str(work))
        git("remote", "add", "origin", str(bare), cwd=work)
        commit(work, files or {"README.md": "hello\n"}, "first")
        git("push", "-q", "origin", "main", cwd=work)
        return work


@dataclass
class HttpServer:
    """Serves the repositories by http, to `USER` with `PASSWORD` alone where `secured`."""

    root: Path
    secured: bool = True
    redirect: str | None = None
    """Where every request is sent instead."""
    broken: int | None = None
    """A status that every request is answered with."""
    slow: float = 0.0
    """Seconds before every answer."""
    seen: list = field(default_factory=list)
    """Method, path and whether it had credentials, of each request."""

    def __post_init__(self):
        if http_backend() is None:
            raise unittest.SkipTest("git http-backend is not installed, which some systems have in git-daemon")
        outer = self

        class Handler(_Handler):
            """Knows its server."""

            site = outer

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://{HOST}:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Runs `git http-backend` for each request."""

    protocol_version = "HTTP/1.1"
    site: HttpServer

    def log_message(self, *args):
        """Stay quiet."""

    def do_GET(self):
        site = self.site
        given = self.headers.get("authorization", "")
        site.seen.append((self.command, self.path, bool(given)))
        body = self._body()
        until = time.monotonic() + site.slow
        while time.monotonic() < until and site.slow:
            time.sleep(0.05)
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if site.redirect is not None:
            return self._short(302, {"Location": site.redirect + self.path})
        if site.broken is not None:
            return self._short(site.broken, {})
        if site.secured and given != wanted:
            return self._short(401, {"WWW-Authenticate": 'Basic realm="git"'})
        with suppress(BrokenPipeError, ConnectionResetError):
            self._backend(body)
        return None

    do_POST = do_GET

    def _body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _short(self, status, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _backend(self, body):
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        variables = {
            **_PLAIN,
            "GIT_PROJECT_ROOT": str(self.site.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_USER": USER,
            "REMOTE_ADDR": HOST,
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_1": "true",
        }
        process = subprocess.Popen(
            ["git", "http-backend"],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            feeding = threading.Thread(target=_feed, args=(process, body), daemon=True)
            feeding.start()
            try:
                self._answer(process.stdout)
            finally:
                process.stdout.close()
                feeding.join()  # whom no one listens to any more ends with a broken pipe

    def _answer(self, told):
        status, headers = 200, []
        while line := told.readline().strip():
            name, _, value = line.decode().partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        shutil.copyfileobj(told, self.wfile, 1 << 20)


def _feed(process, body):
    with suppress(BrokenPipeError):
        process.stdin.write(body)
        process.stdin.close()


def http_backend():
    """Return the path of `git http-backend`, None where it is not installed."""
    return shutil.which("git-http-backend", path=git("--exec-path"))


def sshd():
    """Return the path of sshd, None where it is not installed."""
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class SshServer:
    """Serves the repositories by ssh, to the key in `secret`; `ssh-privatekey` and `known_hosts` lie there."""

    def __init__(self, folder, program):
        self.secret = folder / "ssh-secret"
        self.secret.mkdir(parents=True)
        etc = folder / "sshd"
        etc.mkdir()
        etc.chmod(0o755)
        for name, file in (("host", etc / "host"), ("user", self.secret / "ssh-privatekey")):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file], check=True)
        (self.secret / "ssh-privatekey.pub").rename(etc / "authorized")
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        host_key = (etc / "host.pub").read_text().split()
        (self.secret / "known_hosts").write_text(f"[{HOST}]:{self.port} {host_key[0]} {host_key[1]}\n")
        config = etc / "config"
        config.write_text(
            f"ListenAddress {HOST}:{self.port}\nHostKey {etc / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {etc / 'authorized'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "PermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nLogLevel VERBOSE\n"
        )
        # Without privilege separation's folder it does not begin; the folder is Debian's.
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.log = etc / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=log)
        _wait_for(self.port, self._process)

    def url(self, path):
        return f"ssh://{getpass.getuser()}@{HOST}:{self.port}{path}"

    def close(self):
        self._process.terminate()
        self._process.wait()


def _wait_for(port, process):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError("sshd did not begin to listen")


def secret(folder, **keys):
    """Write a Secret's keys as files, as the kubelet mounts them, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in keys.items():
        (folder / name.replace("__", "-")).write_text(value)
    return folder
