"""CEL rules (`x-kubernetes-validations`): compiled when a CustomResourceDefinition is stored, evaluated at each write.

cel-cpp evaluates them with the semantics of kube-apiserver 1.36: transition rules run on updates only, rules on
unchanged values are skipped, and a rule whose evaluation fails refuses the write. A definition with unsupported rules
is refused: `optionalOldSelf`, a `fieldPath` with brackets, Kubernetes' own functions, and fields with a format that is
another type in CEL. Costs are neither estimated nor limited.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final

from devcluster.apiserver.celvalues import (
    Raw,
    UnreadableValue,
    Wanted,
    field_tree,
    fields_of,
    mentions_format,
    reads,
    to_cel,
)
from devcluster.apiserver.errors import Cause, cause
from devcluster.apiserver.validators import format_value

_FIELD_PATH: Final = re.compile(r"(\.\w+)+")
_TYPES: Final = {"string": "STRING", "integer": "INT", "number": "DOUBLE", "boolean": "BOOL"}
_ABSENT: Final = object()
_BELOW: Final = {"additionalProperties": "values", "items": "items"}
NO_FIELD: Final = "<nil>"


class RuleError(ValueError):
    """A rule that cannot be compiled or is not supported; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule."""

    text: str
    program: Any
    message: str
    words: Any
    """The program of `messageExpression`, None without one."""
    path: str
    """`fieldPath`."""
    reason: str
    wanted: Wanted
    is_transition: bool


@dataclass(slots=True)
class Rules:
    """The rules of a schema and of all schemas below it."""

    schema: Raw
    root: bool = False
    own: list[Rule] = field(default_factory=list)
    fields: dict[str, "Rules"] = field(default_factory=dict)
    values: "Rules | None" = None
    items: "Rules | None" = None

    @property
    def is_empty(self) -> bool:
        return not (self.own or self.fields or self.values or self.items)

    def evaluate(self, obj: Raw, old: Raw | None) -> list[Cause]:
        """Return the causes of failed rules; `old` is the stored object on updates."""
        return list(self._judge(obj, _ABSENT if old is None else old, ""))

    def _judge(self, value: Any, old: Any, at: str) -> Iterator[Cause]:
        if value is None:
            return
        unchanged = old is not _ABSENT and value == old
        for rule in self.own:
            if rule.is_transition and old is _ABSENT:
                continue
            # Most updates leave most values unchanged.
            if not unchanged or (rule.is_transition and rule.text != "self == oldSelf"):
                yield from self._evaluate(rule, value, old, at)
        if isinstance(value, dict):
            for name, item in value.items():
                child = self.fields.get(name)
                here = f"{at}.{name}" if child else f"{at}[{name}]"
                if (below := child or self.values) is not None:
                    yield from below._judge(item, old.get(name, _ABSENT) if isinstance(old, dict) else _ABSENT, here)
        elif self.items is not None and isinstance(value, list):
            for place, item in enumerate(value):
                yield from self.items._judge(item, self._partner(item, old), f"{at}[{place}]")

    def _partner(self, item: Any, old: Any) -> Any:
        """Return the element of the old list with the same keys."""
        keys = self.schema.get("x-kubernetes-list-map-keys")
        if not keys or not isinstance(old, list) or not isinstance(item, dict):
            return _ABSENT
        wanted = [item.get(key) for key in keys]
        return next(
            (element for element in old if isinstance(element, dict) and [element.get(k) for k in keys] == wanted),
            _ABSENT,
        )

    def _evaluate(self, rule: Rule, value: Any, old: Any, at: str) -> Iterator[Cause]:
        place = at.removeprefix(".") or NO_FIELD
        kind = self.schema.get("type", "object")
        try:
            data = self._data(rule, value, old)
            answer = rule.program.eval(data=data)
        except UnreadableValue as error:
            yield _broken(place, kind, str(error), rule)
            return
        if answer.value() is True:
            return
        if answer.value() is False:
            yield _refused(rule, (at + rule.path).removeprefix(".") or NO_FIELD, kind, value, _message(rule, data))
        else:
            yield _broken(place, kind, str(answer.value()), rule)

    def _data(self, rule: Rule, value: Any, old: Any) -> Raw:
        if not rule.is_transition:
            return {"self": to_cel(self.schema, value, rule.wanted, root=self.root)}
        new = to_cel(self.schema, value, rule.wanted, root=self.root, ordered=False, compared_with=old)
        before = to_cel(self.schema, old, rule.wanted, root=self.root, ordered=False, compared_with=value)
        return {"self": new, "oldSelf": before}


def _message(rule: Rule, data: Raw) -> str:
    """Return what `messageExpression` makes of a refused value, or `message` when that is not a line of text."""
    if rule.words is None:
        return rule.message
    result = rule.words.eval(data=data)
    line = result.value().strip() if result.type().name() == "STRING" else ""
    return line if line and "\n" not in line else rule.message


def _refused(rule: Rule, place: str, kind: str, value: Any, message: str) -> Cause:
    match rule.reason:
        case "FieldValueForbidden":
            return cause(rule.reason, place, f"Forbidden: {message}")
        case "FieldValueRequired":
            return cause(rule.reason, place, f"Required value: {message}")
    word = "Duplicate value" if rule.reason == "FieldValueDuplicate" else "Invalid value"
    shown = message if kind in ("object", "array") else f"{format_value(value)}: {message}"
    return cause(rule.reason, place, f"{word}: {shown}")


def _broken(place: str, kind: str, error: str, rule: Rule) -> Cause:
    return cause("FieldValueInvalid", place, f'Invalid value: "{kind}": {error} evaluating rule: {rule.message}')


def compile_rules(schema: Raw) -> Rules:
    """Return the rules of a root schema.

    Raises:
        RuleError: one of them is refused; `problems` returns which.
    """
    return _compile(schema, root=True, correlated=True)


def problems(schema: Raw, path: str, *, root: bool = True, correlated: bool = True) -> Iterator[Cause]:
    """Yield the errors of the rules of a schema and of all schemas below it, as causes of a 422."""
    for place, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        try:
            _rule(rule, schema, root=root, correlated=correlated)
        except RuleError as error:
            at = f"{path}.x-kubernetes-validations[{place}].rule"
            yield cause("FieldValueInvalid", at, f"Invalid value: {format_value(rule.get('rule'))}: {error}")
    for name, child in (schema.get("properties") or {}).items():
        yield from problems(child, f"{path}.properties[{name}]", root=False, correlated=correlated)
    for word in _BELOW:
        if isinstance(child := schema.get(word), dict):
            kept = correlated and _is_correlated(schema, word)
            yield from problems(child, f"{path}.{word}", root=False, correlated=kept)


def _compile(schema: Raw, *, root: bool, correlated: bool) -> Rules:
    own = [
        _rule(rule, schema, root=root, correlated=correlated) for rule in schema.get("x-kubernetes-validations") or ()
    ]
    made = Rules(schema, root, own)
    for name, child in (schema.get("properties") or {}).items():
        below = _compile(child, root=False, correlated=correlated)
        if not below.is_empty:
            made.fields[name] = below
    for word, name in _BELOW.items():
        if isinstance(child := schema.get(word), dict):
            below = _compile(child, root=False, correlated=correlated and _is_correlated(schema, word))
            if not below.is_empty:
                setattr(made, name, below)
    return made


def _is_correlated(schema: Raw, word: str) -> bool:
    """Return whether values below a keyword of a schema have a counterpart in the old object."""
    return word != "items" or schema.get("x-kubernetes-list-type") == "map"


def _rule(raw: Raw, schema: Raw, *, root: bool, correlated: bool) -> Rule:
    if raw.get("optionalOldSelf"):
        raise RuleError("the development server does not serve optionalOldSelf of rules")
    text, expression, path = str(raw["rule"]), str(raw.get("messageExpression") or ""), str(raw.get("fieldPath") or "")
    read = reads(text)
    is_transition = any(variable == "oldSelf" for variable, _, _ in read)
    if is_transition and not correlated:
        raise RuleError("oldSelf cannot be used on the uncorrelatable portion of the schema")
    read += reads(expression)
    for _, steps, is_presence_test in read:
        _check_chain(
            schema, steps[:-1] if is_presence_test else steps, steps, root=root, is_presence_test=is_presence_test
        )
    _check_path(schema, path)
    kind = _TYPES.get(schema.get("type", ""), "DYN")
    program = _compiled(kind, text)
    if program.return_type().name() not in ("BOOL", "DYN"):
        raise RuleError("cel expression must evaluate to a bool")
    words = _compiled(kind, expression) if expression else None
    if words is not None and words.return_type().name() not in ("STRING", "DYN"):
        raise RuleError("messageExpression must evaluate to a string")
    return Rule(
        text=text,
        program=program,
        message=(raw.get("message") or "").strip() or f"failed rule: {text.strip()}",
        words=words,
        path=path,
        reason=raw.get("reason") or "FieldValueInvalid",
        wanted=field_tree([(steps, is_presence_test) for _, steps, is_presence_test in read]),
        is_transition=is_transition,
    )


def _compiled(kind: str, text: str) -> Any:
    try:
        return _program(kind, text)
    except RuntimeError as error:
        raise RuleError(f"compilation failed: {error}") from error


def _check_path(schema: Raw, path: str) -> None:
    """Refuse a `fieldPath` that is not a path of fields of the schema."""
    if path and not _FIELD_PATH.fullmatch(path):
        raise RuleError(f"the development server does not serve the fieldPath {path!r}: use fields alone, as in .spec")
    for step in path.split(".")[1:]:
        fields = schema.get("properties") or {}
        if step not in fields:
            raise RuleError(f"fieldPath {path!r} does not refer to a valid field")
        schema = fields[step]


def _check_chain(
    schema: Raw, read: tuple[str, ...], named: tuple[str, ...], *, root: bool, is_presence_test: bool
) -> None:
    """Refuse fields that the schema does not have, and those that only a real server can evaluate."""
    node: Raw | None = schema
    for place, step in enumerate(named):
        known = None if node is None else fields_of(node, root=root and place == 0)
        if known is None:
            values = None if node is None else node.get("additionalProperties")
            node = values if isinstance(values, dict) else None
            continue
        if step not in known:
            raise RuleError(f"compilation failed: undefined field '{step}'")
        node = known[step]
    if is_presence_test or node is None or len(read) != len(named):
        return
    if found := mentions_format(node):
        raise RuleError(
            f"the development server cannot judge rules that read values of format {found}, which a real server reads "
            "as another type, and fails on when it cannot; use a pattern instead of the format"
        )


@lru_cache(1024)
def _program(kind: str, text: str) -> Any:
    """Compile a rule; cached, because many fields have the same rules and a definition is compiled twice."""
    return _environment(kind).compile(text)


@cache
def _environment(kind: str) -> Any:
    # Imported here: only servers with rules need it.
    from cel_expr_python import cel  # type: ignore[import-untyped]  # it has stubs without a marker

    of = getattr(cel.Type, kind)
    return cel.NewEnv(variables={"self": of, "oldSelf": of})
