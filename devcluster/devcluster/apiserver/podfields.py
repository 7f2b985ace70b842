"""The field names of a pod at all levels; unknown fields are removed or, if the client wants it, refused.

`write` generates the names in `podfields.json` from the models of the Kubernetes client; loading the models would take
a second at each start.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

Fields = dict[str, dict[str, str | None]]
"""The fields of each type, with the type of their objects; None for fields without objects."""
TABLE: Final = Path(__file__).with_name("podfields.json")
ROOT: Final = "V1Pod"


@cache
def _table() -> Fields:
    fields: Fields = json.loads(TABLE.read_text("utf-8"))
    return fields


def prune(pod: dict[str, Any]) -> list[str]:
    """Remove unknown fields of a pod in place; return their paths, such as `spec.afinity`."""
    dropped: list[str] = []
    _prune(pod, ROOT, "", dropped)
    return dropped


def _prune(value: Any, kind: str, at: str, dropped: list[str]) -> None:
    if isinstance(value, list):
        for place, item in enumerate(value):
            _prune(item, kind, f"{at}[{place}]", dropped)
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
    """Return the table of the installed Kubernetes client."""
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
    """Return the type of a field's object or of the objects in its list."""
    items = field.get("items") or {}
    places = (field, *field.get("allOf", ()), items, *items.get("allOf", ()))
    return next((str(place["$ref"]) for place in places if "$ref" in place), "")


def write() -> None:
    """Write the table for a new version of the client."""
    TABLE.write_text(json.dumps(made(), indent=0, sort_keys=True) + "\n", "utf-8")
