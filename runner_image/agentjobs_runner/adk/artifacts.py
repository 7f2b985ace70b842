"""ADK's artifacts, stored outside the pod: every later start has what a tool saved, exactly once.

Code that runs again and saves again gets the first version number, with the latest bytes. Reads of the newest version
by agents and callbacks are recorded, so that a later start gets the same; inside a tool the tool's own step is
recorded.
"""

from collections import Counter
from datetime import datetime
from typing import Any, Final

from google.adk.artifacts import artifact_util
from google.adk.artifacts.base_artifact_service import ArtifactVersion, BaseArtifactService, ensure_part
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types

from agentjobs import contract
from agentjobs.contract import USER_PREFIX, ArtifactKind, ArtifactSave
from agentjobs.errors import Invalid
from agentjobs_runner.adk.call_once import call_once
from agentjobs_runner.json_values import NotJson, jsonable
from agentjobs_runner.recorded_steps import stored_key
from agentjobs_runner.stores import Stores
from agentjobs_runner.threads import in_thread
from agentjobs_runner.user_steps import place

# Limit for references to references.
_LONGEST_WAY: Final = 5


class Artifacts(BaseArtifactService):
    """The artifacts of the job's session and of its user.

    Args:
        app, user, session: the job's; others are not accessible.
    """

    def __init__(self, stores: Stores, app: str, user: str, session: str) -> None:
        self._stores = stores
        self._own = (app, user, session)
        self._saves: Counter[tuple[str, str]] = Counter()

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: types.Part | dict[str, Any],
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Save a version and return its number."""
        self._check(app_name, user_id, filename, session_id)
        kind, mime, content = _content(ensure_part(artifact))
        here = place.get().key
        self._saves[here, filename] += 1
        key = stored_key(f"{here}>artifact:{filename}#{self._saves[here, filename]}")
        save = ArtifactSave(name=filename, key=key, kind=kind, mime=mime, metadata=_metadata(custom_metadata))
        if len(content) > contract.MAX_ARTIFACT_BYTES:
            most = contract.MAX_ARTIFACT_BYTES
            raise InputValidationError(f"artifact {filename!r} has {len(content)} bytes; the limit is {most}")
        try:
            return await in_thread(self._stores.save_artifact, save, content)
        except Invalid as error:
            raise InputValidationError(f"artifact {filename!r} cannot be saved: {error}") from error

    async def load_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None, version: int | None = None
    ) -> types.Part | None:
        """Return a version of an artifact, the newest without a number; None if it does not exist."""
        return await self._load(app_name, user_id, filename, session_id, version, _LONGEST_WAY)

    async def _load(
        self, app: str, user: str, name: str, session: str | None, version: int | None, way: int
    ) -> types.Part | None:
        self._check(app, user, name, session)
        found: tuple[contract.ArtifactVersion, bytes] | None = None

        async def newest() -> int | None:
            nonlocal found
            found = await in_thread(self._stores.artifact, name, None)
            return None if found is None else found[0]["version"]

        number = await call_once(f"artifact {name}", newest) if version is None else version
        if number is not None and found is None:
            found = await in_thread(self._stores.artifact, name, number)
        if found is None:
            return None
        part = _part(*found)
        if not artifact_util.is_artifact_ref(part):
            return part
        parsed = artifact_util.resolve_artifact_reference(
            file_uri=(part.file_data and part.file_data.file_uri) or "",
            app_name=app,
            user_id=user,
            session_id=session,
            remaining_depth=way,
        )
        of = parsed.app_name, parsed.user_id, parsed.filename, parsed.session_id, parsed.version
        return await self._load(*of, way - 1)

    async def list_artifact_keys(self, *, app_name: str, user_id: str, session_id: str | None = None) -> list[str]:
        """Return the names of the session's and the user's artifacts; only the user's without a session."""
        self._check(app_name, user_id, USER_PREFIX, session_id)

        async def names() -> list[str]:
            return await in_thread(self._stores.artifact_names)

        found = await call_once("artifacts", names)
        return [name for name in found if session_id is not None or name.startswith(USER_PREFIX)]

    async def delete_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> None:
        """Delete all versions of an artifact."""
        self._check(app_name, user_id, filename, session_id)
        await in_thread(self._stores.delete_artifact, filename)

    async def list_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[int]:
        """Return the numbers of an artifact's versions."""
        more = {"app_name": app_name, "user_id": user_id, "filename": filename}
        return [version.version for version in await self.list_artifact_versions(**more, session_id=session_id)]

    async def list_artifact_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[ArtifactVersion]:
        """Return the versions of an artifact, oldest first."""
        self._check(app_name, user_id, filename, session_id)

        async def versions() -> list[contract.ArtifactVersion]:
            return await in_thread(self._stores.artifact_versions, filename)

        found = await call_once(f"versions of artifact {filename}", versions)
        return [self._version(filename, session_id, version) for version in found]

    async def get_artifact_version(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None, version: int | None = None
    ) -> ArtifactVersion | None:
        """Return the metadata of an artifact's version, the newest without a number; None if it does not exist."""
        more = {"app_name": app_name, "user_id": user_id, "filename": filename}
        found = await self.list_artifact_versions(**more, session_id=session_id)
        return next((candidate for candidate in reversed(found) if version in (None, candidate.version)), None)

    def _version(self, name: str, session: str | None, found: contract.ArtifactVersion) -> ArtifactVersion:
        app, user, _ = self._own
        of = None if name.startswith(USER_PREFIX) else session
        return ArtifactVersion(
            version=found["version"],
            canonical_uri=artifact_util.get_artifact_uri(app, user, name, found["version"], of),
            custom_metadata=found["metadata"],
            create_time=datetime.fromisoformat(found["time"]).timestamp(),
            mime_type=found["mime"] or None,
        )

    def _check(self, app: str, user: str, name: str, session: str | None) -> None:
        """Reject other sessions: the store would use the job's own."""
        ours = self._own if session is not None else self._own[:2]
        theirs = (app, user, session) if session is not None else (app, user)
        if theirs != ours:
            raise InputValidationError(f"the artifacts of {theirs} do not belong to this job's session")
        if session is None and not name.startswith(USER_PREFIX):
            raise InputValidationError(
                f"artifact {name!r} needs a session_id, or a name that begins with {USER_PREFIX}"
            )


def _content(part: types.Part) -> tuple[ArtifactKind, str, bytes]:
    if part.inline_data is not None:
        return ArtifactKind.DATA, part.inline_data.mime_type or "", part.inline_data.data or b""
    if part.text is not None:
        return ArtifactKind.TEXT, "text/plain", part.text.encode("utf-8", "replace")
    if part.file_data is not None:
        return ArtifactKind.FILE, part.file_data.mime_type or "", (part.file_data.file_uri or "").encode()
    raise InputValidationError("an artifact must be a part with text, inline_data or file_data")


def _part(version: contract.ArtifactVersion, content: bytes) -> types.Part:
    mime = version["mime"] or None
    match version["kind"]:
        case ArtifactKind.TEXT:
            return types.Part(text=content.decode())
        case ArtifactKind.FILE:
            return types.Part(file_data=types.FileData(file_uri=content.decode(), mime_type=mime))
        case _:
            return types.Part(inline_data=types.Blob(data=content, mime_type=mime))


def _metadata(given: dict[str, Any] | None) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jsonable(given or {}, ())
    except NotJson as error:
        raise InputValidationError(f"custom_metadata has a {error.kind} at {error.place}, which is not JSON") from error
    return found
