"""Credentials for one Git host, from a Secret: they reach Git and ssh without appearing in arguments or on a disk.

Git calls a helper that reads the mounted files; ssh reads its key from this process's memory. Both are configured for
one host, so that a submodule or a redirect to another host gets nothing.
"""

import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlsplit

from agentjobs_runner.workspace.failures import GitFailed, Kind

USERNAME: Final = "username"
PASSWORD: Final = "password"  # noqa: S105  a key of a Secret
TOKEN: Final = "token"  # noqa: S105  a key of a Secret
SSH_KEY: Final = "ssh-privatekey"
KNOWN_HOSTS: Final = "known_hosts"
AUTHORITY: Final = "ca.crt"
"""CA certificates of the host (PEM), if public roots are not enough."""
ANY_USER: Final = "x-access-token"
"""With a token, hosts accept any user name."""

_MAX_BYTES: Final = 1024 * 1024
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_MASK: Final = "[redacted]"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A mounted Secret for the host of `url`.

    The values are only kept for redaction: Git and ssh read the files.
    """

    folder: Path
    url: str
    keys: frozenset[str]
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def read(cls, folder: Path, url: str) -> Self:
        """Read the Secret mounted at `folder`, for the host of `url`.

        Raises:
            GitFailed: Refused if a required key is missing, or a value is invalid.
        """
        try:
            found = {name: _content(folder / name) for name in _KEYS if (folder / name).is_file()}
        except OSError as error:
            message = f"cannot read the credentials for git: {error.strerror}"
            raise GitFailed(Kind.REFUSED, message) from error
        keys = frozenset(name for name, value in found.items() if value.strip())
        _check(url, keys, found)
        secrets = {found[name].strip() for name in (PASSWORD, TOKEN) if name in keys}
        spelled = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
        return cls(folder, url, keys, tuple(sorted(spelled, key=len, reverse=True)))

    @property
    def token(self) -> str | None:
        """The token for the host's API; None without one."""
        return _content(self.folder / TOKEN).strip() if TOKEN in self.keys else None

    def cleared(self, text: str) -> str:
        """Return `text` without the values of the Secret."""
        for secret in self.secrets:
            text = text.replace(secret, _MASK)
        return text

    def settings(self) -> list[tuple[str, str]]:
        """Return Git configuration for this host only; empty for ssh."""
        if is_ssh(self.url):
            return []
        parts = urlsplit(self.url)
        here = f"{parts.scheme.lower()}://{parts.netloc}"
        found = [(f"credential.{here}.helper", self._helper())]
        if AUTHORITY in self.keys:
            found.append((f"http.{here}.sslCAInfo", str(self.folder / AUTHORITY)))
        return found

    def _helper(self) -> str:
        """Shell code that answers `get`. It has file names only, and printf is a builtin: no argument has a secret."""
        secret = PASSWORD if PASSWORD in self.keys else TOKEN
        user = f'"$(cat {shlex.quote(str(self.folder / USERNAME))})"' if USERNAME in self.keys else ANY_USER
        value = f'"$(cat {shlex.quote(str(self.folder / secret))})"'
        return f"!f() {{ test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' {user} {value}; }}; f"


class SshFiles:
    """Key and configuration of ssh for one host, in memory: the key's own file may be group-readable.

    They are readable while this object lives.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self._descriptors: list[int] = []
        lines = list[str]()
        if credentials is not None and SSH_KEY in credentials.keys and is_ssh(credentials.url):
            key = _content(credentials.folder / SSH_KEY).replace("\r\n", "\n").strip() + "\n"
            lines += [f"Host {ssh_host(credentials.url)}", f"  IdentityFile {self._file(key)}"]
        lines += ["Host *", *(f"  {line}" for line in _SSH)]
        if credentials is not None and KNOWN_HOSTS in credentials.keys:
            lines.append(f'  UserKnownHostsFile "{self._file(_content(credentials.folder / KNOWN_HOSTS))}"')
        else:
            lines.append("  UserKnownHostsFile /dev/null")
        self.command = f"ssh -F {self._file(chr(10).join(lines) + chr(10))}"

    def _file(self, content: str) -> str:
        descriptor = os.memfd_create("agentjobs", 0)
        self._descriptors.append(descriptor)
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, content.encode())
        # ssh closes inherited descriptors, so it opens ours by path.
        return f"/proc/{os.getpid()}/fd/{descriptor}"

    def __del__(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


_KEYS: Final = (USERNAME, PASSWORD, TOKEN, SSH_KEY, KNOWN_HOSTS, AUTHORITY)
_SSH: Final = (
    "IdentityFile none",
    "IdentitiesOnly yes",
    "IdentityAgent none",
    "PreferredAuthentications publickey",
    "BatchMode yes",
    "StrictHostKeyChecking yes",
    "GlobalKnownHostsFile /dev/null",
    "UpdateHostKeys no",
    "ConnectTimeout 30",
    "ServerAliveInterval 15",
    "ServerAliveCountMax 4",
    "ClearAllForwardings yes",
    "ForwardAgent no",
    "ControlMaster no",
    "ControlPath none",
    "LogLevel ERROR",
)


def is_ssh(url: str) -> bool:
    """Whether an address uses ssh: `ssh://…`, or `user@host:path`."""
    return not url.lower().startswith(("https://", "http://"))


def ssh_host(url: str) -> str:
    """Return the host of an ssh address, as used for ssh.

    Raises:
        GitFailed: Refused for one that ssh would treat as a pattern.
    """
    host = urlsplit(url).netloc.rpartition("@")[2] if "://" in url else url.partition("@")[2].partition(":")[0]
    if "://" in url:
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if _HOST.fullmatch(host) is None:
        raise GitFailed(Kind.REFUSED, "the address of the repository has no host that ssh could be told")
    return host


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(_MAX_BYTES).decode("utf-8", "surrogateescape")


def _check(url: str, keys: frozenset[str], found: dict[str, str]) -> None:
    """Reject a Secret without the keys for this kind of address."""
    for name in (USERNAME, PASSWORD, TOKEN):
        if name in keys and any(letter in found[name].strip() for letter in "\n\r\0"):
            raise GitFailed(Kind.REFUSED, f"the key {name} of the Secret for git has more than one line")
    if is_ssh(url):
        for name in (SSH_KEY, KNOWN_HOSTS):
            if name not in keys:
                raise GitFailed(Kind.REFUSED, f"the Secret for git has no key {name}, which an address of ssh needs")
    elif not (TOKEN in keys or {USERNAME, PASSWORD} <= keys):
        message = f"the Secret for git has neither the keys {USERNAME} and {PASSWORD}, nor {TOKEN}"
        raise GitFailed(Kind.REFUSED, message)
