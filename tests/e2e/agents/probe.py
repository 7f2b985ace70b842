"""Tools that try what the pod of a job must not be able to do, and tell how it ended."""

import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def reach(addresses: list[str]) -> dict[str, str]:
    """Open a TCP connection to each `host:port`; the answer is `open`, or the error's name."""
    return {address: _connect(*address.rsplit(":", 1)) for address in addresses}


def _connect(host: str, port: str) -> str:
    try:
        with socket.create_connection((host, int(port)), timeout=4):
            return "open"
    except OSError as error:
        return type(error).__name__


def ask(method: str, url: str, token: str = "", body: str = "", authority: str = "") -> dict[str, Any]:
    """Send one HTTP request, return status and head of the answer; certificates are checked with `authority` only."""
    context = ssl.create_default_context(cafile=authority or None)
    if not authority:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, body.encode() or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as answer:
            return {"status": answer.status, "text": answer.read(2000).decode("utf-8", "replace")}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "text": error.read(2000).decode("utf-8", "replace")}
    except OSError as error:
        return {"status": 0, "text": repr(error)}


def own_token() -> str:
    """Return what this pod shows to the gateway, as code that was talked into it would."""
    return Path(os.environ["AGENTJOBS_TOKEN_FILE"]).read_text("utf-8")


def write(paths: list[str]) -> dict[str, str]:
    """Try to write a file into each folder."""
    ends = {}
    for path in paths:
        try:
            (Path(path) / "probe").write_text("here", "utf-8")
            ends[path] = "written"
        except OSError as error:
            ends[path] = error.strerror or type(error).__name__
    return ends


def rights() -> dict[str, Any]:
    """Tell who this process is, what the kernel lets it do, and how trying to become root ends."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    attempts = {"setuid": lambda: os.setuid(0), "chroot": lambda: os.chroot("/tmp"), "mknod": _mknod, "nice": _nice}
    ends = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            ends[name] = "allowed"
        except OSError as error:
            ends[name] = error.strerror or type(error).__name__
    return {
        "uid": os.getuid(),
        "groups": sorted({os.getgid(), *os.getgroups()}),
        "capabilities": status["CapEff"],
        "bounding": status["CapBnd"],
        "noNewPrivileges": status["NoNewPrivs"],
        "seccomp": status["Seccomp"],
        "accountMounted": Path("/var/run/secrets/kubernetes.io").exists(),
        "secrets": sorted(name for name in os.environ if "PASSWORD" in name or "DATABASE" in name or "API_KEY" in name),
        **ends,
    }


def _mknod() -> None:
    os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(254, 0))


def _nice() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -5)


def hold(seconds: float) -> str:
    """Keep the pod alive."""
    time.sleep(seconds)
    return json.dumps({"held": seconds})
