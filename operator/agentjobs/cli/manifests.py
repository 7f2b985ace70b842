"""YAML in, objects and patches out: the part of `apply` that needs no server. Pure except for reading files.

The patch is kubectl's three-way patch for kinds without a strategic merge: fields that the last apply set and this one
omits are removed, fields set by others stay. It uses kubectl's annotation, so both programs can work on one object.
"""

import copy
import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.yaml_compat import dump, load

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file."""

    source: str
    """`hello.yaml, document 2`, for error messages."""
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """The object's name, validated on reading; `report-…` where the server generates it."""
        metadata = self.body["metadata"]
        return str(metadata.get("name") or f"{metadata['generateName']}…")


def read(names: Iterable[str], *, generated: bool = False) -> list[Manifest]:
    """Return the objects of files, folders (YAML and JSON files, not recursive) and `-`, standard input.

    Args:
        generated: whether generateName is allowed instead of a name.

    Raises:
        Failure: a file is missing, not YAML, or holds something that is not a Kubernetes object.
    """
    return [
        manifest
        for name in names
        for source, text in _texts(name)
        for manifest in parse(text, source=source, generated=generated)
    ]


def parse(text: str, *, source: str, generated: bool = False) -> Iterator[Manifest]:
    """Yield the objects of a stream of documents, a List's items one by one."""
    try:
        documents = load(text)
    except ValueError as error:
        raise Failure(f"{source} is not valid YAML: {error}", code=USAGE) from None
    except RecursionError:
        raise Failure(f"{source} is nested too deeply.", code=USAGE) from None
    several = len(documents) > 1
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        place = f"{source}, document {number}" if several else source
        listed = isinstance(document, dict) and str(document.get("kind")).endswith("List") and "items" in document
        for body in (document["items"] or ()) if listed else (document,):
            yield _checked(body, place, generated=generated)


def with_last_applied(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the annotation for the next apply, byte for byte as kubectl writes it.

    The namespace is already filled in, as kubectl does it.
    """
    plain = copy.deepcopy(dict(body))
    annotations = plain["metadata"].get("annotations") or {}
    annotations.pop(LAST_APPLIED, None)
    plain["metadata"]["annotations"] = annotations
    plain["metadata"]["annotations"] = {**annotations, LAST_APPLIED: dump(plain)}
    return plain


def three_way(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) from `current` to `wanted`, {} when nothing differs.

    `wanted` has its own annotation (`with_last_applied`). If `current` has none it was not created by apply, and
    nothing is removed.
    """
    annotations = (current.get("metadata") or {}).get("annotations") or {}
    try:
        last = json.loads(annotations.get(LAST_APPLIED) or "{}")
    except ValueError:
        last = {}
    patch = _changes(current, wanted)
    _remove(patch, last=last if isinstance(last, dict) else {}, wanted=wanted, current=current)
    return patch


def _texts(name: str) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "standard input", sys.stdin.read()
        return
    if re.match(r"https?://", name, re.IGNORECASE):
        raise Failure(f"-f reads no addresses; download the file first: curl -fsSLO {shlex.quote(name)}", code=USAGE)
    path = Path(name)
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise Failure(f"{name} has no file that ends in {', '.join(_SUFFIXES)}.", code=USAGE)
    for file in files:
        try:
            yield str(file), file.read_text("utf-8")
        except FileNotFoundError:
            raise Failure(f"no such file: {file}.", code=USAGE) from None
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"cannot read {file}: {error}.") from error


def _checked(body: object, place: str, *, generated: bool) -> Manifest:
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("apiVersion"), str)
        or not isinstance(body.get("kind"), str)
    ):
        raise Failure(f"{place} is not a Kubernetes object: it needs apiVersion and kind.", code=USAGE)
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        raise Failure(f"{place} ({body['kind']}) has no metadata.name.", code=USAGE)
    if _text(metadata, "name") or (generated and _text(metadata, "generateName")):
        return Manifest(source=place, body=body)
    if _text(metadata, "generateName"):
        cure = "apply needs a name; use `agentjobs create -f` or `agentjobs run -f`"
        raise Failure(f"{place} ({body['kind']}) has no metadata.name: {cure}.", code=USAGE)
    raise Failure(f"{place} ({body['kind']}) has no metadata.name.", code=USAGE)


def _text(metadata: Mapping[str, Any], key: str) -> bool:
    return isinstance(metadata.get(key), str) and bool(metadata[key])


def _changes(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        have = current.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            if below := _changes(have, value):
                patch[key] = below
        elif key in current:
            # 1 == True in Python, not in JSON.
            if have != value or type(have) is not type(value):
                patch[key] = value
        elif value is not None:
            patch[key] = value
    return patch


def _remove(
    patch: dict[str, Any], *, last: Mapping[str, Any], wanted: Mapping[str, Any], current: Mapping[str, Any]
) -> None:
    for key, value in last.items():
        if key not in current:
            continue
        if key not in wanted:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(wanted[key], dict) and isinstance(current[key], dict):
            below: dict[str, Any] = patch.get(key) or {}
            _remove(below, last=value, wanted=wanted[key], current=current[key])
            if below:
                patch[key] = below
