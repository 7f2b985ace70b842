"""The texts of a commit and of a pull request, from a job's answer. Pure.

A model wrote them, perhaps influenced by the repository. So they contain no mentions, no commands for the host and
nothing invisible.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.contract import Result, cut

MAX_TITLE_BYTES: Final = 180
MAX_BODY_BYTES: Final = 20_000
_SPLIT: Final = "\u200b"
# Put between @ and a name, so that hosts notify no one. At the beginning of a line: GitLab treats /merge as a command.
_MENTION: Final = re.compile(r"@(?=[\w./-])")
_ORDER: Final = re.compile(r"^([ \t]*)/(?=[A-Za-z])", re.MULTILINE)
# Lines of a commit message that belong to people and to Git.
_TRAILER: Final = re.compile(
    r"^(?=(?:signed-off-by|co-authored-by|reviewed-by|acked-by|tested-by|change-id):)", re.I | re.M
)
_HEADING: Final = re.compile(r"^[#>*\-\s]+")
# Prefixes of a title that hosts treat as a state of the request.
_STATE: Final = re.compile(r"^(?:\s*(?:\[?(?:draft|wip)\]?:?|\(draft\))\s*)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Text:
    """A one-line title, and the body."""

    title: str
    body: str

    def commit(self) -> str:
        """Return the message of a commit."""
        body = _TRAILER.sub("> ", self.body)
        return f"{self.title}\n\n{body}\n"


def of_result(result: Result, job: str, uid: str) -> Text:
    """Return the text for a job's answer: `title` and `body` (or `summary`) of a structured one, else its text.

    Args:
        result: the final one.
        job: `<namespace>/<name>`.
        uid: of the job.
    """
    title, body = _words(result)
    line = plain(next(iter(title.strip().splitlines()), ""))
    line = _STATE.sub("", _HEADING.sub("", line)).strip() or f"Changes of {job}"
    made_by = f"Made by the AgentJob {job} ({uid})."
    body = cut(plain(body).strip(), MAX_BODY_BYTES)
    return Text(cut(line, MAX_TITLE_BYTES), f"{body}\n\n{made_by}" if body else made_by)


def plain(text: str) -> str:
    """Return a text without invisible characters and mentions."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    seen = "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in _UNSEEN)
    return _ORDER.sub(rf"\1{_SPLIT}/", _MENTION.sub(f"@{_SPLIT}", seen))


# Control characters, direction marks, lone surrogates.
_UNSEEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn")


def _words(result: Result) -> tuple[str, str]:
    structured = result["structured"]
    fields = structured if isinstance(structured, Mapping) else {}
    title, body = _text(fields, "title"), _text(fields, "body") or _text(fields, "summary")
    if title:
        return title, body
    if body:
        first, _, rest = body.strip().partition("\n")
        return first, rest
    if fields:
        return "", ""  # JSON is not a text for people
    first, _, rest = result["text"].strip().partition("\n")
    return first, rest if len(first.encode("utf-8", "replace")) <= MAX_TITLE_BYTES else result["text"]


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
