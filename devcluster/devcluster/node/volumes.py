"""A pod's volumes as folders: configMap, secret, downwardAPI, projected (with rotating tokens), emptyDir and claims.

Contents are read at the pod's start; only service account tokens are renewed. Other kinds of volume are refused. The
folder of a claim outlives its pods; no `sizeLimit` and no size of a claim is enforced.
"""

import base64
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.client import CLAIMS, SERVICE_ACCOUNTS, ApiError, Client, Object
from devcluster.files import write_private
from devcluster.node.environment import ConfigError, Lookup, field_value

# The kubelet requests a new token after 80 % of the old one's lifetime (pkg/kubelet/token).
_ROTATE_AT = 0.8
_DEFAULT_TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token to renew: its source, path and time of renewal."""

    path: Path
    audience: str
    seconds: int
    due: datetime.datetime


class MountError(Exception):
    """A volume cannot be set up now; the pod stays in ContainerCreating and gets an event FailedMount."""


class Mounter:
    """Writes the volumes of one pod below `folder`."""

    def __init__(
        self, client: Client, pod: Object, lookup: Lookup, *, folder: Path, claims: Path, address: str
    ) -> None:
        """`claims` is a folder with one folder per claim, named by the claim's uid."""
        self._client = client
        self._claims = claims
        self._pod = pod
        self._lookup = lookup
        self._folder = folder
        self._address = address

    async def mount(self, *, now: datetime.datetime) -> list[TokenFile]:
        """Write all volumes and return the tokens to renew. Idempotent. Raises `MountError`."""
        tokens: list[TokenFile] = []
        for volume in self._pod["spec"].get("volumes") or []:
            folder = inside(self._folder, volume["name"])
            try:
                if claim := volume.get("persistentVolumeClaim"):
                    await self._attach(claim["claimName"], folder)
                    continue
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                tokens += await self._fill(volume, folder, now)
            except ConfigError as error:
                raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
        return tokens

    async def _attach(self, name: str, place: Path) -> None:
        """Make `place` a link to the folder of a claim."""
        namespace = self._pod["metadata"]["namespace"]
        try:
            claim = await self._client.get(CLAIMS, namespace, name)
        except ApiError as error:
            if error.code == 404:
                raise ConfigError(f"error fetching PVC {namespace}/{name}: {error.message}") from None
            raise
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise ConfigError(f"error processing PVC {namespace}/{name}: PVC is not bound")
        folder = inside(self._claims, claim["metadata"]["uid"])
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _link(place, folder)

    async def refresh(self, token: TokenFile, *, now: datetime.datetime) -> TokenFile:
        """Request a new token and replace the old one; raises `ApiError`."""
        metadata, account = self._pod["metadata"], self._pod["spec"].get("serviceAccountName") or "default"
        spec: Object = {
            "expirationSeconds": token.seconds,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
        if token.audience:
            spec["audiences"] = [token.audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._client.create(
            SERVICE_ACCOUNTS, metadata["namespace"], body, subresource=(account, "token")
        )
        write_private(token.path, answer["status"]["token"].encode())
        expires = datetime.datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        return TokenFile(token.path, token.audience, token.seconds, now + (expires - now) * _ROTATE_AT)

    async def _fill(self, volume: Object, folder: Path, now: datetime.datetime) -> list[TokenFile]:
        if "emptyDir" in volume:
            return []
        if "projected" in volume:
            tokens: list[TokenFile] = []
            for source in volume["projected"].get("sources") or []:
                if token := source.get("serviceAccountToken"):
                    seconds = int(token.get("expirationSeconds") or _DEFAULT_TOKEN_SECONDS)
                    file = TokenFile(inside(folder, token["path"]), token.get("audience") or "", seconds, now)
                    tokens.append(await self.refresh(file, now=now))
                else:
                    await self._write(source, folder)
            return tokens
        source = dict(volume)
        if "secret" in source:
            source["secret"] = source["secret"] | {"name": source["secret"].get("secretName", "")}
        await self._write(source, folder)
        return []

    async def _write(self, source: Object, folder: Path) -> None:
        for relative, data in (await self._contents(source)).items():
            write_private(inside(folder, relative), data)

    async def _contents(self, source: Object) -> Mapping[str, bytes]:
        if reference := source.get("configMap"):
            found = await self._lookup.config_map(reference["name"])
            data = None if found is None else config_map_bytes(found)
            return _picked(reference, data, f'configmap "{reference["name"]}" not found')
        if reference := source.get("secret"):
            secret = await self._lookup.secret(reference["name"])
            return _picked(reference, secret, f'secret "{reference["name"]}" not found')
        if reference := source.get("downwardAPI"):
            return {
                item["path"]: field_value(self._pod, item["fieldRef"]["fieldPath"], address=self._address).encode()
                for item in reference.get("items") or []
                if "fieldRef" in item
            }
        kinds = ", ".join(key for key in source if key != "name") or "of no kind"
        raise ConfigError(f"volume {kinds} is not supported by the process node")


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def config_map_bytes(config_map: Object) -> dict[str, bytes]:
    """Return `data` and `binaryData` of a ConfigMap as bytes."""
    text = {key: str(value).encode() for key, value in (config_map.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
    return text | binary


def mount_paths(container: Object, folder: Path) -> dict[str, Path]:
    """Return the real folder or file of every volumeMount of a container; create the folder of a subPath."""
    mounts: dict[str, Path] = {}
    for mount in container.get("volumeMounts") or []:
        real = inside(folder, mount["name"])
        if real.is_symlink():  # a claim
            real = real.resolve()
        mounts[mount["mountPath"]] = _sub_path(real, mount) if mount.get("subPath") else real
    return mounts


def _sub_path(volume: Path, mount: Object) -> Path:
    """Return the folder or file of a subPath. It is always in the volume, also if pods have created links there."""
    real = inside(volume, mount["subPath"]).resolve()
    if not real.is_relative_to(volume.resolve()):
        raise ConfigError(f'failed to prepare subPath for volumeMount "{mount["name"]}"')
    if volume.is_dir() and not real.exists():
        real.mkdir(parents=True, mode=0o750)
    return real


def inside(folder: Path, relative: str) -> Path:
    """Return a path below `folder`; refuse paths that leave it, since the pod's author chooses the names."""
    parts = Path(relative).parts
    if not parts or Path(relative).is_absolute() or ".." in parts:
        raise ConfigError(f"path {relative!r} must be relative and stay inside its volume")
    return folder / relative


def _picked(reference: Object, data: Mapping[str, bytes] | None, missing: str) -> Mapping[str, bytes]:
    """Apply `items` and `optional` of a ConfigMap or Secret source."""
    items: Sequence[Object] | None = reference.get("items")
    if data is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(missing)
    if not items:
        return data
    for item in items:
        if item["key"] not in data and not reference.get("optional"):
            raise ConfigError(f"references non-existent config key: {item['key']}")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}
