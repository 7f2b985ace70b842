"""The JSONPath dialect of printer columns, as kubectl and kube-apiserver read it.

`.spec.size`, `.metadata.labels.app\\.kubernetes\\.io/name`, `['name']`, `[0]`, `[-1:]`, `[*]`, `.*`, `..name`,
`[0,2]` and filters such as `[?(@.type=="Ready")].status`. Missing keys match nothing.
"""

import functools
import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

Step = Callable[[Any], Iterator[Any]]
Finder = Callable[[Any], Iterator[Any]]

_NAME: Final = re.compile(r"((?:[^.\[\]\\{}\s]|\\.)+)")
_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_SLICE: Final = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+))?")
_FILTER: Final = re.compile(r"\?\(\s*(@[^=!<>]*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?)\s*)?\)")
# Objects deeper than this are not searched by `..`.
_MAX_DESCENT: Final = 200

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@functools.lru_cache(maxsize=1024)
def compile_path(path: str) -> Finder:
    """Compile a path that begins with `.` or `[`; the result yields the matches in a value.

    Raises:
        ValueError: the path cannot be read.
    """
    steps = list(_steps(path))

    def find(value: Any) -> Iterator[Any]:
        found: Iterator[Any] = iter((value,))
        for step in steps:
            found = _each(step, found)
        return found

    return find


def _each(step: Step, values: Iterator[Any]) -> Iterator[Any]:
    for value in values:
        yield from step(value)


def _steps(path: str) -> Iterator[Step]:
    position = 0
    while position < len(path):
        if path.startswith("..", position):
            yield _descend
            position += 2 if path.startswith("[", position + 2) else 1
        elif path.startswith("[", position):
            end = _closing(path, position)
            yield _bracket(path[position + 1 : end].strip(), path)
            position = end + 1
        elif path.startswith(".", position):
            position += 1
            if position == len(path):
                return  # a path of one dot is the object itself
            if path.startswith("[", position):
                continue
            found = _NAME.match(path, position)
            if found is None:
                raise ValueError(f"cannot read the JSON path {path!r} at {path[position:]!r}")
            name = re.sub(r"\\(.)", r"\1", found.group(1))
            yield _values if found.group(1) == "*" else _field(name)
            position = found.end()
        else:
            raise ValueError(f"is an invalid path: expected [ or . but got: {path[position:]}")


def _closing(path: str, opening: int) -> int:
    quote, position = "", opening + 1
    depth = 1
    while position < len(path):
        character = path[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise ValueError(f"unterminated array in the JSON path {path!r}")


def _bracket(text: str, path: str) -> Step:
    if text == "*":
        return _values
    if text.startswith("?"):
        return _filter(text, path)
    if (found := _SLICE.fullmatch(text)) is not None:
        start, stop, step = (int(part) if part else None for part in found.groups())
        if step is not None and step <= 0:
            raise ValueError(f"the step of a slice must be positive in {path!r}")
        return lambda value: iter(value[start:stop:step]) if isinstance(value, list) else iter(())
    return _union([_member(part.strip(), path) for part in _split(text)])


def _split(text: str) -> list[str]:
    pieces, last = [], 0
    quoted = [found.span() for found in _QUOTED.finditer(text)]
    for found in re.finditer(",", text):
        if not any(start < found.start() < end for start, end in quoted):
            pieces.append(text[last : found.start()])
            last = found.end()
    return [*pieces, text[last:]]


def _member(text: str, path: str) -> Step:
    if re.fullmatch(r"-?\d+", text):
        index = int(text)
        return lambda value: iter(value[index : index + 1 or None]) if isinstance(value, list) else iter(())
    if (found := _QUOTED.fullmatch(text)) is not None:
        # As in kube-apiserver, quotes do not protect dots: ['a.b'] is .a.b, and a dot in a key needs a backslash.
        name = found.group(1) if found.group(1) is not None else found.group(2)
        return compile_path(f".{name}")
    raise ValueError(f"invalid array index {text!r} in the JSON path {path!r}")


def _unquoted(found: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", found.group(1) if found.group(1) is not None else found.group(2))


def _filter(text: str, path: str) -> Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise ValueError(f"cannot read the filter [{text}] of the JSON path {path!r}")
    subject = compile_path(found.group(1)[1:])
    if found.group(2) is None:
        return lambda value: (item for item in _items(value) if any(True for _ in subject(item)))
    compare = _COMPARISONS[found.group(2)]
    wanted = _operand(found.group(3), path)

    def step(value: Any) -> Iterator[Any]:
        for item in _items(value):
            left, right = next(subject(item), None), next(wanted(item), None)
            if type(left) is type(right) or (isinstance(left, int | float) and isinstance(right, int | float)):
                try:
                    matches = compare(left, right)
                except TypeError:
                    continue
                if matches:
                    yield item

    return step


def _operand(text: str, path: str) -> Finder:
    if text.startswith("@"):
        return compile_path(text[1:])
    if (found := _QUOTED.fullmatch(text)) is not None:
        literal: Any = _unquoted(found)
    else:
        try:
            literal = json.loads(text)
        except ValueError as error:
            raise ValueError(f"cannot read {text!r} in the filter of the JSON path {path!r}") from error
    return lambda _item: iter((literal,))


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _union(members: list[Step]) -> Step:
    return lambda value: (match for member in members for match in member(value))


def _items(value: Any) -> Iterator[Any]:
    return iter(value) if isinstance(value, list) else iter(())


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return _items(value)


def _descend(value: Any) -> Iterator[Any]:
    level = [value]
    for _ in range(_MAX_DESCENT):
        if not level:
            return
        yield from level
        level = [child for parent in level for child in _values(parent)]
