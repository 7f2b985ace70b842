"""Converts JSON values to CEL values by their schema, as a real API server does. Pure.

Rules cannot read fields that the schema does not name, but such fields count in comparisons. Values of formats that are
timestamps, durations or bytes in CEL stay strings here; `rules` refuses rules that read them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Raw = dict[str, Any]

READ_OTHERWISE: Final = frozenset({"byte", "date", "date-time", "duration"})
"""Formats that the real server converts to other types, with an error at run time if that fails."""
UNNAMED: Final = "\0"
"""The key of a converted object for all fields that the schema does not name; no identifier can read it."""
_META: Final[Raw] = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
_OBJECT_FIELDS: Final[Raw] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META}
_KEYWORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "true false null in as break const continue else for function if import let loop package namespace return var "
        "void while",
    )
)
_WORDS: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_SCALARS: Final = {"integer": int, "boolean": bool, "string": str}


class UnreadableValue(ValueError):
    """A value that the schema accepts but CEL cannot read; the message is the real server's."""


def fields_of(schema: Raw, *, root: bool = False) -> Mapping[str, Raw] | None:
    """Return the schemas of an object's fields by CEL identifier; None for a schema without fields."""
    named = dict(schema.get("properties") or {})
    if root or schema.get("x-kubernetes-embedded-resource"):
        named |= _OBJECT_FIELDS
    elif "properties" not in schema:
        return None
    return {identifier(name): child for name, child in named.items()}


def identifier(name: str) -> str:
    """Return the CEL identifier of a property, escaped as Kubernetes documents it."""
    for sign, word in _WORDS:
        name = name.replace(sign, word)
    return f"__{name}__" if name in _KEYWORDS else name


def mentions_format(schema: Raw) -> str:
    """Return a format of `READ_OTHERWISE` in the schema or below; empty when there is none."""
    if schema.get("format") in READ_OTHERWISE and schema.get("type") == "string":
        return str(schema["format"])
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return next((found for child in below if isinstance(child, dict) and (found := mentions_format(child))), "")


Wanted = dict[str, Any]
"""The fields that a rule reads, as a tree. An empty tree is the whole value, `PRESENCE` only whether it exists."""
PRESENCE: Final[Wanted] = {"\0": True}


def to_cel(
    schema: Raw, value: Any, wanted: Wanted, *, root: bool = False, ordered: bool = True, compared_with: Any = None
) -> Any:
    """Return the CEL value.

    Args:
        ordered: False for comparisons, which ignore the order of lists of type set and map.
        compared_with: the other value of a comparison. As on a real server, a field that the schema does not name
            makes no difference if only one of two objects of the same size has it.

    Raises:
        UnreadableValue: a number with a fraction of zero where the schema says integer.
    """
    if value is None or wanted is PRESENCE:
        return value is not None or None
    if schema.get("x-kubernetes-int-or-string"):
        return value if isinstance(value, int | str) else _unreadable("an integer or a string", value)
    if isinstance(value, dict):
        return _object(schema, value, wanted, root=root, ordered=ordered, compared_with=compared_with)
    if isinstance(value, list):
        return _list(schema, value, ordered=ordered, compared_with=compared_with)
    declared = schema.get("type")
    if declared is None:
        return json.dumps(value)
    if declared == "number":
        return float(value)
    kind = _SCALARS.get(declared)
    if kind is int and isinstance(value, float):
        return _unreadable("int", value)
    return value


def _unreadable(wanted: str, value: object) -> Any:
    raise UnreadableValue(
        f"invalid data, expected {wanted}, got {'float64' if isinstance(value, float) else type(value)}"
    )


def _object(schema: Raw, value: Raw, wanted: Wanted, *, root: bool, ordered: bool, compared_with: Any) -> Any:
    other = compared_with if isinstance(compared_with, dict) else {}
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return {
            key: to_cel(additional, item, {}, ordered=ordered, compared_with=other.get(key))
            for key, item in value.items()
        }
    if not schema.get("type") and "properties" not in schema:
        return json.dumps(value, sort_keys=True)
    named = dict(schema.get("properties") or {}) | (_OBJECT_FIELDS if root or _is_embedded(schema) else {})
    shown: Raw = {}
    unnamed: Raw = {}
    for key, item in value.items():
        child, name = named.get(key), identifier(key)
        if child is None:
            unnamed[key] = item
        elif not wanted or name in wanted:
            shown[name] = to_cel(child, item, wanted.get(name, {}), ordered=ordered, compared_with=other.get(key))
    if unnamed and not wanted:
        shown[UNNAMED] = _unnamed(unnamed, other, named, same_size=len(other) == len(value))
    return shown


def _is_embedded(schema: Raw) -> bool:
    return bool(schema.get("x-kubernetes-embedded-resource"))


def _unnamed(mine: Raw, other: Raw, named: Raw, *, same_size: bool) -> str:
    """Return fields without a schema as text; it is the same for objects that are equal for the real server."""
    theirs = {key: item for key, item in other.items() if key not in named}
    if same_size and all(theirs[key] == mine[key] for key in mine.keys() & theirs.keys()):
        return json.dumps(sorted([*mine.items(), *theirs.items()], key=lambda item: item[0]), sort_keys=True)
    return json.dumps(mine, sort_keys=True)


def _list(schema: Raw, value: Sequence[Any], *, ordered: bool, compared_with: Any) -> Any:
    items = schema.get("items")
    if not isinstance(items, dict):
        return json.dumps(value, sort_keys=True)
    other = compared_with if isinstance(compared_with, list) else []
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    mine = list(value)
    if not ordered and kind in ("set", "map"):
        mine, other = (sorted(element, key=lambda item: _order(item, keys)) for element in (mine, other))
    pairs = [*other, *[None] * len(mine)]
    return [
        to_cel(items, element, {}, ordered=ordered, compared_with=pairs[place]) for place, element in enumerate(mine)
    ]


def _order(item: Any, keys: Sequence[str]) -> str:
    chosen = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
    return json.dumps(chosen, sort_keys=True)


_TEXT: Final = re.compile(r"""r?('''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL)
_RAW_TEXT: Final = re.compile(r"""\br('''.*?'''|\"\"\".*?\"\"\"|'[^']*'|"[^"]*")""", re.DOTALL)
_CHAIN: Final = re.compile(r"(?<![\w.])(self|oldSelf)((?:\s*\.\s*[A-Za-z_]\w*\b(?!\s*\())*)")


def reads(rule: str) -> list[tuple[str, tuple[str, ...], bool]]:
    """Return what a rule reads: variables, the fields selected from each, and whether it only tests their presence."""
    code = _TEXT.sub(" '' ", _RAW_TEXT.sub(" '' ", rule))
    found = []
    for match in _CHAIN.finditer(code):
        steps = tuple(step.strip() for step in match[2].split(".")[1:])
        is_presence_test = bool(steps) and re.search(r"\bhas\s*\(\s*$", code[: match.start()]) is not None
        found.append((match[1], steps, is_presence_test))
    return found


def field_tree(read: Sequence[tuple[tuple[str, ...], bool]]) -> Wanted:
    """Return the tree of selected fields; each has its path and whether a rule only tests its presence."""
    ends = {is_presence_test for steps, is_presence_test in read if not steps}
    if False in ends:
        return {}
    grown: dict[str, list[tuple[tuple[str, ...], bool]]] = {}
    for steps, is_presence_test in read:
        if steps:
            grown.setdefault(steps[0], []).append((steps[1:], is_presence_test))
    return {head: field_tree(rests) for head, rests in grown.items()} if grown else PRESENCE
