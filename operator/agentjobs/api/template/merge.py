"""Merges a queue's defaults, a template and a job into one spec, and keeps the origin of each value.

One function over raw objects, for any number of layers. Later layers win: objects merge by key, lists of named entries
by name; all other values are replaced. A layer can override but not unset: null is ignored. Pure; never raises for any
layers. `api.job.validation` checks the merged spec.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.job.agent import AGENT_KINDS
from agentjobs.api.problems import FieldProblem, Path, field_name

JOB: Final = "job"


@dataclass(frozen=True, slots=True)
class Layer:
    """One object's part of a job's spec."""

    name: str
    """Display name: `job`, `template pr-review`, `queue agents`."""
    spec: Mapping[str, Any]
    locked: tuple[str, ...] = ()
    """Fields that no later layer may set."""


@dataclass(frozen=True, slots=True)
class Merged:
    """One spec merged from several layers."""

    spec: dict[str, Any]
    origins: Mapping[Path, str]
    """The layer of each value; values are texts, numbers, and lists that are replaced as a whole."""
    problems: tuple[FieldProblem, ...]
    """Locked fields that were set, and changes of the kind of agent; `spec` does not contain them."""

    def layers_of(self, field: str) -> tuple[str, ...]:
        """Return the distinct layers of the value at a problem's field, or else of what surrounds it."""
        layers = [(field_name(path), layer) for path, layer in self.origins.items()]
        place = field
        while place not in ("", "spec"):
            found = [layer for name, layer in layers if name == place or name.startswith((f"{place}.", f"{place}["))]
            if found:
                return tuple(dict.fromkeys(found))
            place = place[: max(place.rfind("."), place.rfind("["))] if "." in place else ""
        return ()


@dataclass(frozen=True, slots=True)
class _Value:
    """A value that is replaced as a whole, and its layer."""

    value: Any
    layer: str


@dataclass(frozen=True, slots=True)
class _Entries:
    """How entries of a list are identified and merged."""

    key: str = "name"
    first: bool = False
    """Whether the later layer's entries come first, because the first match decides. Else entries keep their places
    and new ones follow, because entries may refer to earlier ones."""
    whole: bool = False
    """Whether an entry is replaced instead of merged, because its members exclude each other."""


# `*` is any index of a list.
_NAMED: Final[Mapping[Path, _Entries]] = {
    ("agent", "inline", "agents"): _Entries(),
    ("agent", "inline", "mcpServers"): _Entries(),
    ("agent", "inline", "agents", "*", "mcpServers"): _Entries(),
    ("agent", "inline", "mcpServers", "*", "headersFrom"): _Entries("header", whole=True),
    ("agent", "inline", "agents", "*", "mcpServers", "*", "headersFrom"): _Entries("header", whole=True),
    ("resultPolicy", "rules"): _Entries(first=True),
    ("followUps",): _Entries(),
    ("notifications",): _Entries("sink"),
    ("runtime", "env"): _Entries(whole=True),
    ("runtime", "volumes"): _Entries(whole=True),
    ("runtime", "volumeMounts"): _Entries("mountPath", whole=True),
}
# Members that the later layer replaces as a whole.
_EXCLUSIVE: Final[Mapping[Path, tuple[str, str]]] = {
    ("input",): ("message", "messageFrom"),
    ("output",): ("schema", "schemaFrom"),
    ("agent", "inline"): ("instruction", "instructionFrom"),
    ("agent", "inline", "agents", "*"): ("instruction", "instructionFrom"),
    ("agent", "claudeCode"): ("mcpConfig", "mcpConfigFrom"),
}
# A mixture of two schemas would not be a valid schema.
_WHOLE: Final = ("schema", "schemaFrom", "messageFrom", "instructionFrom", "mcpConfigFrom")
# Free-form objects, in which null is a value.
_FREE: Final[tuple[Path, ...]] = (("input", "state"), ("agent", "module", "args"), ("agent", "runConfig"))
_KINDS: Final = AGENT_KINDS


def can_be_added(path: Path) -> bool:
    """Whether another layer can add a field at `path`."""
    indexes = [index for index, part in enumerate(path) if isinstance(part, int)]
    if not indexes:
        return True
    below = tuple("*" if isinstance(part, int) else part for part in path)
    entries = [_NAMED.get(below[:index]) for index in indexes]
    last = entries[-1]
    return all(entry is not None and not entry.whole for entry in entries) and (
        last is not None and path[indexes[-1] + 1 :] != (last.key,)
    )


