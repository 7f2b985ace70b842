"""The fields of a pod, all the way down: what a server knows of them decides what it drops or, asked to, refuses.

The names stand in `podfields.json`, made from the models of the Kubernetes client by `write`: loading the models
themselves takes a second at each start.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

Fields = dict[str, dict[str, str | None]]
"""By type, its fields, each with the type of the objects in it, None when there are none."""
TABLE: Final = Path(__file__).with_name("podfields.json")
ROOT: Final = "V1Pod"


@cache
def _table() -> Fields:
    fields: Fields = json.loads(TABLE.read_text("utf-8"))
    return fields


def prune(pod: dict[str, Any]) -> list[str]:
    """Remove the fields of a pod that nobody knows, in place; return their paths, such as `spec.afinity`."""
    dropped: list[str] = []
    _prune(pod, ROOT, "", dropped)
    return dropped


def _prune(value: Any, kind: str, at: str, dropped: list[str]) -> None:
    if isinstance(value, list):
        for place, one in enumerate(value):
            _prune(one, kind, f"{at}[{place}]", dropped)
    elif isinstance(value, dict):
        known = _table()[kind]
        for name in list(value):
            here = f"{at}.{name}".removeprefix(".")
            if name not in known:
                del value[name]
                dropped.append(here)
            elif (below := known[name]) is not None:
                _prune(value[name], below, here, dropped)


def made() -> Fields:
    """Return the table as the installed Kubernetes client has it."""
    from devcluster.apiserver.builtin_schemas import PREFIX, load
    from devcluster.apiserver.kinds import POD

    schemas = load()
    whole = {ROOT: schemas.kinds[POD], **schemas.behind(schemas.kinds[POD])}
    named = {kind: schema["properties"] for kind, schema in sorted(whole.items()) if schema.get("properties")}
    kinds = {f"{PREFIX}{kind}": kind for kind in named}
    return {
        kind: {name: kinds.get(_reference(field)) for name, field in sorted(fields.items())}
        for kind, fields in named.items()
    }


def _reference(field: dict[str, Any]) -> str:
    """Return what a field's objects are, one of them or a list of them."""
    items = field.get("items") or {}
    places = (field, *field.get("allOf", ()), items, *items.get("allOf", ()))
    return next((str(place["$ref"]) for place in places if "$ref" in place), "")


def write() -> None:
    """Write the table anew, for a new version of the client."""
    TABLE.write_text(json.dumps(made(), indent=0, sort_keys=True) + "\n", "utf-8")
