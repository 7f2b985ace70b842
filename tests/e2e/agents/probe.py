"""An agent without a model that tries what the pod of a job must not be able to do, and answers how each try ended."""

import asyncio
import importlib.metadata
import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from google.adk.agents import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.events import Event
from google.genai import types

CONNECT_SECONDS = 4


class Probe(BaseAgent):
    """Carries out `tries`, which maps names to `{do: function, …arguments}`; its answer maps the names to the ends."""

    tries: dict[str, dict[str, Any]]

    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncGenerator[Event, None]:
        ends = {}
        for name, given in self.tries.items():
            arguments = dict(given)
            ends[name] = await asyncio.to_thread(DEEDS[arguments.pop("do")], **arguments)
        content = types.Content(role="model", parts=[types.Part(text=json.dumps(ends))])
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=content)


def agent(**tries: dict[str, Any]) -> Probe:
    """Return the agent: `ref: probe:agent`, `args: {name: {do: reach, addresses: […]}}`."""
    return Probe(name="probe", tries=tries)


def reach(addresses: dict[str, str]) -> dict[str, str]:
    """Open a TCP connection to each `host:port`; the answer is `open`, or the error's name."""
    with ThreadPoolExecutor(len(addresses)) as pool:
        return dict(zip(addresses, pool.map(_connect, addresses.values()), strict=True))


def _connect(address: str) -> str:
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            return "open"
    except OSError as error:
        return type(error).__name__


def ask(
    method: str, url: str, token: str = "", body: str = "", authority: str = "", extra: dict[str, str] | None = None
) -> dict[str, Any]:
    """Send a request, return status and head of the answer. The token `own` is this pod's, `authority` a PEM file."""
    context = ssl.create_default_context(cafile=authority or None)
    if not authority:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    shown = Path(os.environ["AGENTJOBS_TOKEN_FILE"]).read_text("utf-8") if token == "own" else token
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {shown}"} if shown else {})
    headers |= extra or {}
    request = urllib.request.Request(url, body.encode() or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as answer:
            return {"status": answer.status, "text": answer.read(300).decode("utf-8", "replace")}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "text": error.read(300).decode("utf-8", "replace")}
    except OSError as error:
        return {"status": 0, "text": repr(error)}


def write(folders: list[str]) -> dict[str, str]:
    """Try to write a file into each folder."""
    ends = {}
    for folder in folders:
        try:
            (Path(folder) / "probe").write_text("here", "utf-8")
            ends[folder] = "written"
        except OSError as error:
            ends[folder] = error.strerror or type(error).__name__
    return ends


def read(folders: list[str]) -> dict[str, str]:
    """Read the files that `write` left in folders."""
    return {folder: (Path(folder) / "probe").read_text("utf-8") for folder in folders}


def rights() -> dict[str, Any]:
    """Tell who this process is, what the kernel lets it do, and how trying to do more ends."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    deeds: dict[str, Callable[[], Any]] = {
        "setuid": lambda: os.setuid(0),
        "chroot": lambda: os.chroot("/tmp"),
        "mknod": lambda: os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(254, 0)),
        "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    }
    ends = {}
    for name, deed in deeds.items():
        try:
            deed()
            ends[name] = "allowed"
        except OSError as error:
            ends[name] = error.strerror or type(error).__name__
    return {
        "uid": os.getuid(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
        "noNewPrivileges": status["NoNewPrivs"],
        "seccomp": status["Seccomp"],
        "accountMounted": Path("/var/run/secrets/kubernetes.io").exists(),
        "deeds": ends,
    }


def environment(words: list[str]) -> list[str]:
    """Return the names of variables that hold one of the words, and something else than this pod's own token."""
    own = Path(os.environ["AGENTJOBS_TOKEN_FILE"]).read_text("utf-8").strip()
    named = {name: value for name, value in os.environ.items() if any(word in name.upper() for word in words)}
    return sorted(name for name, value in named.items() if value != own)


def hunt(backwards: str) -> list[str]:
    """Return where in this pod a text is found that is given backwards, so that the question is not an answer."""
    wanted = backwards[::-1].encode()
    places = [Path("/etc"), Path("/app"), Path("/opt"), Path("/tmp"), Path("/var/run"), Path("/run")]
    files = [path for place in places for path in place.rglob("*")] + [*Path("/proc").glob("[0-9]*/environ")]
    found = []
    for path in files:
        try:
            if path.is_file() and path.stat().st_size < 2**20 and wanted in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


def version(package: str) -> str:
    """Return the version of an installed package."""
    return importlib.metadata.version(package)


def hold(seconds: float) -> float:
    """Keep the pod alive."""
    time.sleep(seconds)
    return seconds


DEEDS: dict[str, Callable[..., Any]] = {
    deed.__name__: deed for deed in (reach, ask, write, read, rights, environment, hunt, version, hold)
}
