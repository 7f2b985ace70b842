"""Makes any text and JSON storable: PostgreSQL refuses NUL, lone surrogates, NaN and infinities.

Characters that cannot be stored become U+FFFD, the replacement character; NaN and infinities become null. Pure. Values
without such content, nearly all, only cost one scan. `msgspec.Raw` is JSON text that is known to be storable and is
passed unchanged, so that no objects are built from text that is only stored.
"""

import json
import math
from typing import Any

import msgspec

_REPLACEMENT = "\ufffd"


def clean_text(value: str) -> str:
    """Return `value` without NUL and lone surrogates."""
    if "\x00" in value:
        value = value.replace("\x00", _REPLACEMENT)
    try:
        value.encode()
    except UnicodeEncodeError:
        # Pairs of surrogates that belong together become their character, the rest is replaced.
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def dump_json(value: Any) -> str | bytes:
    """Return `value` as JSON that a json column takes; it, or members of it, may be `msgspec.Raw`.

    Raises:
        ValueError: it refers to itself, is nested too deeply, or contains values that JSON does not support.
    """
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    if isinstance(value, dict) and any(isinstance(item, msgspec.Raw) for item in value.values()):
        return _joined(value)
    return _dump(value)


def _joined(value: dict[str, Any]) -> bytes:
    parts = {key: item if isinstance(item, msgspec.Raw) else msgspec.Raw(_dump(item)) for key, item in value.items()}
    return msgspec.json.encode(parts)


def _dump(value: Any) -> str:
    try:
        try:
            text = _encode(value)
            text.encode()
            # NUL is always escaped. A literal backslash before `u0000` looks the same and only costs the second look.
            if "\\u0000" not in text:
                return text
        except UnicodeEncodeError:
            pass
        except ValueError as error:
            if "Circular" in str(error):
                raise
        return _encode(_clean(value))
    except RecursionError as error:
        raise ValueError("the JSON value is nested too deeply to be stored") from error
    except TypeError as error:
        raise ValueError(str(error)) from error


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(key) if isinstance(key, str) else key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
