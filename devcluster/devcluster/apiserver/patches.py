"""The three patch formats of the Kubernetes API, over plain dicts.

JSON merge patch (RFC 7396) and JSON patch (RFC 6902) for all kinds, strategic merge patch for the built-in kinds, with
the merge keys of `kinds`. The target is never changed. Results share unpatched parts with the target and must not be
changed in place. `core` decides which fields a patch may change and whether the result is valid.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import jsonpatch
import jsonpointer
import orjson

from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import Kind, MergeRule

Object = dict[str, Any]

# The limits of the real server: operations in one JSON patch, and bytes of all its copy operations.
MAX_OPERATIONS: Final = 10_000
MAX_COPIED_BYTES: Final = 3 * 1024 * 1024

_REFUSED: Final = "the server rejected our request due to an error in our request"
_MAX_REASON: Final = 300
_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE_SCALARS: Final = "$deleteFromPrimitiveList/"


class PatchTestFailed(StatusError):
    """A `test` operation failed: 422, which clients take for a conflict."""


def merge_patch(target: Object, patch: object) -> Object:
    """Return the target with an RFC 7396 patch: null removes, objects merge, other values replace.

    Raises:
        StatusError: 400 when the patch is not an object.
    """
    if not isinstance(patch, dict):
        raise StatusError(400, f"error decoding patch: expected a JSON object, got {_json_type(patch)}")
    result = dict(target)
    pending: list[tuple[Object, Object]] = [(result, patch)]
    while pending:
        merged, changes = pending.pop()
        for key, value in changes.items():
            if value is None:
                merged.pop(key, None)
            elif isinstance(value, dict):
                old = merged.get(key)
                merged[key] = child = dict(old) if isinstance(old, dict) else {}
                pending.append((child, value))
            else:
                merged[key] = value
    return result


def json_patch(target: Object, operations: object) -> Object:
    """Return the target after RFC 6902 operations.

    As in the RFC, a `replace` of a missing member is refused; the real server adds the member.

    Raises:
        PatchTestFailed: a `test` operation failed.
        StatusError: 400 if it is not a list of operations, 413 for too many, 422 if one cannot be applied.
    """
    if not isinstance(operations, list):
        raise StatusError(
            400, f"error decoding patch: expected a JSON array of operations, got {_json_type(operations)}"
        )
    if len(operations) > MAX_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise StatusError(413, message)
    for operation in operations:
        if not isinstance(operation, dict):
            raise StatusError(400, f"error decoding patch: expected an operation object, got {_json_type(operation)}")
    try:
        result = _apply_operations(orjson.loads(orjson.dumps(target)), operations)
    except jsonpatch.JsonPatchTestFailed as error:
        raise PatchTestFailed(422, f"{_REFUSED}: {_first_line(error)}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError) as error:
        raise StatusError(422, f"{_REFUSED}: {_first_line(error)}") from error
    except RecursionError as error:
        raise _too_deep() from error
    if not isinstance(result, dict):
        raise StatusError(422, f"{_REFUSED}: the result is not an object but {_json_type(result)}")
    return cast("Object", result)


def strategic_merge(target: Object, patch: object, kind: Kind) -> Object:
    """Return the target after a strategic merge patch, lists merged by the kind's merge keys.

    Understands `$patch: delete|replace|merge`, `$retainKeys`, `$deleteFromPrimitiveList/…` and `$setElementOrder/…`;
    the last one reorders the named elements among their positions; other elements stay.

    Raises:
        StatusError: 400 when the patch is not an object or its directives or keys are malformed.
    """
    if not isinstance(patch, dict):
        raise StatusError(400, f"expected a JSON object as patch, got {_json_type(patch)}")
    try:
        return _merge_map(target, patch, "", kind.merge_rules)
    except RecursionError as error:
        raise _too_deep() from error


def _apply_operations(document: object, operations: list[Object]) -> object:
    copied = 0
    for operation in operations:
        if operation.get("op") == "copy" and isinstance(operation.get("from"), str):
            source = jsonpointer.resolve_pointer(document, operation["from"], None)
            copied += len(orjson.dumps(source))
            if copied > MAX_COPIED_BYTES:
                raise ValueError(f"copy operations may add {MAX_COPIED_BYTES} bytes at most")
        document = jsonpatch.apply_patch(document, [operation], in_place=True)
    return document


def _merge_map(target: Object, patch: Object, path: str, rules: Mapping[str, MergeRule]) -> Object:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise StatusError(
            400, f"unknown patch type: {directive} in {path or 'the object'}; use merge, replace or delete"
        )
    result = _retained(target, patch, path)
    for field, value in _directives(patch, _DELETE_SCALARS):
        if field in result:
            result[field] = [item for item in _as_list(result[field]) if item not in _as_list(value)]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
            continue
        result[key] = _merge_value(result.get(key), value, f"{path}.{key}" if path else key, rules)
    for field, value in _directives(patch, _ORDER):
        if field in result:
            rule = rules.get(f"{path}.{field}" if path else field)
            result[field] = _reordered(_as_list(result[field]), _as_list(value), rule)
    return result


def _directives(patch: Object, prefix: str) -> list[tuple[str, object]]:
    return [(key.removeprefix(prefix), value) for key, value in patch.items() if key.startswith(prefix)]


def _merge_value(old: object, new: object, path: str, rules: Mapping[str, MergeRule]) -> object:
    if isinstance(new, dict):
        return _merge_map(old if isinstance(old, dict) else {}, new, path, rules)
    if isinstance(new, list):
        rule = rules.get(path)
        if rule is None:
            return new
        if rule.key is None:
            return _union(_as_list(old), new)
        return _merge_keyed(_as_list(old), new, rule.key, path, rules)
    return new


def _retained(target: Object, patch: Object, path: str) -> Object:
    if _RETAIN not in patch:
        return dict(target)
    keep = patch[_RETAIN]
    if not isinstance(keep, list) or any(not key.startswith("$") and key not in keep for key in patch):
        raise StatusError(400, f"invalid patch format of retainKeys in {path or 'the object'}: list every key it sets")
    return {key: value for key, value in target.items() if key in keep}


def _merge_keyed(
    old: list[Any], new: list[Any], merge_key: str, path: str, rules: Mapping[str, MergeRule]
) -> list[Any]:
    for item in new:
        if not isinstance(item, dict):
            raise StatusError(400, f"{path}: expected a list of objects, got {_json_type(item)}")
    if any(item.get(_DIRECTIVE) == "replace" for item in new):
        return [item for item in new if item.get(_DIRECTIVE) != "replace"]
    result = list(old)
    for item in new:
        if merge_key not in item:
            raise StatusError(400, f"map: {sorted(item)} in {path} does not contain declared merge key: {merge_key}")
        value = item[merge_key]
        if item.get(_DIRECTIVE) == "delete":
            result = [other for other in result if not _has(other, merge_key, value)]
            continue
        place = next((index for index, other in enumerate(result) if _has(other, merge_key, value)), None)
        if place is None:
            result.append(_merge_map({}, item, path, rules))
        else:
            result[place] = _merge_map(result[place], item, path, rules)
    return result


def _reordered(items: list[Any], order: list[Any], rule: MergeRule | None) -> list[Any]:
    key = rule.key if rule else None
    wanted = [entry.get(key) if key and isinstance(entry, dict) else entry for entry in order]

    def rank(item: object) -> int | None:
        value = item.get(key) if key and isinstance(item, dict) else item
        return wanted.index(value) if value in wanted else None

    named = sorted((item for item in items if rank(item) is not None), key=lambda item: rank(item) or 0)
    following = iter(named)
    return [item if rank(item) is None else next(following) for item in items]


def _union(old: list[Any], new: list[Any]) -> list[Any]:
    result: list[Any] = []
    for item in [*old, *new]:
        if item not in result:
            result.append(item)
    return result


def _has(item: object, key: str, value: object) -> bool:
    return isinstance(item, dict) and item.get(key) == value


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _first_line(error: Exception) -> str:
    """Return the library's message without the object that it repeats."""
    return re.sub(r" in \{.*| \(<class '\w+'>\)", "", str(error).partition("\n")[0])[:_MAX_REASON]


def _too_deep() -> StatusError:
    return StatusError(400, "the object is nested too deeply to be patched")


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
