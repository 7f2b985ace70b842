"""A notification in its sink's format, and its signature. Pure.

Text from models and users is data: JSON, and for Slack without characters that Slack interprets.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.history.outbox_records import Due
from agentjobs.notifier.sinks_file import Format

TYPE: Final = "dev.agentjobs.job."
_CONTENT_TYPES: Final = {
    Format.CLOUD_EVENTS: "application/cloudevents+json; charset=utf-8",
    Format.SLACK: "application/json; charset=utf-8",
}
# Mattermost and Discord accept Slack's messages, and interpret these characters in plain text.
_OF_OTHERS: Final = re.compile(r"@(?=(?:all|channel|everyone|here)\b)|!(?=\[)", re.IGNORECASE)
_NOTHING: Final = "\u200b"
_SYMBOLS: Final = {
    "Started": ":arrow_forward:",
    "Retrying": ":repeat:",
    "Suspended": ":double_vertical_bar:",
    "Succeeded": ":white_check_mark:",
    "Failed": ":x:",
    "Cancelled": ":no_entry_sign:",
}


def message_id(due: Due) -> str:
    """Return the id of an event: the same for each try. It has no dot, which separates the signed parts."""
    return f"{due.uid}-{due.transition}"


def content_type(form: Format) -> str:
    """Return the media type of a message."""
    return _CONTENT_TYPES[form]


def body(due: Due, form: Format, *, source: str) -> bytes:
    """Return a message; the same for each try.

    Args:
        source: the CloudEvents `source`; with the id it identifies an event.
    """
    content = _slack(due) if form is Format.SLACK else _cloud_event(due, source)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def signature(keys: Iterable[bytes], *, of: str, at: datetime, body: bytes) -> str:
    """Return `webhook-signature` of Standard Webhooks: one per key, so that keys can be rotated."""
    signed = f"{of}.{timestamp(at)}.".encode() + body
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def timestamp(at: datetime) -> str:
    """Return `webhook-timestamp`: seconds since 1970."""
    return str(int(at.timestamp()))


def _cloud_event(due: Due, source: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": message_id(due),
        "source": source,
        "type": TYPE + due.event.lower(),
        "subject": f"{due.data.get('namespace', '')}/{due.data.get('name', '')}",
        "time": due.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": dict(due.data),
    }


def _slack(due: Due) -> dict[str, Any]:
    data = due.data
    head = f"{_SYMBOLS.get(due.event, '')} *{due.event}* {data.get('namespace', '')}/{data.get('name', '')}"
    fields = ("outcome",) if due.event == "Succeeded" else ("reason", "message")
    # One line: further lines would look like another job's.
    details = " ".join(": ".join(str(data[field]) for field in fields if data.get(field)).split())
    lines = [f"{head} ({_escaped(details)})" if details else head]
    if summary := data.get("summary"):
        lines += [f"> {line}" for line in _escaped(str(summary)).splitlines()]
    # Slack would fetch a link's preview, and so send the link's owner what a model wrote into it.
    return {"text": "\n".join(lines), "unfurl_links": False, "unfurl_media": False}


def _escaped(text: str) -> str:
    """Escape links, mentions, commands, group mentions (as in other chats) and embedded images."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _OF_OTHERS.sub(lambda found: f"{found[0]}{_NOTHING}", text)
