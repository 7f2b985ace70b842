"""Label and field selectors in the queries of lists, watches and collection deletes.

Parsed once per request, matched once per object. Grammar and error messages are those of the real server; a
selector that cannot be parsed is a `StatusError` with code 400. Label selectors are the same for every kind; field
selectors accept the paths that their `Kind` allows.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from devcluster.apiserver import syntax
from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import Kind

_TOKENS: Final = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_SPECIAL: Final = frozenset(["==", "!=", "=", "!", "(", ")", ",", "<", ">"])
# Booleans that are `false` for the real server when an object does not have them.
_FALSE_WHEN_ABSENT: Final = frozenset(["spec.unschedulable", "spec.hostNetwork"])


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; the operator is one of in, notin, exists, !, gt, lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, Any]) -> bool:
        """Return whether the labels satisfy it; a missing label satisfies `notin` and `!`."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if not isinstance(value, str) or not _INTEGER.fullmatch(value):
            return False
        limit = int(next(iter(self.values)))
        return int(value) > limit if self.operator == "gt" else int(value) < limit


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, Any] | None) -> bool:
        """Return whether an object with these labels is selected."""
        present = labels or {}
        return all(requirement.holds(present) for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """`path = value`, or its negation."""

    path: str
    value: str
    equal: bool
    read: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold; without any, everything matches."""

    terms: tuple[FieldTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Return whether the object is selected."""
        return all((term.read(obj) == term.value) is term.equal for term in self.terms)

    def required(self, path: str) -> str | None:
        """Return the only value allowed for a path, or None: with it, a list can look up `metadata.name`."""
        return next((term.value for term in self.terms if term.equal and term.path == path), None)


def parse_labels(text: str) -> LabelSelector:
    """Parse a label selector, equality- or set-based: `a=b,c in (d,e),!f,g>1`.

    Raises:
        StatusError: 400, with the real server's message.
    """
    return LabelSelector(tuple(_Parser(text).requirements())) if text else LabelSelector()


def parse_fields(text: str, kind: Kind) -> FieldSelector:
    """Parse a field selector: terms with `=`, `==` or `!=`, joined by commas; `\\` escapes commas and equal signs.

    Raises:
        StatusError: 400 when it cannot be parsed or a path is not selectable for this kind.
    """
    terms = []
    for part in re.split(r"(?<!\\),", text):
        if not part or part == "=":
            continue
        found = re.search(r"!=|==|=", part)
        if found is None:
            raise StatusError(400, f"invalid selector: '{text}'; can't understand '{part}'")
        path, value = part[: found.start()], _unescaped(part[found.end() :])
        if path not in kind.selectable():
            raise StatusError(400, _unknown_field(path, kind))
        terms.append(FieldTerm(path, value, found.group() != "!=", _reader(path)))
    return FieldSelector(tuple(terms))


def _unknown_field(path: str, kind: Kind) -> str:
    if kind.custom or kind.selectable_fields:
        return f"field label not supported: {path}"
    known = ", ".join(f'"{name}"' for name in kind.selectable())
    return f'"{path}" is not a known field selector: only {known}'


def _unescaped(value: str) -> str:
    pieces = []
    characters = iter(value)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("\\", ",", "="):
                raise StatusError(400, f"invalid field selector: invalid escape sequence: \\{escaped}")
            pieces.append(escaped)
        elif character in ",=":
            raise StatusError(400, f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            pieces.append(character)
    return "".join(pieces)


def _reader(path: str) -> Callable[[Mapping[str, Any]], str]:
    if path == "source":
        return _event_source
    steps = path.split(".")
    absent = "false" if path in _FALSE_WHEN_ABSENT else ""

    def read(obj: Mapping[str, Any]) -> str:
        value: Any = obj
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return absent
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    return read


def _event_source(event: Mapping[str, Any]) -> str:
    source = event.get("source")
    component = source.get("component") if isinstance(source, dict) else None
    return str(component or event.get("reportingComponent") or "")


class _Parser:
    """A recursive descent parser for label selectors, with one method per rule of the real grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = [found.group(1) for found in _TOKENS.finditer(text)]
        self._position = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while (token := self._peek()) != "":
            if not _is_word(token) and token != "!":  # noqa: S105  # a token of the grammar, no secret
                raise StatusError(400, f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise StatusError(400, f"unable to parse requirement: {error}") from error
            separator = self._next()
            if separator == "":
                break
            if separator != ",":
                raise StatusError(400, f"found '{separator}', expected: ',' or 'end of string'")
            if not _is_word(self._peek()) and self._peek() != "!":
                raise StatusError(400, f"found '{self._peek()}', expected: identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        key = self._next()
        negated = key == "!"
        if negated:
            key = self._next()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        for problem in syntax.qualified_name(key):
            raise ValueError(f'<nil>: Invalid value: "{key}": {problem}')
        if negated:
            return Requirement(key, "!")
        if self._peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self._next()
        match operator:
            case "in" | "notin":
                return Requirement(key, operator, _checked(key, self._values()))
            case "=" | "==":
                return Requirement(key, "in", _checked(key, self._exact_value()))
            case "!=":
                return Requirement(key, "notin", _checked(key, self._exact_value()))
            case ">" | "<":
                return Requirement(key, "gt" if operator == ">" else "lt", _integer(self._exact_value()))
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _exact_value(self) -> frozenset[str]:
        if self._peek() in ("", ","):
            return frozenset([""])
        value = self._next()
        if not _is_word(value):
            raise ValueError(f"found '{value}', expected: identifier")
        return frozenset([value])

    def _values(self) -> frozenset[str]:
        if (opening := self._next()) != "(":
            raise ValueError(f"found '{opening}' expected: '('")
        values: set[str] = set()
        first = True
        pending = True  # a value is expected; it is empty before a comma or the end
        while (token := self._next()) != ")":
            if _is_word(token) and pending:
                values.add(token)
                pending = False
            elif token == ",":  # noqa: S105  # a token of the grammar, no secret
                if pending:
                    values.add("")
                pending = True
            else:
                expected = "',', ')' or identifier" if first else "',' or ')'"
                raise ValueError(f"found '{token}', expected: {expected}")
            first = False
        return frozenset(values | {""} if pending else values)

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token


def _is_word(token: str) -> bool:
    return token != "" and token not in _SPECIAL


def _checked(key: str, values: frozenset[str]) -> frozenset[str]:
    for index, value in enumerate(sorted(values)):
        for problem in syntax.label_value(value):
            raise ValueError(f'values[{index}][{key}]: Invalid value: "{value}": {problem}')
    return values


def _integer(values: frozenset[str]) -> frozenset[str]:
    for value in values:
        if not _INTEGER.fullmatch(value):
            message = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise ValueError(f'values[0]: Invalid value: "{value}": {message}')
    return values
