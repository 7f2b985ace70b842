"""Estimates the tokens of a prompt before they are counted, and overestimates where it is unsure.

A reservation is corrected when the provider has counted. If it is too high, other calls of the job wait briefly; if it
is too low, they begin in parallel. For content without a bound `Prompt.most` is higher. Pure.
"""

import re
from typing import Final, NamedTuple

# English has 4 to 5 bytes per token, source code and other alphabets 2.5 to 3.5; JSON syntax counts, too.
BYTES_A_TOKEN: Final = 3
# A picture in the highest resolution that providers use.
IMAGE_TOKENS: Final = 3000
# A reference (file, cache, earlier answer): its size is unknown here.
REMOTE_TOKENS: Final = 10_000
# A model's largest input. A file of a few kilobytes can hold an hour of silence, or a thousand empty pages.
WINDOW_TOKENS: Final = 1_000_000
# Bytes of a recording per token: 32 tokens a second at 6 kbit/s, and 300 at 240 kbit/s.
_BYTES_A_TOKEN_OF: Final = {"audio": 25, "video": 100}

# Shorter ones are signatures and hashes, and count as text.
_FILE: Final = re.compile(
    rb'"(?:data"[ \t\r\n]*+:[ \t\r\n]*+"|data:([a-z]{1,20})/[^",]{1,200},)([A-Za-z0-9+/_-]{1024,}+={0,2}+)"'
)
_MIME: Final = re.compile(rb'"(?:mime_?[tT]ype|media_type)"\s*+:\s*+"([a-z]{1,20})/')
_SOUND: Final = re.compile(rb'"format"\s*+:\s*+"(?:wav|mp3)"')
# A member with a text value. Within a text the quotes would be escaped, and in a schema an object would follow.
_REMOTE: Final = re.compile(
    rb'"(?:(file_?[uU]ri|file_id|file_url|cached_?[cC]ontent|previous_response_id|conversation|container)"\s*+:\s*+"'
    rb'|(?:image_)?url"\s*+:\s*+"http)'
)
# Only a request that tries to hide a name from this search has unnecessary escapes in it.
_HIDDEN: Final = re.compile(rb'(?<!\\)\\u00[2-7][0-9a-fA-F](?:[^"\\]|\\u[0-9a-fA-F]{4}){0,200}+"[ \t\r\n]*+:')
# How far from its data a file's type is searched, within the same braces.
_NEAR: Final = 200


class Prompt(NamedTuple):
    """The size of a prompt in tokens."""

    tokens: int
    """The estimate."""
    most: int
    """The upper bound, if it has or refers to something that cannot be measured here; else the estimate."""


def prompt(body: bytes) -> Prompt:
    """Return the size of the prompt in a request's body: JSON in UTF-8, of any API."""
    tokens, opaque = 0, b"\\u00" in body and _HIDDEN.search(body) is not None
    if b'"data' in body:
        pieces, at = [], 0
        for found in _FILE.finditer(body):
            kind = _kind_of(body, found)
            tokens += _file_tokens(kind, found.end(2) - found.start(2))
            opaque = opaque or kind not in ("image", "text")
            pieces.append(body[at : found.start()])
            at = found.end()
        body = b"".join([*pieces, body[at:]]) if pieces else body
    named = _REMOTE.findall(body)
    tokens += sum(REMOTE_TOKENS if name else IMAGE_TOKENS for name in named)
    # In one API the address may be a document's.
    opaque = opaque or any(named) or (bool(named) and b'"document"' in body)
    tokens -= -len(body) // BYTES_A_TOKEN
    return Prompt(tokens, max(tokens, WINDOW_TOKENS) if opaque else tokens)


def answer_tokens(size: int) -> int:
    """Return the tokens for a number of bytes of an answer's text."""
    return -(-size // BYTES_A_TOKEN)


def _file_tokens(kind: str, base64_chars: int) -> int:
    size = base64_chars * 3 // 4
    return IMAGE_TOKENS if kind == "image" else size // _BYTES_A_TOKEN_OF.get(kind, BYTES_A_TOKEN)


def _kind_of(body: bytes, found: "re.Match[bytes]") -> str:
    if found[1] is not None:
        return found[1].decode()
    before = body[max(0, found.start() - _NEAR) : found.start()].rpartition(b"{")[2]
    after = body[found.end() : found.end() + _NEAR].partition(b"}")[0]
    mime = _MIME.search(before) or _MIME.search(after)
    if mime is not None:
        return mime[1].decode()
    return "audio" if _SOUND.search(before) or _SOUND.search(after) else ""
