"""YAML in, JSON out, with kubectl's rules, so that a file means the same to both programs. Pure.

kubectl reads YAML 1.1 by the rules of go-yaml v2 and converts it to JSON: keys become text, whole numbers integers, and
numbers beyond 64 bits floats. It writes JSON as Go's encoding/json does. Observed with kubectl 1.36; integration tests
compare both.
"""

import json
import math
import re
from decimal import Decimal
from typing import Any, Final

import yaml

_INT64: Final = range(-(2**63), 2**63)


class _Loader(yaml.SafeLoader):
    """A YAML loader without dates, base-60 numbers and duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping with text keys; a duplicate key is an error instead of silently losing the first."""
        seen: set[str] = set()
        for key, _ in node.value:
            # A merge key (`<<`) may be repeated: merging is its purpose.
            if key.tag != "tag:yaml.org,2002:merge":
                name = self._name(key)
                if name in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", key.start_mark)
                seen.add(name)
        self.flatten_mapping(node)
        return {self._name(key): self.construct_object(value, deep=deep) for key, value in node.value}

    def _name(self, node: yaml.Node) -> str:
        # Converted to text first: to Python 1 and True are the same key.
        key = _plain(self.construct_object(node, deep=True))
        if key is None or isinstance(key, dict | list):
            words = f"{key!r} cannot be a key; quote it"
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark)
        return key if isinstance(key, str) else _go(key)


def _integer(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "").lower()
    octal = re.fullmatch(r"([-+]?)0o?([0-7]+)", text)
    return int(octal[1] + octal[2], 8) if octal else int(text, 0)


def _float(_: yaml.SafeLoader, node: yaml.ScalarNode) -> float | str:
    text = str(node.value)
    number = float(re.sub(r"\.(?=inf|nan)", "", text.replace("_", "").lower()))
    # A number that is too large for a float stays text; an explicit infinity is rejected later.
    return text if math.isinf(number) and "inf" not in text.lower() else number


# PyYAML would turn `startAt: 2026-01-31T12:00:00Z` into a datetime and `12:30` into 750, and gives `=` a meaning;
# Kubernetes keeps them as text.
_NOT_OURS: Final = {"timestamp", "int", "float", "value"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _NOT_OURS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?_*(?:0_*[bB][01_]+|0_*[oO]?[0-7_]+|0_*[xX][0-9a-fA-F_]+|0_*|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?_*(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9_]+)?|[-+]?\.(?:inf|Inf|INF)|\.nan)$"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:merge", lambda _, node: node.value)
_Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


def load(text: str) -> list[Any]:
    """Return the documents of a YAML stream, or of one JSON text, as JSON values.

    Raises:
        ValueError: it is neither, or has values that JSON cannot have; the message has the position.
        RecursionError: it is nested too deeply, or contains itself.
    """
    try:
        documents = _json_or_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace('in "<unicode string>", ', "")) from None
    return [_plain(document) for document in documents]


def dump(value: object) -> str:
    """Return a JSON value in Go's format, with the newline that its encoder appends."""
    return _go(value) + "\n"


def _json_or_yaml(text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        try:
            # YAML allows neither tabs for indentation nor surrogate pairs.
            return [json.loads(text, object_pairs_hook=_once)]
        except ValueError:
            pass
    return list(yaml.load_all(text, Loader=_Loader))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")  # the YAML loader will report which, and where
    return found


def _plain(value: object) -> Any:
    match value:
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case str():
            if not value.isascii() and re.search("[\ud800-\udfff]", value):
                raise ValueError(f"{value!r} contains a lone surrogate")
            return value
        case bool() | None:
            return value
        case int():
            return value if value in _INT64 else float(value)
        case float() if math.isfinite(value):
            # By its shortest digits, as YAML had it.
            whole = Decimal(repr(value))
            return int(whole) if value.is_integer() and int(whole) in _INT64 else value
        case bytes():
            return value.decode("utf-8", "replace")
    raise ValueError(f"{value!r} does not exist in JSON")


def _go(value: object) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{_text(key)}:{_go(value[key])}" for key in sorted(value)) + "}"
        case list():
            return "[" + ",".join(map(_go, value)) + "]"
        case str():
            return _text(value)
        case float():
            return _number(value)
    return json.dumps(value)


def _text(text: str) -> str:
    # Go also escapes characters that are special in HTML and JavaScript.
    escaped = json.dumps(text, ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", escaped)


def _number(number: float) -> str:
    # Both write the shortest digits that read back as the same number, but switch to an exponent at different sizes.
    if number and not 1e-6 <= abs(number) < 1e21:
        return repr(number).replace("e-0", "e-")
    return format(Decimal(repr(number)), "f")
