"""The tables of history, as SQLAlchemy metadata: for migrations alone. A test holds it and `migrations/` together.

All lie in a schema of their own, so that a database may be shared. Keys are what Kubernetes and the start protocol
already number: a job's uid, its starts, its transitions, the events of a start. No sequence, so nothing written twice
can become two rows. JSON is `json`, not `jsonb`: its keys come back in the order they were written.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, TSVECTOR

from agentjobs.history.schema import SCHEMA

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)


def _time(name: str, **options: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), **options)


_HAS_ENDED: Final = "COALESCE(finished_at, deleted_at) IS NOT NULL"

# One row a job. `phase` to `finished_at` are those of the current transition; `resolved` is null for a job that ended
# before it was accepted. `inserted_at` is the database's clock, other times are Kubernetes' and the operator's.
jobs = Table(
    "jobs",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    _time("created_at", nullable=False),
    _time("inserted_at", nullable=False, server_default=func.clock_timestamp()),
    Column("resolved", JSON(none_as_null=True)),
    Column("spec_hash", Text),
    Column("transition", Integer),
    Column("phase", Text, nullable=False, server_default=text("'Pending'")),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("message", Text, nullable=False, server_default=text("''")),
    _time("changed_at"),
    _time("finished_at"),
    _time("deleted_at"),
    Column("schedule", Text, nullable=False, server_default=text("''")),
    Column("partition_key", Text, nullable=False, server_default=text("''")),
    Column("queue", Text, nullable=False, server_default=text("''")),
    Column("template", Text, nullable=False, server_default=text("''")),
    # Of the job that it follows.
    Column("parent_uid", Text, nullable=False, server_default=text("''")),
    # Uid of the job because of which it was skipped, or of the one that took its place before its first start.
    Column("duplicate_of", Text, nullable=False, server_default=text("''")),
    Column("replaced_by", Text, nullable=False, server_default=text("''")),
    # Null where it has none, and of a job that was skipped or replaced.
    Column("unique_key", Text),
    # Its notifications: `spec.notifications`.
    Column("notify", JSON(none_as_null=True)),
    # What was published of its workspace: `contract.Published`.
    Column("workspace", JSON(none_as_null=True)),
    # The transaction that wrote the row last; a trigger sets it. Null where that was before there was the column.
    Column("touched", BigInteger),
    # Of its object as accepted: `key=value` and `key` of each.
    Column("labels", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # What its final answer decided, and what its model calls cost in US dollars: kept here once it has ended, null
    # before. The cost of a call that is settled later is added.
    Column("outcome", Text),
    Column("cost", Numeric(20, 10)),
    # `spec.agent.model`, empty for none; null only until `fill` was there. This and the next three are set by the
    # trigger.
    Column("model", Text),
    # Null while the job is unfinished, as outcome and cost are.
    Column("ended_phase", Text),
    Column("ended_reason", Text),
    Column("words", TSVECTOR),
    # `spec.priority`, and the generation of the object from which it and the queue were written last; null where they
    # are as accepted. A row from before there were these columns has no priority until it is edited.
    Column("priority", Integer),
    Column("steered_generation", BigInteger),
)
# What has changed since a moment. Of ranges of pages: a change of a column of any other index writes all of them;
# before PostgreSQL 16 a change of this one does too.
Index(
    "jobs_touched_idx",
    jobs.c.touched,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": 16, "autosummarize": True},
)
_NEWEST: Final = (jobs.c.created_at.desc(), jobs.c.uid.desc())


def _list_index(name: str, *columns: Any, where: str) -> None:
    """Declare an index for lists of the jobs of one namespace."""
    Index(f"jobs_{name}_idx", jobs.c.cluster, jobs.c.namespace, *columns, postgresql_where=text(where))


# Pages of one namespace, newest first, and the newest of one name.
Index(None, jobs.c.cluster, jobs.c.namespace, *_NEWEST)
Index(None, jobs.c.cluster, jobs.c.namespace, jobs.c.name, jobs.c.created_at.desc())
_list_index("schedule", jobs.c.schedule, *_NEWEST, where="schedule <> ''")
_list_index("partition_key", jobs.c.partition_key, *_NEWEST, where="partition_key <> ''")
_list_index("template", jobs.c.template, *_NEWEST, where="template <> ''")
_list_index("unique_key", jobs.c.unique_key, jobs.c.created_at.desc(), where="unique_key IS NOT NULL")
_list_index(
    "unique_open",
    jobs.c.unique_key,
    where="unique_key IS NOT NULL AND finished_at IS NULL AND deleted_at IS NULL",
)
Index("jobs_parent_uid_idx", jobs.c.parent_uid, jobs.c.created_at, postgresql_where=text("parent_uid <> ''"))
ENDED: Final = func.coalesce(jobs.c.finished_at, jobs.c.deleted_at)
"""When a job ended, or was deleted before its end; null while it is unfinished."""

# What `retention` looks through, oldest first.
Index("jobs_ended_idx", jobs.c.cluster, ENDED, jobs.c.uid)
# How many ended in a time, and how: the index has all columns.
Index(
    "jobs_ends_idx",
    jobs.c.cluster,
    jobs.c.namespace,
    jobs.c.finished_at,
    postgresql_include=["ended_phase", "ended_reason"],
    postgresql_where=text("finished_at IS NOT NULL"),
)
# What `close_vanished` looks through, and pages of unfinished jobs.
_list_index("open", *_NEWEST, where="deleted_at IS NULL AND finished_at IS NULL")
Index("jobs_created_idx", jobs.c.cluster, *_NEWEST)
_list_index("queue", jobs.c.queue, *_NEWEST, where="queue <> ''")
_list_index("model", jobs.c.model, *_NEWEST, where="model <> ''")
_list_index("ended_phase", jobs.c.ended_phase, *_NEWEST, where="ended_phase IS NOT NULL")
_list_index("ended_reason", jobs.c.ended_reason, *_NEWEST, where="ended_reason IS NOT NULL")
_list_index("outcome", jobs.c.outcome, *_NEWEST, where="outcome IS NOT NULL")
_list_index("cost", jobs.c.cost.desc(), jobs.c.uid.desc(), where="cost IS NOT NULL")
_list_index("ended_at", ENDED.desc(), jobs.c.uid.desc(), where=_HAS_ENDED)
_list_index("unsuccessful", jobs.c.ended_phase, ENDED.desc(), jobs.c.uid.desc(), where="ended_phase <> 'Succeeded'")
Index("jobs_labels_idx", jobs.c.labels, postgresql_using="gin", postgresql_where=text("labels <> '{}'"))
Index("jobs_words_idx", jobs.c.words, postgresql_using="gin")

# One row a start: who may write (`pod_uid`, `fenced_at`), whether it lives (`heartbeat_at`), what its runner reported
# (`reported`), the ending that the operator recorded (`ended_at` to `message`), its answer while that is not final
# (`result`), the start whose steps it continues (`run`, set by its claim), and the bytes of the steps it recorded
# itself.
starts = Table(
    "starts",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("pod", Text, nullable=False),
    _time("started_at"),
    _time("inserted_at", nullable=False, server_default=func.clock_timestamp()),
    Column("pod_uid", Text),
    _time("claimed_at"),
    _time("heartbeat_at"),
    _time("fenced_at"),
    Column("reported", JSON(none_as_null=True)),
    Column("usage", JSON(none_as_null=True)),
    _time("ended_at"),
    Column("verdict", Text),
    Column("reason", Text),
    Column("charged", Boolean),
    Column("message", Text),
    Column("result", JSON(none_as_null=True)),
    Column("run", Integer),
    Column("versions", JSON(none_as_null=True)),
    Column("steps_bytes", BigInteger),
)

# How many were started in a time, with the way to their jobs.
Index("starts_started_idx", starts.c.started_at, starts.c.uid)

transitions = Table(
    "transitions",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("transition", Integer, primary_key=True, autoincrement=False),
    _time("time", nullable=False),
    Column("phase", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("finished", Boolean, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _time("time", nullable=False),
    Column("kind", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("data", JSON, nullable=False),
    ForeignKeyConstraint(["uid", "start"], [starts.c.uid, starts.c.start], ondelete="CASCADE"),
)

# The journal. `n` counts the steps of a job; `start` is the one that began the step last. A body is text, not `json`:
# it is never read here, and JSON with an escaped NUL is kept as it came. But for void rows no key is twice in a run.
steps = Table(
    "steps",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("run", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("name", Text, nullable=False),
    _time("began", nullable=False),
    _time("ended"),
    Column("request", JSON, nullable=False),
    Column("body", Text),
    Column("bytes", Integer, nullable=False),
    Column("usage", JSON(none_as_null=True)),
    Column("void", Boolean, nullable=False),
    ForeignKeyConstraint(["uid", "start"], [starts.c.uid, starts.c.start], ondelete="CASCADE"),
)
Index("steps_key_idx", steps.c.uid, steps.c.run, steps.c.key, unique=True, postgresql_where=text("NOT void"))
Index("steps_void_idx", steps.c.uid, steps.c.run, steps.c.key, postgresql_where=text("void"))

# The final answer of a job: the first that no rule lets it run again after, else the last. Its key is the job alone.
results = Table(
    "results",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("start", Integer, nullable=False),
    Column("result", JSON, nullable=False),
    _time("stored_at", nullable=False, server_default=func.clock_timestamp()),
)

# Files that starts of a run keep for later ones. They go when a newer run has begun, or the job has ended.
kept_files = Table(
    "kept_files",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("name", Text(collation="C"), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    # Its last write: the start, and the number that this gave to it.
    Column("start", Integer, nullable=False),
    Column("write", BigInteger, nullable=False),
)

# Their bytes: each part begins where the one before it ends.
kept_parts = Table(
    "kept_parts",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("name", Text(collation="C"), primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["uid", "run", "name"], [kept_files.c.uid, kept_files.c.run, kept_files.c.name], ondelete="CASCADE"
    ),
)

# To whom sessions, state and artifacts belong: an app (no user), a user of it (no session), a session. They stay when
# jobs go, for `used_at` and their own keep time. `artifacts` counts versions, `artifact_bytes` what these take.
scopes = Table(
    "scopes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    _time("created_at", nullable=False, server_default=func.clock_timestamp()),
    _time("used_at", nullable=False, server_default=func.clock_timestamp()),
    Column("artifacts", Integer, nullable=False, server_default=text("0")),
    Column("artifact_bytes", BigInteger, nullable=False, server_default=text("0")),
    # Those of one user, and one by its names.
    UniqueConstraint("cluster", "namespace", "user_id", "app", "session_id", name="scopes_names_key"),
)
# Pages of the sessions of a namespace, newest first.
Index("scopes_used_idx", scopes.c.cluster, scopes.c.namespace, scopes.c.used_at.desc(), scopes.c.id.desc())

# One row for each job that ended its turn of a session. `number` is the turn's place in the session, `state` the
# session's state after it.
turns = Table(
    "turns",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("scope", Uuid, ForeignKey(scopes.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("job", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("start", Integer, nullable=False),
    _time("stored_at", nullable=False, server_default=func.clock_timestamp()),
    Column("state", JSON, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("events", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    UniqueConstraint("scope", "number", name="turns_place_key"),
)

# What a turn added to its session. `words` is what memory finds the event by; null without a text.
turn_events = Table(
    "turn_events",
    metadata,
    Column("uid", Text, ForeignKey(turns.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("event", JSON, nullable=False),
    Column("words", TSVECTOR),
)
Index("turn_events_words_idx", turn_events.c.words, postgresql_using="gin")

# State of apps and of users, a row for each name, so that jobs which end at the same time lose nothing of each other.
states = Table(
    "states",
    metadata,
    Column("scope", Uuid, ForeignKey(scopes.c.id), primary_key=True),
    Column("key", Text(collation="C"), primary_key=True),
    Column("value", JSON, nullable=False),
)

# One row for each version. `save` is made of job, run and key of the save, so that a save is one version.
artifacts = Table(
    "artifacts",
    metadata,
    Column("scope", Uuid, ForeignKey(scopes.c.id), primary_key=True),
    Column("name", Text(collation="C"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("id", Uuid, nullable=False),
    Column("save", Uuid, nullable=False),
    Column("uid", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("metadata", JSON, nullable=False),
    _time("stored_at", nullable=False, server_default=func.clock_timestamp()),
    UniqueConstraint("scope", "name", "save", name="artifacts_save_key"),
    UniqueConstraint("id", name="artifacts_id_key"),
)

# The bytes of a version, in pieces. They come before its row, which makes them a version; those of a save that was
# given up stay alone until `session_retention` finds them.
artifact_chunks = Table(
    "artifact_chunks",
    metadata,
    Column("artifact", Uuid, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    _time("stored_at", nullable=False, server_default=func.clock_timestamp()),
)


def _texts(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, nullable=False) for name in names]


def _counts(*names: str) -> list[Column[Any]]:
    return [Column(name, BigInteger, nullable=False, server_default=text("0")) for name in names]


def _money(name: str) -> Column[Any]:
    """US dollars; ten decimals hold the price of one token of any model."""
    return Column(name, Numeric(20, 10), nullable=False, server_default=text("0"))


_TOKENS: Final = ("input", "output", "cached", "cache_written", "thinking")

# The proxies that live, or lived: what one has open is given back once `seen_at` is old. `since` is when it began to be
# seen without a gap. `told` is what users may see of its providers, models, prices and limits; it holds no key.
proxies = Table(
    "proxies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    _time("since", nullable=False, server_default=func.clock_timestamp()),
    _time("seen_at", nullable=False, server_default=func.clock_timestamp()),
    Column("told", JSON, nullable=False),
)

# Operators, gateways and dashboards that live, or lived. `id` is new with each process.
processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    *_texts("cluster", "kind", "version"),
    Column("leads", Boolean, nullable=False),
    _time("since", nullable=False, server_default=func.clock_timestamp()),
    _time("seen_at", nullable=False, server_default=func.clock_timestamp()),
)

# Every call of a model through a proxy, written before it is made. `ended` is null until it ends; until then its
# reservation counts. `asked` is the model that the job requested, `model` the one that was called; both as in a job's
# `agent.model`. `step` is the key of the step that it belongs to, empty for calls of the user's own code.
model_calls = Table(
    "model_calls",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("uid", Text, nullable=False),
    Column("start", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    *_texts("proxy", "step", "provider", "key", "asked", "model"),
    _time("began", nullable=False, server_default=func.clock_timestamp()),
    _time("ended"),
    Column("status", Integer),
    Column("reserved_tokens", BigInteger, nullable=False),
    _money("reserved_cost"),
    *_counts(*_TOKENS),
    _money("cost"),
    Column("estimated", Boolean, nullable=False, server_default=text("false")),
    Column("outcome", Text),
    Column("content", JSON(none_as_null=True)),
    ForeignKeyConstraint(["uid", "start"], [starts.c.uid, starts.c.start], ondelete="CASCADE"),
    # The calls of a job that have not ended. By an expression, so that a question for them cannot take the index below:
    # a plan that was made while the table was small would look through all calls of the job.
    Index("model_calls_open_idx", text("(uid || '')"), postgresql_where=text("ended IS NULL")),
)
Index(None, model_calls.c.uid, model_calls.c.step)

# What the calls of a job's attempt that ended used, added up: a budget is judged by few rows however many calls.
model_spend = Table(
    "model_spend",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    *_counts("calls", *_TOKENS),
    _money("cost"),
)

# The same by day (UTC) and by the dimensions of reports; kept when jobs are deleted.
model_usage = Table(
    "model_usage",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    *(
        Column(name, Text, primary_key=True)
        for name in ("namespace", "queue", "partition_key", "user_id", "provider", "model")
    ),
    *_counts("calls", *_TOKENS),
    _money("cost"),
)

# What was used of a limit, by slices of time: a second of a limit by the minute, a day of a limit by the day.
limit_slices = Table(
    "limit_slices",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("bucket", Text, primary_key=True),
    Column("slice", BigInteger, primary_key=True, autoincrement=False),
    *_counts("used"),
)

# Calls in progress, for limits of concurrent calls; those of a dead proxy do not count.
limit_running = Table(
    "limit_running",
    metadata,
    Column("call", Uuid, primary_key=True),
    Column("bucket", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("proxy", Text, nullable=False),
    _time("since", nullable=False, server_default=func.clock_timestamp()),
)
Index("limit_running_bucket_idx", limit_running.c.cluster, limit_running.c.bucket)

# Keys that the provider refuses for now, all of it (`model` is empty) or for one model. After `until` one call tries
# it; `probe` is when all others may, if that call was not refused.
closed_keys = Table(
    "closed_keys",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    _time("until", nullable=False),
    _time("probe"),
)

# Models that no call can have for now, each with its keys: the operator holds starts back meanwhile.
exhausted_models = Table(
    "exhausted_models",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    _time("until", nullable=False),
)

# The slots that are held, each by one job: inserted with its start, gone with the start's end.
slots = Table(
    "slots",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("start", Integer, nullable=False),
    *_texts("cluster", "namespace", "queue", "partition_key"),
    _time("claimed_at", nullable=False, server_default=func.clock_timestamp()),
)
Index("slots_queue_idx", slots.c.cluster, slots.c.namespace, slots.c.queue, slots.c.partition_key)

# Starts of queues with a rate limit, as long as its period.
queue_starts = Table(
    "queue_starts",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),
    *_texts("cluster", "namespace", "queue", "partition_key"),
    _time("at", nullable=False, server_default=func.clock_timestamp()),
)
Index("queue_starts_at_idx", queue_starts.c.cluster, queue_starts.c.namespace, queue_starts.c.queue, queue_starts.c.at)

# `modelLimits` of the queues, for the proxies.
queue_limits = Table(
    "queue_limits",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("limits", JSON, nullable=False),
    _time("changed_at", nullable=False, server_default=func.clock_timestamp()),
)

# What model calls of a queue's jobs used in a quarter of an hour, by model: for budgets of queues, and for charts of up
# to 24 days. Midnight of every zone begins a quarter.
queue_usage = Table(
    "queue_usage",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("slice", BigInteger, primary_key=True, autoincrement=False),
    Column("partition_key", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    *_counts("calls", "input", "output"),
    _money("cost"),
)
# Charts of all queues, and `retention`.
Index("queue_usage_slice_idx", queue_usage.c.cluster, queue_usage.c.slice)

# The same without models, which proxies of an older release add up. Budgets count both; nothing here adds to it.
queue_spend = Table(
    "queue_spend",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("slice", BigInteger, primary_key=True, autoincrement=False),
    Column("partition_key", Text, primary_key=True),
    *_counts("tokens"),
    _money("cost"),
)

# Notifications of transitions to sinks: inserted with the transition, sent in order of a job's transitions. One that
# is in progress is due again when its lease ends. `inserted_at` is since when it waits.
notifications = Table(
    "notifications",
    metadata,
    Column("uid", Text, ForeignKey(jobs.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("sink", Text, primary_key=True),
    Column("transition", Integer, primary_key=True, autoincrement=False),
    *_texts("cluster", "namespace", "event"),
    _time("time", nullable=False),
    Column("data", JSON, nullable=False),
    _time("inserted_at", nullable=False, server_default=func.clock_timestamp()),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    _time("due_at", nullable=False, server_default=func.clock_timestamp()),
    _time("sent_at"),
    _time("given_up_at"),
    Column("error", Text, nullable=False, server_default=text("''")),
)
Index(
    "notifications_due_idx",
    notifications.c.cluster,
    notifications.c.sink,
    notifications.c.due_at,
    postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
)
# Pages of one namespace, newest first.
Index(
    "notifications_inserted_idx",
    notifications.c.cluster,
    notifications.c.namespace,
    notifications.c.inserted_at.desc(),
    notifications.c.uid.desc(),
    notifications.c.sink.desc(),
    notifications.c.transition.desc(),
)

# What people did through REST and dashboard, also what was refused; it stays when jobs go, for as long as those. `id`
# is made by who writes the row, so that written twice it is one.
actions = Table(
    "actions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("cluster", Text, nullable=False),
    _time("time", nullable=False, server_default=func.clock_timestamp()),
    Column("user_name", Text, nullable=False),
    Column("impersonated_by", Text),
    *_texts("namespace", "kind", "name", "uid", "action"),
    Column("status", Integer, nullable=False),
    Column("message", Text, nullable=False),
)
# Pages of all namespaces, of one, and of one job, newest first; by the first of them also the oldest to prune.
Index("actions_time_idx", actions.c.cluster, actions.c.time.desc(), actions.c.id.desc())
Index("actions_namespace_idx", actions.c.cluster, actions.c.namespace, actions.c.time.desc(), actions.c.id.desc())
Index(
    "actions_uid_idx",
    actions.c.uid,
    actions.c.time.desc(),
    actions.c.id.desc(),
    postgresql_where=text("uid <> ''"),
)
