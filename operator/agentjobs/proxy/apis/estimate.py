"""How many tokens a prompt has before anybody counted them: rather too many than too few.

What is reserved by it is corrected when the provider has counted. Too much makes other calls of the job wait for a
moment; too little lets them begin together. Where nobody here can know, `Prompt.most` says so. Pure.
"""

import re
from typing import Final, NamedTuple

# English has 4 to 5 bytes a token, source code and other alphabets 2.5 to 3.5, and JSON's own signs count with them.
BYTES_A_TOKEN: Final = 3
# A picture in the highest resolution that the providers look at.
IMAGE_TOKENS: Final = 3000
# Of what is named, not sent: a file, a cache, an earlier answer. Nobody here knows how large it is.
REMOTE_TOKENS: Final = 10_000
# The most that a model reads. An hour of silence, or a thousand empty pages, are a file of some kilobytes.
WINDOW_TOKENS: Final = 1_000_000
# Bytes of the recording a token: 32 tokens a second at 6 kbit/s, and 300 at 240 kbit/s.
_BYTES_A_TOKEN_OF: Final = {"audio": 25, "video": 100}

# Shorter ones are signatures and hashes, and count as text.
_FILE: Final = re.compile(
    rb'"(?:data"[ \t\r\n]*+:[ \t\r\n]*+"|data:([a-z]{1,20})/[^",]{1,200},)([A-Za-z0-9+/_-]{1024,}+={0,2}+)"'
)
_MIME: Final = re.compile(rb'"(?:mime_?[tT]ype|media_type)"\s*+:\s*+"([a-z]{1,20})/')
_SOUND: Final = re.compile(rb'"format"\s*+:\s*+"(?:wav|mp3)"')
# A member whose value is a text. Within a text the quotes would be escaped, and in a schema an object would follow.
_REMOTE: Final = re.compile(
    rb'"(?:(file_?[uU]ri|file_id|file_url|cached_?[cC]ontent|previous_response_id|conversation|container)"\s*+:\s*+"'
    rb'|(?:image_)?url"\s*+:\s*+"http)'
)
# A name that is written with escapes where it needs none is written so to be overlooked.
_HIDDEN: Final = re.compile(rb'(?<!\\)\\u00[2-7][0-9a-fA-F](?:[^"\\]|\\u[0-9a-fA-F]{4}){0,200}+"[ \t\r\n]*+:')
# How far from its data the kind of a file is looked for, within the same braces.
_NEAR: Final = 200


class Prompt(NamedTuple):
    """How large a prompt is."""

    tokens: int
    """By an estimate."""
    most: int
    """What it may be, where it has or names something that cannot be measured here; else the estimate."""


def prompt(body: bytes) -> Prompt:
    """Return the size of the prompt in a request's body: JSON in UTF-8, of any of the APIs."""
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
    # An address may be that of a document, in the one API that has both.
    opaque = opaque or any(named) or (bool(named) and b'"document"' in body)
    tokens -= -len(body) // BYTES_A_TOKEN
    return Prompt(tokens, max(tokens, WINDOW_TOKENS) if opaque else tokens)


def answer_tokens(size: int) -> int:
    """Return the tokens of so many bytes of an answer's text."""
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
