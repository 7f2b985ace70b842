"""Prepares text that leaves the pod: storable (no NUL, lone surrogates, NaN), within limits, without secrets.

Used by `attempt` and `timeline` for everything except the answer, which is only made storable. Redaction catches
careless exception messages, but does not guarantee anything: a model may write anything.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from agentjobs.contract import ENV_MCP_HEADER, cut
from agentjobs_runner.sealing import Seals

MASK: Final = "[redacted]"

# Keys in URLs (httpx puts URLs into its messages), authorization headers, JWTs, common formats of providers' keys.
_SECRETS: Final = re.compile(
    r"(?P<keep>[?&](?:key|api[-_]?key|token|access_token|sig|signature)=)[^&\s'\"]+"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\bAIza[\w-]{30,}"
    r"|\bsk-[\w-]{16,}"
    r"|\b(?:gh[oprsu]_|github_pat_|glpat-|xox[abeprs]-)[\w-]{16,}"
    r"|(?P<user>://[^/\s:@]*:)[^/\s@]+(?=@)",
    re.IGNORECASE,
)
_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|DSN|HEADERS", re.IGNORECASE)
# The pod's own name may look like a secret, and changes with each start.
_NOT_SECRET: Final = frozenset({"HOSTNAME"})
_MAX_DEPTH: Final = 32
_MAX_INTEGER_BITS: Final = 1024


class Redactor:
    """Has the values that must not leave: the token, and variables that look like secrets."""

    def __init__(self, variables: Mapping[str, str], *tokens: str) -> None:
        found = {
            spelled: f"[{name}]"
            for name, value in variables.items()
            if _is_secret(name, value)
            for spelled in _spellings(value)
        }
        # A header's value is a scheme and a secret, and the secret alone must not leave either.
        found |= {
            value.split()[-1]: f"[{name}]" for name, value in variables.items() if _is_header(name) and value.strip()
        }
        found |= {token: MASK for token in tokens if token}
        # Longest first: a secret may be part of another (a password of a DSN).
        self._values = sorted(found.items(), key=lambda item: -len(item[0]))
        sealed = {name for name, value in variables.items() if _is_secret(name, value)} - _NOT_SECRET
        self._seals = Seals(variables, frozenset(sealed), tokens[0] if tokens else "")

    def renew(self, token: str) -> None:
        """Redact the pod's current token, too."""
        self._values = sorted({**dict(self._values), token: MASK}.items(), key=lambda item: -len(item[0]))
        self._seals.renew(token)

    def text(self, text: str) -> str:
        """Return `text` without secrets, storable, in full length."""
        for value, mask in self._values:
            text = text.replace(value, mask)
        return storable(_SECRETS.sub(_masked, text))

    def seal(self, value: Any) -> Any:
        """Return JSON for the journal: exact, without the values of secrets."""
        return self._seals.seal(value)

    def unseal(self, value: Any) -> Any:
        """Return the input of `seal`, with the secrets of this pod.

        Raises:
            LookupError: this pod lacks a secret's variable; with a message.
        """
        return self._seals.unseal(value)

    def message(self, text: str, limit: int) -> str:
        """Return `text` without secrets and cut to `limit` bytes; it is cut last, so that no secret is split."""
        return cut(self.text(text), limit)

    def data(self, value: Any) -> Any:
        """Return JSON without secrets in its strings."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self.data(item) for key, item in value.items()}
            case list():
                return [self.data(item) for item in value]
            case _:
                return value


def storable(text: str) -> str:
    """Return `text` as PostgreSQL and UTF-8 can store it."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def plain(value: Any, *, text_limit: int | None = None, _within: tuple[int, ...] = ()) -> Any:
    """Return `value` as JSON: other types become text, depth is limited, strings are storable.

    Args:
        value: anything that tools return or models write.
        text_limit: maximum bytes of each string; None for no limit.
    """
    # A value that contains itself twice would unfold exponentially.
    if len(_within) > _MAX_DEPTH or id(value) in _within:
        return "…"
    inside = (*_within, id(value))
    match value:
        case None | bool():
            return value
        case int():
            # Python cannot format longer ones, and no JSON parser would accept them.
            return value if value.bit_length() <= _MAX_INTEGER_BITS else f"<integer of {value.bit_length()} bits>"
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return storable(value) if text_limit is None else cut(storable(value), text_limit)
        case Mapping():
            return {
                storable(safe_str(key)): plain(item, text_limit=text_limit, _within=inside)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [plain(item, text_limit=text_limit, _within=inside) for item in value]
        case bytes():
            return f"<{len(value)} bytes>"
        case _:
            return cut(storable(safe_str(value)), text_limit or 1024)


def cut_to_fit(data: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return `data` with its strings shortened until its JSON has at most `limit` bytes."""
    text_limit = limit
    while size_of(data) > limit and text_limit > 16:
        text_limit //= 4
        data = plain(data, text_limit=text_limit)
    return data if size_of(data) <= limit else {"omitted": f"larger than {limit} bytes"}


def size_of(value: Any) -> int:
    """Size of `value` in bytes, as the JSON that is sent."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def safe_str(value: object) -> str:
    """Return `str(value)`, even if its `__str__` raises."""
    try:
        return str(value)
    except BaseException as error:  # even a SystemExit of user code must not end the start
        return f"<{type(value).__name__}, whose str() raised {type(error).__name__}>"


def _spellings(value: str) -> Iterator[str]:
    """A secret in its plain form, quoted by Python and JSON, and in a URL."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield quote(value, safe="")


def _masked(match: re.Match[str]) -> str:
    kept = match["keep"] or match["scheme"] or match["user"] or ""
    return f"{kept}{MASK}"


def _is_header(name: str) -> bool:
    return name.startswith(ENV_MCP_HEADER)


def _is_secret(name: str, value: str) -> bool:
    if _is_header(name):
        return bool(value.strip())
    if name.startswith("AGENTJOBS_") or value.startswith("/"):
        return False
    if _SECRET_NAME.search(name):
        return len(value) >= 6
    # Other names may contain secrets, too (envFrom); long values with letters and digits are treated as secrets.
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return len(value) >= 20 and mixed and not re.search(r"[\s/:,;]", value)
