"""Creates and updates the product's CustomResourceDefinitions in an API server, and waits until they are served."""

import asyncio
from pathlib import Path
from typing import Final

import yaml

from devcluster.client import CRDS, ApiError, Client, Object

_POLL_SECONDS: Final = 0.02


async def apply_crds(client: Client, *, update: bool = True) -> None:
    """Create the CustomResourceDefinitions, `update` existing ones, and return when they are served."""
    for crd in _crds():
        name = crd["metadata"]["name"]
        try:
            await client.create(CRDS, None, crd)
        except ApiError as error:
            if error.code != 409:
                raise
            if update:
                found = await client.get(CRDS, None, name)
                version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                await client.replace(CRDS, None, name, crd | {"metadata": crd["metadata"] | version})
        while not _is_established(await client.get(CRDS, None, name)):  # noqa: ASYNC110  the server is another process
            await asyncio.sleep(_POLL_SECONDS)


def _crds() -> list[Object]:
    """Read the generated files of a checkout; an installed package generates them from the models."""
    if files := sorted((Path(__file__).parents[3] / "crds").glob("*.yaml")):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster with libyaml
        return [document for file in files for document in yaml.load_all(file.read_text(), loader) if document]
    from agentjobs.api.generate.crd import FILES

    return [made() for made in FILES.values()]


def _is_established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)
