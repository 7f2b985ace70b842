"""Builds the statement that finds a page of jobs for a filter, an order and namespaces. Pure.

Values of ended jobs are kept in separate columns, null before the end, so that updates before the end touch no index
(tables.py). So such a filter has two parts: ended jobs by those columns, and the few unfinished ones. There is a part
for each namespace and each of several values, with its own order and limit, and their results are merged: a part with
an index for its condition and order only reads the rows of one page.

Frequent values are found quickly among the next few thousand jobs in the order, for any filter. So without a suitable
index, these are searched first, and the indexes only if that does not fill the page.

Values only occur as parameters of the statement.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from agentjobs.api.conditions import OVER
from agentjobs.api.job_filter import JobFilter, JobOrder
from agentjobs.history.pages import parse_job_cursor
from agentjobs.history.sanitize import clean_text
from agentjobs.history.statements import load
from agentjobs.history.words import WORDS_SQL, words_query

Scope = tuple[str, ...] | None
"""Namespaces; None for all."""

# As in the conditions of the indexes.
_HAS_ENDED: Final = "coalesce(finished_at, deleted_at) IS NOT NULL"
_GOES_ON: Final = "finished_at IS NULL AND deleted_at IS NULL"
_ENDED_AT: Final = "coalesce(finished_at, deleted_at)"
_COST_SO_FAR: Final = "(SELECT sum(spend.cost) FROM agentjobs.model_spend AS spend WHERE spend.uid = jobs.uid)"
_OUTCOME_SO_FAR: Final = "(SELECT result ->> 'outcome' FROM agentjobs.results WHERE results.uid = jobs.uid)"
KNOWN: Final = load("namespaces")["known"]
"""All namespaces that have jobs, sorted by name."""
_LOOKED_AT: Final = 3000
"""Jobs that a first search reads: takes some milliseconds, and fills a page if one in fifty matches."""
# Fields by whose values jobs are found in their order.
_INDEXED: Final = ("name", "phase", "reason", "outcome", "queue", "schedule", "template", "partition", "model")
# To add to what jobs are sorted by.
_NOTHING: Final = {JobOrder.COST: "0"} | dict.fromkeys(
    (JobOrder.NEWEST, JobOrder.OLDEST, JobOrder.ENDED), "interval '0 s'"
)
_EMPTY_ARE_NONE: Final = frozenset({"schedule", "partition_key", "template", "queue", "model"})
"""Columns whose indexes exclude empty values. The statement repeats that condition, so that the planner uses them."""


@dataclass(slots=True)
class Listing:
    """Builds the statements of one page; `values` are their parameters in addition to `cluster` and `limit`.

    Each finds jobs, in columns `uid` and `place`, the number of its row.

    Raises:
        errors.Invalid: the cursor is not of this list.
    """

    scope: Scope
    chosen: JobFilter
    cursor: str | None
    values: dict[str, Any] = field(default_factory=dict)
    _part_number: int = 0

    def __post_init__(self) -> None:
        if self.cursor is not None:
            self.values["after"], self.values["after_uid"] = parse_job_cursor(self.chosen.order, self.cursor)
        if self._has_one_namespace:
            self.values["namespace"] = self.scope[0] if self.scope else ""
        elif self.scope is not None:
            self.values["namespaces"] = list(self.scope)

    def first_look(self) -> str | None:
        """Return the statement that only searches the next jobs in the order; None if `statement` is as fast.

        Its result is the page if it is full; otherwise jobs may be missing.
        """
        order = self.chosen.order
        if order is JobOrder.COST or (self._has_one_namespace and self._has_index):
            return None
        sorted_by = self._sort_key(ended=True)
        near = ["cluster = %(cluster)s", *self._after(sorted_by), *self._created()]
        near += ["namespace = %(namespace)s"] if self._has_one_namespace else []
        near += [_HAS_ENDED] if order is JobOrder.ENDED else []
        wanted = [
            *self._of_all(),
            *(["namespace = ANY(%(namespaces)s::text[])"] if "namespaces" in self.values else []),
        ]
        if self._differs:
            ended, goes_on = (
                " AND ".join(part) for part in ([_HAS_ENDED, *self._of_ended()], [_GOES_ON, *self._of_open()])
            )
            wanted.append(f"({ended} OR {goes_on})")
        by = f"{sorted_by} {self._direction}, uid {self._direction}"
        found = (
            f"SELECT uid, {sorted_by} AS sorted_by FROM (SELECT * FROM agentjobs.jobs WHERE {' AND '.join(near)}"  # noqa: S608  ours
            f" ORDER BY {by} LIMIT {_LOOKED_AT}) AS jobs WHERE {' AND '.join(wanted or ['TRUE'])}"
        )
        return self._numbered(found)

    def statement(self) -> str:
        """Return the statement that uses all indexes."""
        parts = " UNION ALL ".join(f"({part})" for part in self._parts())
        if not parts:
            return "SELECT uid, 0 AS place FROM agentjobs.jobs WHERE FALSE"
        if self._is_of_each:
            among = f"({KNOWN})" if self.scope is None else "unnest(%(namespaces)s::text[])"
            parts = f"SELECT found.* FROM {among} AS wanted (namespace) CROSS JOIN LATERAL ({parts}) AS found"  # noqa: S608
        return self._numbered(parts)

    def _numbered(self, found: str) -> str:
        by = f"sorted_by {self._direction}, uid {self._direction}"
        return (
            f"SELECT uid, row_number() OVER (ORDER BY {by}) AS place"  # noqa: S608  ours
            f" FROM ({found}) AS found ORDER BY {by} LIMIT %(limit)s"
        )

    @property
    def _has_one_namespace(self) -> bool:
        return self.scope is not None and len(self.scope) <= 1

    @property
    def _is_of_each(self) -> bool:
        """Whether each of several namespaces has its own part. Indexes of words and labels do not include
        namespaces.
        """
        return not self._has_one_namespace and not self.chosen.text and not self.chosen.label

    @property
    def _has_index(self) -> bool:
        """Whether one index covers the filter in this order; most include creation times."""
        empty = JobFilter()
        columns = [
            each.name for each in fields(JobFilter) if getattr(self.chosen, each.name) != getattr(empty, each.name)
        ]
        rest = set(columns) - {"order", "since", "until"}
        if self.chosen.order is JobOrder.ENDED:
            return rest <= {"ended_since", "ended_until"}
        return not rest or (len(rest) == 1 and rest <= set(_INDEXED))

    @property
    def _direction(self) -> str:
        return "ASC" if self.chosen.order is JobOrder.OLDEST else "DESC"

    def _parts(self) -> Iterator[str]:
        """Yield the parts, for each of several values of a field, because an index has the rows of one value in
        order.
        """
        whole = self.chosen
        several = next((name for name in _INDEXED if len(getattr(whole, name)) > 1), None)
        alone = [{several: (value,)} for value in getattr(whole, several)] if several else [{}]
        for self._part_number, values in enumerate(alone):
            self.chosen = replace(whole, **values)  # type: ignore[arg-type]  # of these fields each is a tuple of texts
            yield from self._parts_of_one_namespace()
        self.chosen = whole

    def _parts_of_one_namespace(self) -> Iterator[str]:
        if not self._differs:
            yield self._part(self._sort_key(ended=True), [])
            return
        phases, order = frozenset(self.chosen.phase), self.chosen.order
        if not phases or phases & OVER:
            yield self._part(self._sort_key(ended=True), [_HAS_ENDED, *self._of_ended()])
        only_ended = order is JobOrder.ENDED or self.chosen.ended_since or self.chosen.ended_until
        if not only_ended and (not phases or phases - OVER):
            yield self._part(self._sort_key(ended=False), [_GOES_ON, *self._of_open()])

    @property
    def _differs(self) -> bool:
        """Whether the filter differs between ended and unfinished jobs."""
        of = self.chosen
        return (
            bool(of.phase or of.reason or of.outcome or of.text or of.ended_since or of.ended_until)
            or of.order in {JobOrder.ENDED, JobOrder.COST}
            or of.min_cost is not None
            or of.max_cost is not None
        )

    def _sort_key(self, *, ended: bool) -> str:
        match self.chosen.order:
            case JobOrder.ENDED:
                return _ENDED_AT
            case JobOrder.COST:
                return "cost" if ended else _COST_SO_FAR
            case _:
                return "created_at"

    def _part(self, sorted_by: str, conditions: list[str]) -> str:
        every = ["cluster = %(cluster)s", *self._namespaces(), *conditions, *self._of_all(), *self._created()]
        every += [
            *self._after(sorted_by),
            *([f"{sorted_by} IS NOT NULL"] if self.chosen.order is JobOrder.COST else []),
        ]
        # Without an index: few jobs match if the first search did not fill the page, and those of a word are read
        # quickly. The planner overestimates the matches of a prefix.
        by = f"{sorted_by} + {_NOTHING[self.chosen.order]}" if self.chosen.text else sorted_by
        return (
            f"SELECT uid, {sorted_by} AS sorted_by FROM agentjobs.jobs WHERE {' AND '.join(every)}"  # noqa: S608  ours
            f" ORDER BY {by} {self._direction}, uid {self._direction} LIMIT %(limit)s"
        )

    def _namespaces(self) -> Iterator[str]:
        if self._is_of_each:
            yield "namespace = wanted.namespace"
        elif self._has_one_namespace:
            yield "namespace = %(namespace)s"
        elif self.scope is not None:
            yield "namespace = ANY(%(namespaces)s::text[])"

    def _after(self, sorted_by: str) -> Iterator[str]:
        if self.cursor is not None:
            yield f"({sorted_by}, uid) {'>' if self._direction == 'ASC' else '<'} (%(after)s, %(after_uid)s)"

    def _created(self) -> Iterator[str]:
        yield from self._bound("created_at", ">=", "since", self.chosen.since)
        yield from self._bound("created_at", "<", "until", self.chosen.until)

    def _of_all(self) -> Iterator[str]:
        of = self.chosen
        yield from self._one_of("name", of.name)
        yield from self._one_of("queue", of.queue)
        yield from self._one_of("schedule", of.schedule)
        yield from self._one_of("template", of.template)
        yield from self._one_of("partition_key", tuple(map(clean_text, of.partition)))
        yield from self._one_of("model", of.model)
        if of.label:
            self.values["labels"] = list(of.label)
            yield "labels @> %(labels)s::text[] AND labels <> '{}'"

    def _of_ended(self) -> Iterator[str]:
        of = self.chosen
        yield from self._one_of("ended_phase", of.phase)
        if of.phase and "Succeeded" not in of.phase:
            yield "ended_phase <> 'Succeeded'"  # there is an index of those alone
        yield from self._one_of("ended_reason", of.reason)
        yield from self._one_of("outcome", of.outcome)
        if of.text:
            yield f"words @@ {self._query()}"
        yield from self._bound("cost", ">=", "min_cost", of.min_cost)
        yield from self._bound("cost", "<=", "max_cost", of.max_cost)
        yield from self._bound(_ENDED_AT, ">=", "ended_since", of.ended_since)
        yield from self._bound(_ENDED_AT, "<", "ended_until", of.ended_until)

    def _of_open(self) -> Iterator[str]:
        of = self.chosen
        yield from self._one_of("phase", of.phase)
        yield from self._one_of("reason", of.reason)
        yield from self._one_of(_OUTCOME_SO_FAR, of.outcome, name="outcome")
        if of.ended_since or of.ended_until:
            yield "FALSE"
        if of.text:
            yield f"{WORDS_SQL} @@ {self._query()}"
        yield from self._bound(_COST_SO_FAR, ">=", "min_cost", of.min_cost)
        yield from self._bound(_COST_SO_FAR, "<=", "max_cost", of.max_cost)

    def _query(self) -> str:
        self.values["words"] = words_query(self.chosen.text)
        return "to_tsquery('simple'::regconfig, %(words)s)"

    def _one_of(self, column: str, values: tuple[str, ...], *, name: str = "") -> Iterator[str]:
        """Compare a single value by equality, so that an index returns its rows in order."""
        if not values:
            return
        if column in _EMPTY_ARE_NONE:
            yield f"{column} <> ''"
        parameter = f"{name or column}_{self._part_number}_{len(values)}"
        self.values[parameter] = values[0] if len(values) == 1 else list(values)
        yield f"{column} = %({parameter})s" if len(values) == 1 else f"{column} = ANY(%({parameter})s::text[])"

    def _bound(self, column: str, sign: str, name: str, value: Any) -> Iterator[str]:
        if value is not None:
            self.values[name] = value
            yield f"{column} {sign} %({name})s"
