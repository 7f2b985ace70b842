"""Whatever is recorded, sent again or made void, by however many starts: the journal is what a plain list of it is."""

import itertools
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.history.runner_calls import a_call, a_step, record

from agentjobs.history.records import Acceptance

_numbers = itertools.count()
# A model's answer has another key than a call that begins and ends.
ANSWER, CALL = st.sampled_from("abc"), st.sampled_from("ABC")
KEY = st.one_of(ANSWER, CALL)
STEP = st.one_of(
    st.tuples(st.sampled_from(["step", "void"]), ANSWER), st.tuples(st.sampled_from(["begin", "end"]), CALL)
)
ACTION = st.one_of(
    st.tuples(st.just("record"), st.lists(STEP, min_size=1, max_size=4), st.lists(KEY, max_size=1)),
    st.tuples(st.just("record"), st.lists(STEP, min_size=1, max_size=1), st.just([])),
    st.just(("again",)),
    st.just(("restart",)),
    st.just(("anew",)),
)


@dataclass
class Plain:
    """The rules once more, for one request after the other and none twice."""

    rows: list = field(default_factory=list)
    used: dict = field(default_factory=dict)

    def record(self, run, start, steps, void):
        for row in self.rows:
            if row["run"] == run and row["key"] in void and not row["void"]:
                row["void"] = True
        for step in steps:
            self._one(run, start, step)

    def _one(self, run, start, step):
        live = [row for row in self.rows if row["run"] == run and row["key"] == step["key"] and not row["void"]]
        told = {"start": start, "ended": step["ended"], "body": step["body"]}
        if not live or (step["void"] and live[0]["ended"]):
            self.rows.append({"run": run, "key": step["key"], "void": step["void"], **told})
        elif live[0]["ended"]:
            return
        else:
            live[0].update(told, void=step["void"])
        self.used.setdefault(start, Counter()).update(step["usage"])


def drawn(kind, key, second):
    if kind in ("step", "void"):
        return a_step(key, body=f"at {second}", second=second, void=kind == "void")
    return a_call(key, body=f"at {second}" if kind == "end" else None, second=second)


async def carry_out(actions, operator, gateway, build, plain):
    """Carry out actions on both, and return the last start with its run."""
    start, run = 0, 1
    last, seconds = ([], []), itertools.count()
    for action in [("restart",), *actions]:
        if action[0] == "record":
            last = [drawn(kind, key, next(seconds)) for kind, key in action[1]], action[2]
            plain.record(run, start, *last)
        if action[0] in ("record", "again"):
            await record(gateway, build.uid, start, *last[0], run=run, void=last[1])
        elif action[0] == "anew":
            run, last = start, ([], [])
            await record(gateway, build.uid, start, run=run)
        else:
            start, last = start + 1, ([], [])
            await operator.accept(Acceptance(build.job(), build.start(start)))
            head = (await gateway.claim(build.uid, start, f"pod-{start}", **build.place))["journal"]
            assert head["run"] == run
    return start, run


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTION, max_size=10))
async def test_the_journal_behaves_like_a_plain_list(operator, gateway, a_job, actions):
    build, plain = a_job(f"journal-{next(_numbers)}"), Plain()
    start, run = await carry_out(actions, operator, gateway, build, plain)

    shown = (await gateway.steps(build.uid, limit=500)).items
    read = (await gateway.read_steps(build.uid, start, f"pod-{start}"))["steps"]
    assert [(step.n, step.run, step.start, step.key, step.void) for step in shown] == [
        (n, row["run"], row["start"], row["key"], row["void"]) for n, row in enumerate(plain.rows, 1)
    ]
    assert [(step["key"], step["start"], step["body"]) for step in read] == [
        (row["key"], row["start"], row["body"]) for row in plain.rows if row["run"] == run and not row["void"]
    ]
    used = {one.start: Counter(one.usage or {}) for one in (await gateway.job_history("default", build.uid)).starts}
    assert {start: count for start, count in used.items() if count} == {
        start: count for start, count in plain.used.items() if count
    }
