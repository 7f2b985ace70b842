"""What outlives jobs, in memory, for tests of engines. `MemoryStores` are those of one job; jobs share a `Kept`."""

import json
from dataclasses import dataclass, field
from typing import Any

from agentjobs.contract import ArtifactSave, ArtifactVersion, MemoryHit, Turn
from agentjobs.errors import Invalid
from agentjobs_runner.stores import Earlier


@dataclass
class Kept:
    """All that jobs of one app and user left behind."""

    turns: dict[str, list[tuple[str, Turn]]] = field(default_factory=dict)
    """By session: the uid of the job and its turn."""
    user: dict[str, Any] = field(default_factory=dict)
    app: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[tuple[ArtifactSave, bytes]]] = field(default_factory=dict)


@dataclass
class MemoryKept:
    """Means what `kept.Kept` says; starts of one run share its `content`."""

    content: dict[str, bytes] = field(default_factory=dict)

    def files(self) -> dict[str, int]:
        """All names, with the bytes of each."""
        return {name: len(content) for name, content in sorted(self.content.items())}

    def read(self, name: str) -> bytes | None:
        """A whole file."""
        return self.content.get(name)

    def write(self, name: str, content: bytes, *, offset: int = 0) -> None:
        """What a file was up to the offset, and then the content."""
        before = self.content.get(name, b"")
        if offset > len(before):
            raise Invalid(f"kept file {name!r} has {len(before)} bytes, and nothing can begin at {offset}")
        self.content[name] = before[:offset] + content

    def delete(self, name: str) -> None:
        """Forget a file."""
        self.content.pop(name, None)


@dataclass
class MemoryStores:
    """Means what `stores.Stores` says; `asked` has the names of what was called."""

    shared: Kept = field(default_factory=Kept)
    uid: str = "0b6f2a"
    session_id: str = "s"
    mode: str = "Continue"
    asked: list[str] = field(default_factory=list)
    kept: MemoryKept = field(default_factory=MemoryKept)

    def session(self) -> Earlier:
        """The turns of other jobs of the session, where the job continues it."""
        self.asked.append("session")
        earlier = [turn for uid, turn in self._turns if uid != self.uid] if self.mode == "Continue" else []
        events = [event for turn in earlier for event in turn["events"]]
        state = earlier[-1]["state"] if earlier else {}
        copied: list[Any] = json.loads(json.dumps([events, state, self.shared.user, self.shared.app]))
        return Earlier(*copied)

    def put_turn(self, turn: Turn) -> None:
        """Keep the turn in the place of one that the job has stored."""
        self.asked.append("put_turn")
        turn = json.loads(json.dumps(turn, allow_nan=False))
        self._turns[:] = [*((uid, one) for uid, one in self._turns if uid != self.uid), (self.uid, turn)]
        self.shared.user.update(turn["user"])
        self.shared.app.update(turn["app"])

    def artifact_names(self) -> list[str]:
        """All names."""
        self.asked.append("artifact_names")
        return sorted(self.shared.artifacts)

    def save_artifact(self, save: ArtifactSave, content: bytes) -> int:
        """Keep a version, one for each key, with the bytes that came last."""
        self.asked.append("save_artifact")
        versions = self.shared.artifacts.setdefault(save["name"], [])
        for number, (known, _) in enumerate(versions):
            if known["key"] == save["key"]:
                versions[number] = (json.loads(json.dumps(save)), content)
                return number
        versions.append((json.loads(json.dumps(save)), content))
        return len(versions) - 1

    def artifact(self, name: str, version: int | None) -> tuple[ArtifactVersion, bytes] | None:
        """The version of that number, or the newest."""
        self.asked.append("artifact")
        found = self._versions(name)
        number = len(found) - 1 if version is None else version
        return (found[number], self.shared.artifacts[name][number][1]) if 0 <= number < len(found) else None

    def artifact_versions(self, name: str) -> list[ArtifactVersion]:
        """All versions of that name."""
        self.asked.append("artifact_versions")
        return self._versions(name)

    def delete_artifact(self, name: str) -> None:
        """Forget all versions of that name."""
        self.asked.append("delete_artifact")
        self.shared.artifacts.pop(name, None)

    def search_memory(self, query: str, limit: int) -> list[MemoryHit]:
        """The texts of other sessions that hold one of the words."""
        self.asked.append("search_memory")
        words = query.lower().split()
        found = [
            MemoryHit(id=event["id"], session=session, author=event["author"], time="2026-01-01T00:00:00Z", text=text)
            for session, turns in self.shared.turns.items()
            if session != self.session_id
            for _, turn in turns
            for event in turn["events"]
            if any(word in (text := _text(event)).lower() for word in words)
        ]
        return found[:limit]

    @property
    def _turns(self) -> list[tuple[str, Turn]]:
        return self.shared.turns.setdefault(self.session_id, [])

    def _versions(self, name: str) -> list[ArtifactVersion]:
        return [
            ArtifactVersion(
                version=number,
                kind=save["kind"],
                mime=save["mime"],
                bytes=len(content),
                time="2026-01-01T00:00:00Z",
                metadata=save["metadata"],
            )
            for number, (save, content) in enumerate(self.shared.artifacts.get(name, []))
        ]


def _text(event: Any) -> str:
    parts = (event.get("content") or {}).get("parts") or []
    return " ".join(part["text"] for part in parts if part.get("text"))
