"""One queue: its waiting jobs in order, the holders of its slots, and the answers of waiting jobs.

Events (a job joins or leaves, a slot is taken or freed, a lock changes) mark what they affect; `look` only updates
that. For a queue without events it costs nothing.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any, Final

from agentjobs.api.queues.order import level_of
from agentjobs.core.queues import messages
from agentjobs.core.queues.heaps import Heap
from agentjobs.core.queues.limits import NEVER, Limits
from agentjobs.core.queues.partition import Group, Partition, WorktreeGroup, names
from agentjobs.core.queues.policy import QueuePolicy, Strategy
from agentjobs.core.queues.requests import JobName, Lock, QueueEntry, Refusal, Rejection, SessionLock, Users
from agentjobs.core.queues.starts import Start

MOST_REPORTED: Final = 200
"""Jobs whose answers are updated together: each may be a write."""
REPORT_AGAIN: Final = timedelta(seconds=1)
MOST_IDLE: Final = 1000
"""Idle partitions whose last start is remembered."""


class _Order(Heap[Partition]):
    """The partitions with an eligible job, the next one first."""

    __slots__ = ()

    def counts(self, item: tuple[Any, ...]) -> bool:
        partition: Partition = item[-1]
        return partition.ticket == int(item[-2])


@dataclass(slots=True)
class Line:
    """The queue of that name."""

    users: Users
    """Locks in use in the namespace; the owner calls `lock_changed` after a change."""
    limits: Limits
    waiting: int = 0
    _groups: dict[Lock, tuple[Group, ...]] = field(default_factory=dict)
    # Groups of worktrees, by the sessions of their jobs.
    _of_sessions: dict[SessionLock, dict[WorktreeGroup, None]] = field(default_factory=dict)
    _partitions: dict[str, Partition] = field(default_factory=dict)
    # Idle partitions, longest idle first.
    _idle: dict[str, None] = field(default_factory=dict)
    _order: _Order = field(default_factory=_Order)
    # Partitions whose place may be outdated.
    _dirty: dict[Partition, None] = field(default_factory=dict)
    # Open partitions with doubtful groups.
    _doubts: dict[Partition, None] = field(default_factory=dict)
    # When partitions must be updated without an event.
    _timers: list[tuple[datetime, int, Partition]] = field(default_factory=list)
    # When entries gain a level.
    _gains: list[tuple[datetime, int, QueueEntry]] = field(default_factory=list)
    # Entries without an answer or with an outdated one.
    _new: dict[QueueEntry, None] = field(default_factory=dict)
    _unreported: dict[QueueEntry, None] = field(default_factory=dict)
    # When more of these are answered.
    _report_at: datetime = NEVER
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def is_idle(self) -> bool:
        """Whether the queue has no state to keep."""
        policy = self.limits.policy
        return not self.waiting and not self.limits.taken and (policy is None or policy.rate is None)

    def take(self, holder: str, partition: str | None) -> None:
        """Count one more holding of a holder, which takes one slot for all of them."""
        state = None if partition is None else self._partition(partition)
        self.limits.take(holder, state)
        if state is not None:
            self._dirty[state] = None

    def give_back(self, holder: str, partition: str | None) -> bool:
        """Count one holding less. True when a slot becomes free."""
        state = None if partition is None else self._partition(partition)
        is_free = self.limits.give_back(holder, state)
        if state is not None:
            self._dirty[state] = None
            self._rest(state)
        return is_free

    def join(self, entry: QueueEntry) -> None:
        """Add an entry."""
        candidate = entry.candidate
        group = self._group(entry)
        if group is None:
            group = (WorktreeGroup if candidate.worktree else Group)(
                candidate.group, self._partition(candidate.partition)
            )
            self._groups[candidate.group] = (*self._groups.get(candidate.group, ()), group)
        entry.level = self._level(entry)
        group.join(entry, next(self._numbers))
        if isinstance(group, WorktreeGroup):
            self._of_sessions.setdefault(candidate.lock, {})[group] = None
            self._report_again(group.session_changed(candidate.lock, self.users))
        self._note_gain(entry)
        self.waiting += 1
        group.partition.waiting += 1
        self._dirty[group.partition] = None
        if entry.answer is None:
            self._new[entry] = None
        else:
            group.note(entry)
            self._report_again([entry])
        self._group_changed(group)

    def leave(self, entry: QueueEntry) -> bool:
        """Remove an entry. True if another of its group may start now."""
        group = self._group_of(entry)
        group.leave(entry)
        self.waiting -= 1
        group.partition.waiting -= 1
        self._new.pop(entry, None)
        self._unreported.pop(entry, None)
        session = entry.candidate.lock
        if isinstance(group, WorktreeGroup) and session not in group.sessions:
            del self._of_sessions[session][group]
            if not self._of_sessions[session]:
                del self._of_sessions[session]
        changed = self._group_changed(group)
        self._rest(group.partition)
        return changed

    def lock_changed(self, lock: Lock) -> bool:
        """Handle a change of a lock's users. True if admission may change something."""
        changed = False
        for group in self._groups.get(lock, ()):
            changed |= self._group_changed(group)
        if not isinstance(lock, str):
            for shared in tuple(self._of_sessions.get(lock, ())):
                again = shared.session_changed(lock, self.users)
                self._report_again(again)
                changed |= self._group_changed(shared) or bool(again)
        return changed

    def _group_changed(self, group: Group) -> bool:
        before, group.shown = group.shown, group.next(self.users)
        if before is not group.shown:
            self._offer(before, group)
        named = names(self.users.get(group.lock, {}).values())
        changed = named != group.named
        if changed:
            # Messages name the pod that a job waits for, so they are updated when it ends.
            group.named = named
            self._report_again(group.wait_for_lock())
        if isinstance(group, WorktreeGroup) and group.passed:
            changed = True
            self._report_again(group.passed)
            group.passed.clear()
        doubtful = self._judge(group)
        if not group.members:
            others = tuple(other for other in self._groups[group.lock] if other is not group)
            if others:
                self._groups[group.lock] = others
            else:
                del self._groups[group.lock]
        return changed or doubtful or (group.shown is not None and group.shown is not before)

    def _offer(self, before: QueueEntry | None, group: Group) -> None:
        """Let a group offer its current entry, replacing its previous offer."""
        if before is not None:
            before.ticket = 0
        after = group.shown
        if after is not None:
            after.ticket = next(self._numbers)
            candidate = after.candidate
            group.partition.offers.push(after.level, candidate.created, candidate.key, after.ticket, after)
            if after not in group.turns:
                self._report_again([after])  # an answer about a lock is outdated now
        self._dirty[group.partition] = None

    def look(self, policy: QueuePolicy, now: datetime) -> None:
        """Update to a policy and the current time."""
        was_set_back = now < self.limits.now
        self.limits.now = now
        if policy != self.limits.policy or was_set_back:
            self._adopt(policy)
            self._report_at = NEVER
        self._age()
        while self._timers and self._timers[0][0] <= now:
            partition = heappop(self._timers)[2]
            partition.timer = None
            self._dirty[partition] = None
        if self.limits.close():
            self._report_again(self._entries())
        self._refresh()

    def next(self) -> QueueEntry | None:
        """Return the entry that starts now, or None."""
        self._refresh()
        partition = self._order.first() if self.limits.is_open() else None
        return None if partition is None else partition.offers.first()

    def granted(self, entry: QueueEntry) -> None:
        """Handle that an entry was granted a slot, which is already taken."""
        self.leave(entry)
        partition = self._partition(entry.candidate.partition)
        partition.last = self.limits.now
        if (log := self.limits.log(partition)) is not None:
            entry.start = Start(self.limits.now)
            log.add(entry.start)
        self._dirty[partition] = None

    def not_started(self, entry: QueueEntry) -> None:
        """Handle that a job with a granted slot left. Unless it claimed its start, no start is counted."""
        partition = self._partitions.get(entry.candidate.partition)
        if partition is None or entry.start is None or self.limits.is_held(entry.candidate.uid):
            return
        if (log := self.limits.log(partition)) is not None:
            log.take_back(entry.start)
            self._dirty[partition] = None

    def pause(self, entry: QueueEntry, reason: str, until: datetime) -> Refusal:
        """Grant no slots until then, because PostgreSQL refused one. Returns the answer for the refused job."""
        partition = self._partition(entry.candidate.partition)
        self._dirty[partition] = None
        return self.limits.pause(partition, reason, until)

    def new_answers(self) -> Mapping[JobName, Refusal | Rejection]:
        """Return new and changed answers of waiting jobs. Call it after all admissions."""
        whole = self.limits.refusal()
        if whole is None:
            for partition in self._doubts:
                for group in partition.doubtful:
                    self._report_again(group.doubted(self.users))
        answers = {entry: self._answer(entry, whole) for entry in self._new}
        self._new.clear()
        self._reject_newest(answers)
        if self._unreported and self._report_at <= self.limits.now:
            for entry in list(itertools.islice(self._unreported, MOST_REPORTED)):
                del self._unreported[entry]
                answers[entry] = self._answer(entry, whole)
            self._report_at = self.limits.now + REPORT_AGAIN if self._unreported else NEVER
        changed = {entry: answer for entry, answer in answers.items() if entry.answer != answer}
        for entry, answer in changed.items():
            self._set_answer(entry, answer)
        return {entry.candidate.key: answer for entry, answer in changed.items()}

    def again(self) -> datetime | None:
        """Return when time alone may change an answer."""
        times = [self._report_at] if self._unreported else []
        if self.waiting and (changes := self.limits.changes_at()) is not None:
            times.append(changes)
        if self.waiting and self._timers and self.limits.closed == (None, None):
            times.append(self._timers[0][0])
        return min(times, default=None)

    def _adopt(self, policy: QueuePolicy) -> None:
        """Set another policy. All places are recomputed; levels only if aging changed."""
        before = self.limits.policy
        counted_otherwise = self.limits.adopt(policy)
        self._order.clear()
        self._timers.clear()
        for partition in self._partitions.values():
            partition.pause, partition.ticket, partition.timer = None, 0, None
            if counted_otherwise:
                partition.starts.clear()
            self._dirty[partition] = None
        if (before.aging if before else None) != policy.aging:
            self._level_anew()

    def _level_anew(self) -> None:
        self._gains.clear()
        for entry in list(self._entries()):
            self._move(entry)
            if (due := self._gain(entry)) is not None:
                self._gains.append((due, next(self._numbers), entry))
        heapify(self._gains)

    def _age(self) -> None:
        """Give each entry the levels that it has gained by waiting."""
        while self._gains and self._gains[0][0] <= self.limits.now:
            entry = heappop(self._gains)[2]
            group = self._group(entry)
            if group is not None and group.members.get(entry.candidate.uid) is entry:
                self._move(entry)
                self._note_gain(entry)

    def _move(self, entry: QueueEntry) -> None:
        """Move an entry to the place of its level, if that changed."""
        level = self._level(entry)
        if level == entry.level:
            return
        entry.level = level
        group = self._group_of(entry)
        was_shown = group.shown is entry
        group.join(entry, next(self._numbers))
        self._group_changed(group)
        if was_shown and group.shown is entry:
            self._offer(entry, group)

    @property
    def _aging(self) -> timedelta | None:
        return self.limits.policy.aging if self.limits.policy else None

    def _level(self, entry: QueueEntry) -> int:
        candidate, aging = entry.candidate, self._aging
        return level_of(candidate.priority, self.limits.now - (candidate.since or candidate.created), aging)

    def _gain(self, entry: QueueEntry) -> datetime | None:
        """Return when an entry gains its next level, or None."""
        candidate, aging = entry.candidate, self._aging
        if aging is None or not entry.level:
            return None
        return (candidate.since or candidate.created) + (candidate.priority - entry.level + 1) * aging

    def _note_gain(self, entry: QueueEntry) -> None:
        if (due := self._gain(entry)) is not None:
            heappush(self._gains, (due, next(self._numbers), entry))

    def _refresh(self) -> None:
        """Update the places of changed partitions."""
        policy, flagged = self.limits.policy, set()
        while policy is not None and self._dirty:
            partition, _ = self._dirty.popitem()
            budget = self.limits.budget(partition.key)
            if budget != partition.budget:
                partition.budget = budget
                flagged.add(partition)
            opens = partition.opens_at(policy, self.limits.now)
            partition.is_open = opens is None and not partition.is_full(policy)
            # Jobs are informed when there is budget again, although a rate may hold them longer.
            due = opens if budget is None else budget.until
            if due is not None and partition.waiting and (partition.timer is None or due < partition.timer):
                partition.timer = due
                heappush(self._timers, (due, next(self._numbers), partition))
            self._place(partition, policy)
            self._note_doubts(partition)
        if flagged:
            self._report_again(entry for entry in self._entries() if self._group_of(entry).partition in flagged)

    def _place(self, partition: Partition, policy: QueuePolicy) -> None:
        entry = partition.offers.first() if partition.is_open else None
        if entry is None:
            partition.ticket = 0
            return
        is_fair = policy.strategy is Strategy.FAIR
        share = (len(partition.holders), partition.last or NEVER) if is_fair else (0, NEVER)
        place = (entry.level, *share, entry.candidate.created, entry.candidate.key)
        if not partition.ticket or place != partition.place:
            partition.place, partition.ticket = place, next(self._numbers)
            self._order.push(*place, partition.ticket, partition)

    def _answer(self, entry: QueueEntry, whole: Refusal | Rejection | None) -> Refusal | Rejection:
        group, candidate, known = self._group_of(entry), entry.candidate, entry.answer
        refusal = self.limits.refusal_of(group.partition, whole)
        if refusal is not None and refusal.reason not in messages.TURNS:
            return refusal
        waits_for_it = isinstance(known, Refusal) and known.reason == messages.LOCK
        in_use = self._in_use(entry)
        if in_use and (waits_for_it or refusal is None):
            return known if known in in_use else in_use[0]
        # Behind another entry of a free lock the answer is kept, unless it names a pod that no longer holds it.
        stays = waits_for_it and not in_use and entry is not group.shown
        if stays and known in [messages.in_use(lock, "") for lock in candidate.locks]:
            return known
        if isinstance(known, Refusal) and known.reason in messages.TURNS:
            return known
        return refusal or messages.no_slot(0, self.limits.queue)

    def _in_use(self, entry: QueueEntry) -> list[Refusal | Rejection]:
        """Return the possible answers of an entry about the locks that it waits for."""
        uid, locks = entry.candidate.uid, entry.candidate.locks
        by = [
            (lock, [user.description for user in self.users.get(lock, {}).values() if user.uid != uid])
            for lock in locks
        ]
        return [messages.in_use(lock, next(filter(None, others), "")) for lock, others in by if others]

    def _reject_newest(self, answers: dict[QueueEntry, Refusal | Rejection]) -> None:
        """Reject the newest new jobs if the backlog is full."""
        backlog = self.limits.policy.backlog if self.limits.policy else None
        if backlog is None or not backlog.rejects:
            return
        come = [entry for entry, answer in answers.items() if isinstance(answer, Refusal)]
        over = self.waiting - (len(answers) - len(come)) - backlog.limit
        if over > 0:
            come = [entry for entry in come if entry.candidate.is_new]
            come.sort(key=lambda entry: (entry.level, entry.candidate.created, entry.candidate.key))
            answers |= dict.fromkeys(come[-over:], messages.backlog_full(self.limits.queue, backlog))

    def _set_answer(self, entry: QueueEntry, answer: Refusal | Rejection) -> None:
        entry.answer = answer
        if isinstance(answer, Rejection):
            self.leave(entry)
            return
        group = self._group_of(entry)
        group.note(entry)
        self._judge(group)

    def _report_again(self, entries: Iterable[QueueEntry]) -> None:
        self._unreported |= dict.fromkeys(entry for entry in entries if entry.answer is not None)

    def _judge(self, group: Group) -> bool:
        """Update whether a lock in use has an entry that was answered to wait for its turn; True if so."""
        doubtful = group.is_doubted(self.users)
        if doubtful:
            group.partition.doubtful[group] = None
        else:
            group.partition.doubtful.pop(group, None)
        self._note_doubts(group.partition)
        return doubtful

    def _note_doubts(self, partition: Partition) -> None:
        if partition.doubtful and partition.is_open:
            self._doubts[partition] = None
        else:
            self._doubts.pop(partition, None)

    def _partition(self, key: str) -> Partition:
        partition = self._partitions.get(key)
        if partition is None:
            partition = self._partitions[key] = Partition(key, self.limits.budget(key))
        self._idle.pop(key, None)
        return partition

    def _rest(self, partition: Partition) -> None:
        """Drop an idle partition once many others have become idle after it."""
        if not partition.is_idle:
            return
        self._idle[partition.key] = None
        if len(self._idle) > MOST_IDLE:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            self._order_out(self._partitions.pop(oldest))

    def _order_out(self, partition: Partition) -> None:
        partition.ticket = 0
        self._dirty.pop(partition, None)
        self._doubts.pop(partition, None)

    def _group(self, entry: QueueEntry) -> Group | None:
        candidate = entry.candidate
        return next(
            (group for group in self._groups.get(candidate.group, ()) if group.partition.key == candidate.partition),
            None,
        )

    def _group_of(self, entry: QueueEntry) -> Group:
        group = self._group(entry)
        if group is None:
            raise LookupError(f"{entry.candidate.key} does not wait in queue {self.limits.queue}")
        return group

    def _entries(self) -> Iterator[QueueEntry]:
        groups = itertools.chain.from_iterable(self._groups.values())
        return itertools.chain.from_iterable(group.members.values() for group in groups)