def merged(layers: Sequence[Layer]) -> Merged:
    """Return the merged spec of the layers; later layers take precedence."""
    spec: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    locks: dict[str, str] = {}
    for layer in layers:
        marked = _marked(layer.spec, layer.name, ())
        for field in [field for field in marked if field in locks]:
            problems.append(_locked(field, locks[field]))
            del marked[field]
        problems += _conflicts(spec.get("agent"), marked.get("agent"))
        spec = _objects(spec, marked, ())
        locks |= dict.fromkeys(layer.locked, layer.name)
    origins = dict(_origins(spec, ()))
    return Merged(_plain(spec), origins, tuple(problems))


def without_references(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec without references to texts, such as `messageFrom`."""

    def cut(value: Any, path: Path) -> Any:
        if isinstance(value, Mapping):
            reference = _EXCLUSIVE.get(path, ("", ""))[1]
            return {key: cut(item, (*path, str(key))) for key, item in value.items() if key != reference}
        if isinstance(value, list) and path in _NAMED:
            return [cut(item, (*path, "*")) for item in value]
        return value

    return cast("dict[str, Any]", cut(spec, ()))


def _locked(field: str, by: str) -> FieldProblem:
    cure = f"is locked by {by}, so its jobs must not set it; remove it, or use another template"
    return FieldProblem(f"spec.{field}", "", cure, AcceptedReason.LOCKED_FIELD)


def _conflicts(before: object, marked: object) -> Iterator[FieldProblem]:
    """Yield a change of the kind of agent, and remove it from `marked`."""
    if not isinstance(before, dict) or not isinstance(marked, dict):
        return
    kinds = [kind for kind in _KINDS if kind in before]
    if len(kinds) != 1:
        return
    for kind in _KINDS:
        if kind in marked and kind not in kinds:
            owner = next((layer for _, layer in _origins(before[kinds[0]], ())), "the template")
            del marked[kind]
            yield FieldProblem(
                f"spec.agent.{kind}",
                "",
                f"changes the kind of agent: {owner} has agent.{kinds[0]}; remove it, or use another template",
                AcceptedReason.TYPE_CONFLICT,
            )


def _marked(value: Mapping[Any, Any], layer: str, path: Path) -> dict[str, Any]:
    return {
        str(key): _mark(item, layer, (*path, str(key)))
        for key, item in value.items()
        if item is not None or path[:2] in _FREE or path[:3] in _FREE
    }


def _mark(value: object, layer: str, path: Path) -> Any:
    if isinstance(value, Mapping) and not _is_whole(path):
        return _marked(value, layer, path)
    entries = _NAMED.get(path)
    if entries is not None and isinstance(value, list | tuple) and _are_named(value, entries.key):
        here: Path = (*path, "*")
        return [_Value(entry, layer) if entries.whole else _marked(entry, layer, here) for entry in value]
    return _Value(value, layer)


def _is_whole(path: Path) -> bool:
    return path[-1] in _WHOLE and path[:-1] in _EXCLUSIVE


def _are_named(entries: Sequence[Any], key: str) -> bool:
    """Whether all entries have distinct keys; other lists are replaced as a whole."""
    names = [entry.get(key) if isinstance(entry, Mapping) else None for entry in entries]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _objects(before: dict[str, Any], after: dict[str, Any], path: Path) -> dict[str, Any]:
    result = dict(before)
    pair = _EXCLUSIVE.get(path, ())
    if any(member in after for member in pair):
        result = {key: item for key, item in before.items() if key not in pair or key in after}
    for key, new in after.items():
        result[key] = _values(result[key], new, (*path, key)) if key in result else new
    return result


def _values(before: Any, new: Any, path: Path) -> Any:
    if isinstance(before, dict) and isinstance(new, dict):
        return _objects(before, new, path)
    if isinstance(before, list) and isinstance(new, list):
        return _lists(before, new, path)
    return new


def _lists(before: list[Any], new: list[Any], path: Path) -> list[Any]:
    entries = _NAMED[path]
    old, own = ({_name(entry, entries.key): entry for entry in some} for some in (before, new))
    here: Path = (*path, "*")
    both = {name: _values(old[name], entry, here) if name in old else entry for name, entry in own.items()}
    order = own | old if entries.first else old | own
    return [both.get(name, old.get(name)) for name in order]


def _name(entry: Any, key: str) -> str:
    value = entry.value[key] if isinstance(entry, _Value) else entry[key].value
    return str(value)


def _plain(node: Any) -> Any:
    if isinstance(node, _Value):
        return node.value
    if isinstance(node, dict):
        return {key: _plain(item) for key, item in node.items()}
    return [_plain(item) for item in node]


def _origins(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, _Value):
        yield path, node.layer
        return
    for key, item in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _origins(item, (*path, key))
