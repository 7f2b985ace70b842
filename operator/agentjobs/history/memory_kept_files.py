"""Kept files in memory, for tests, for the jobs of a `MemoryHistory`."""

from agentjobs import errors
from agentjobs.contract import MAX_KEPT_PART_BYTES, KeptFile
from agentjobs.history.kept import Room, Write, check_write, is_late
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_rows import MemoryKeptFile
from agentjobs.history.ownership import check, start_key


class MemoryKeptFiles:
    """What `RunnerFiles` promises."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history

    async def files(self, uid: str, start: int, pod_uid: str) -> list[KeptFile]:
        """Return all files by name."""
        own = self._own(uid, start, pod_uid)
        return [KeptFile(name=name, bytes=len(file.data)) for name, file in sorted(own.items())]

    async def part(self, uid: str, start: int, pod_uid: str, name: str, offset: int) -> bytes | None:
        """Return a part of a file, None if there is none."""
        file = self._own(uid, start, pod_uid).get(name)
        return None if file is None else file.data[offset : offset + MAX_KEPT_PART_BYTES]

    async def write(self, uid: str, start: int, pod_uid: str, write: Write) -> None:
        """Truncate a file to the write's offset and append its data."""
        own = self._own(uid, start, pod_uid)
        file = own.get(write.name)
        if is_late(write.number, start, file):
            return
        known = None if file is None else len(file.data)
        check_write(write, Room(known, len(own), sum(len(file.data) for file in own.values())))
        last = file.write if file and file.start == start else 0
        data = (file.data if file else b"")[: write.offset] + write.data
        own[write.name] = MemoryKeptFile(data, start, last if write.number is None else write.number)

    async def delete(self, uid: str, start: int, pod_uid: str, name: str, number: int | None = None) -> None:
        """Delete a file, if there is one."""
        own = self._own(uid, start, pod_uid)
        if not is_late(number, start, own.get(name)):
            own.pop(name, None)

    def _own(self, uid: str, start: int, pod_uid: str) -> dict[str, MemoryKeptFile]:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")
        start_key(uid, start)
        job = self._history.jobs_by_uid.get(uid)
        found = job.starts.get(start) if job else None
        if job is None or found is None:
            raise errors.NotFound(f"job {uid} has no start {start}")
        check(found.pod_uid, found.fenced, uid=uid, start=start, pod=pod_uid)
        return job.kept.setdefault(found.run or start, {})
