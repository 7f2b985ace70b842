"""The session, artifacts and memory of one job, in the gateway. See `stores` for the engines' interface."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlencode

import httpx

from agentjobs import contract
from agentjobs.contract import ArtifactNames, ArtifactSave, ArtifactVersion, ArtifactVersions, MemoryHit, Turn
from agentjobs.errors import Fenced, Invalid, NotFound, Unavailable
from agentjobs_runner.gateway import Gateway, answer_of
from agentjobs_runner.gateway_kept import GatewayKept
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.stores import Earlier

_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"


class GatewayStores:
    """The gateway's data of one job.

    Args:
        on_lost: called with the error: Fenced, or Unavailable after all retries. Callers then wait forever: the
            supervisor ends the process.
        progressed: called at each attempt, so that waiting for the gateway does not count as the agent's silence.
    """

    def __init__(
        self,
        gateway: Gateway,
        redactor: Redactor,
        on_lost: Callable[[Fenced | Unavailable], None],
        progressed: Callable[[], None],
    ) -> None:
        self._gateway = gateway
        self._redactor = redactor
        self._on_lost = on_lost
        self._progressed = progressed
        self._kept = GatewayKept(self._request)

    @property
    def kept(self) -> GatewayKept:
        """The files that starts of the job's run keep for later ones."""
        return self._kept

    def session(self) -> Earlier:
        """Return the session before the job; see `Stores.session`."""
        first = self._get(contract.PATH_SESSION)
        events, page = list(first["events"]), first
        while page["next"] is not None:
            page = self._get(contract.PATH_SESSION, after=page["next"])
            events += page["events"]
        found = [events, first["state"], first["user"], first["app"]]
        try:
            return Earlier(*(self._redactor.unseal(part) for part in found))
        except LookupError as error:
            raise Invalid(f"the session has a secret of an earlier job: {error}") from error

    def put_turn(self, turn: Turn) -> None:
        """Store what the job added to its session."""
        self._send("PUT", contract.PATH_SESSION, self._redactor.seal(turn))

    def artifact_names(self) -> list[str]:
        """Return the names of all artifacts."""
        names: list[str] = []
        after: str | None = ""
        while after is not None:
            query = {"after": after} if after else {}
            page = cast("ArtifactNames", self._get(contract.PATH_ARTIFACTS, **query))
            names += page["names"]
            after = page["next"]
        return names

    def save_artifact(self, save: ArtifactSave, content: bytes) -> int:
        """Store a version and return its number."""
        headers = {"Content-Type": _BYTES, contract.HEADER_ARTIFACT: json.dumps(save, separators=(",", ":"))}
        saved = self._request("POST", contract.PATH_ARTIFACT, content, headers)
        return int(answer_of(saved, contract.PATH_ARTIFACT)["version"])

    def artifact(self, name: str, version: int | None) -> tuple[ArtifactVersion, bytes] | None:
        """Return a version of an artifact, or None."""
        query = {"name": name} | ({} if version is None else {"version": str(version)})
        path = f"{contract.PATH_ARTIFACT}?{urlencode(query)}"
        try:
            found = self._request("GET", path)
        except NotFound:
            return None
        return cast("ArtifactVersion", json.loads(found.headers[contract.HEADER_ARTIFACT])), found.content

    def artifact_versions(self, name: str) -> list[ArtifactVersion]:
        """Return the versions of an artifact, oldest first."""
        return cast("ArtifactVersions", self._get(contract.PATH_ARTIFACT_VERSIONS, name=name))["versions"]

    def delete_artifact(self, name: str) -> None:
        """Delete all versions of an artifact."""
        path = f"{contract.PATH_ARTIFACT}?{urlencode({'name': name})}"
        self._request("DELETE", path)

    def search_memory(self, query: str, limit: int) -> list[MemoryHit]:
        """Return texts of other sessions that contain a word of `query`, best first."""
        body = {"query": query, "limit": limit}
        hits = cast("list[MemoryHit]", self._send("POST", contract.PATH_MEMORY, body)["memories"])
        return [{**hit, "text": self._unsealed(hit["text"])} for hit in hits]

    def _unsealed(self, text: str) -> str:
        """The original text; with placeholders if this pod lacks a secret in it."""
        try:
            return str(self._redactor.unseal(text))
        except LookupError:
            return text

    def _get(self, path: str, **query: str) -> Any:
        whole = f"{path}?{urlencode(query)}" if query else path
        return answer_of(self._request("GET", whole), path)

    def _send(self, method: str, path: str, body: Any) -> Any:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        headers = {"Content-Type": _JSON}
        return answer_of(self._request(method, path, content, headers), path)

    def _request(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a request, with retries while the gateway is unavailable."""
        try:
            return self._gateway.with_retries(
                lambda: self._gateway.request(method, path, content, headers), failed=lambda error: self._progressed()
            )
        except (Fenced, Unavailable) as error:
            self._lose(error)

    def _lose(self, error: Fenced | Unavailable) -> NoReturn:
        self._on_lost(error)
        while True:
            threading.Event().wait()
