"""A small world around the reconciler: an API server's write semantics, a history, a kubelet, and a clock, in memory.

What is not faked: the reconciler, the caches, the queue, the core. The world can end the operator before or after any
write, repeat and reorder its news, and says what was written.
"""

import copy
import json
import random
from collections import defaultdict
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.contract import ANNOTATION_BUDGET, LABEL_JOB, LABEL_RELEASED, TerminationMessage, Verdict
from agentjobs.core.job.observation import Progress
from agentjobs.core.pods.defaults import PodDefaults, Storage
from agentjobs.errors import AlreadyExists, Conflict, Fenced, NotFound, Unavailable
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.records import Accepted
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.metrics import Metrics
from agentjobs.models.budget import Limits, Scope, Spend
from agentjobs.models.config import parse
from agentjobs.reconcile import Reconciler
from agentjobs.reconcile.kinds import KINDS
from agentjobs.reconcile.ports import Ports

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class Died(BaseException):
    """The operator's process ends here."""


class Operator:
    """One operator process as the world sees it: the reconciler, and news it has not heard yet."""

    def __init__(self, reconciler: Reconciler, history: Any) -> None:
        self.reconciler = reconciler
        self.history = history
        self.news: list[tuple[str, str, dict[str, Any]]] = []


class World:
    """Server, history, kubelet and clock."""

    def __init__(self, seed: int = 0, *, slots: int = 10, kinds: Any = KINDS) -> None:
        """`slots`: of the queue `agents`."""
        self.slots = slots
        self.kinds = kinds
        self.random = random.Random(seed)
        self.now = START
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.version = 100
        self.uids = 0
        self.writes: list[tuple[str, str]] = []
        self.tried: list[tuple[tuple[str, str, str], bool]] = []
        self.events: list[tuple[str, str]] = []
        self.history = MemoryHistory(now=lambda: self.now)
        # Starts that were accepted; history also knows those of which it learnt the end alone.
        self.starts: dict[tuple[str, int], int] = {}
        self.settled: dict[str, int] = {}
        self.used: dict[str, dict[str, int]] = {}
        # The start of each step that was recorded of a job, by its uid and in their order.
        self.steps: dict[str, list[int]] = defaultdict(list)
        # Model calls by the job's uid and its attempt, and models that are at their limits.
        self.calls: dict[tuple[str, int], int] = defaultdict(int)
        self.exhausted: dict[str, datetime] = {}
        self.exhausted_since: dict[str, datetime] = {}
        self.asked_for_limits = 0
        # Starts whose steps an operator asked for: the job's uid and the number.
        self.asked: list[tuple[str, int]] = []
        self.records: dict[tuple[str, str, int], Any] = {}
        # Every claim that was granted: the job's uid, the start, the pod's uid.
        self.granted: list[tuple[str, int, str]] = []
        self.history_away = False
        # The label selectors of lists that operators asked for.
        self.listed: list[str] = []
        self.refused = 0
        self.wall_ahead = timedelta(0)  # of the operators' wall clocks alone
        # What the server answers instead: by verb and kind.
        self.refuse: dict[tuple[str, str], Exception] = {}
        # Everything that operators created: kind, namespace and name.
        self.created: list[tuple[str, str, str]] = []
        # Jobs that schedules made: the schedule's uid and the job's name.
        self.made: list[tuple[str, str]] = []
        # Jobs that got a pod: name and uid.
        self.ran: list[tuple[str, str]] = []
        self.gateway_egress: tuple[EgressRule, ...] = (EgressRule.model_validate({"ports": [{"port": 8443}]}),)
        self.models_url: str | None = "http://gateway"
        self.models_file = ""
        self.git_cache: Storage | None = None
        self.sinks: tuple[str, ...] = ()
        self.die_at: int | None = None
        self.die_after = False
        self.operators: list[Operator] = []
        self.join()

    # -- the operator's surroundings

    @property
    def reconciler(self) -> Reconciler:
        return self.operators[0].reconciler

    def restart(self, number: int = 0) -> None:
        """A new operator process: nothing but lists."""
        self.join(number, self.operators.pop(number).history)

    def join(self, number: int = 0, history: Any = None) -> None:
        """One more operator, whatever the others do; `history` as its version reads it."""
        history = self if history is None else history
        reconciler = Reconciler(
            self.ports(history=history),
            pods=PodDefaults(
                gateway_url="http://gateway",
                image="runner",
                gateway_egress=self.gateway_egress,
                models_url=self.models_url,
                git_cache=self.git_cache,
            ),
            models=parse(self.models_file),
            queues={"agents": self.slots, "scheduled": 5},
            sinks=self.sinks,
            kinds=self.kinds,
        )
        self.operators.insert(number, Operator(reconciler, history))
        self.list(number)

    def ports(self, **others: Any) -> Ports:
        """What surrounds an operator; the world plays every part that `others` does not."""
        parts = {"cluster": self, "history": self, "models": self, "writer": self, "recorder": self, **others}
        clocks = {"now": lambda: self.now + self.wall_ahead, "monotonic": lambda: self.now.timestamp()}
        self.metrics = Metrics()
        return Ports(**parts, **clocks, metrics=self.metrics)

    def counted(self, name: str, **labels: str) -> float:
        """A metric of the operator that came last."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def list(self, number: int = 0) -> None:
        operator = self.operators[number]
        operator.news.clear()
        informers = operator.reconciler.state.informers
        for kind in informers.kinds:
            take(informers.listing(kind.resource), self._of(kind), str(self.version))
        operator.reconciler.state.begin()

    def _of(self, kind):
        """All objects of a kind that its list has."""
        found = [copy.deepcopy(obj) for key, obj in self.objects.items() if key[0] == kind.resource.kind]
        return [obj for obj in found if selects(kind.selector, obj)]

    async def get(self, resource, namespace, name):
        if (obj := self.objects.get((resource.kind, namespace, name))) is None:
            raise NotFound(name)
        return copy.deepcopy(obj)

    async def metadata_pages(self, resource, namespace=None, *, label_selector=""):
        self.listed.append(label_selector)
        wanted = dict(part.split("=") for part in label_selector.split(",") if part)
        of_kind = [obj for key, obj in self.objects.items() if key[:2] == (resource.kind, namespace)]
        found = [obj for obj in of_kind if wanted.items() <= obj["metadata"].get("labels", {}).items()]
        yield [{"metadata": copy.deepcopy(obj["metadata"])} for obj in found], str(self.version)

    async def create(self, resource, namespace, body, *, strict=False, dry_run=False):
        key = (resource.kind, namespace, body["metadata"]["name"])
        if dry_run:
            return self._try(key, body, strict=strict)
        with self._write("create", resource.kind):
            if key in self.objects:
                raise AlreadyExists(key[2])
            self.created.append(key)
            assert strict or resource.kind != "Pod", "a pod that drops what its server does not know"
            if resource.kind == "AgentJob":
                self.made.append((owner(body), key[2]))
            if resource.kind == "Pod":
                self.ran.append((body["metadata"]["labels"][LABEL_JOB], owner(body)))
            status = {"status": {"phase": "Pending"}} if resource.kind == "Pod" else {}
            return self._put(key, "ADDED", {**copy.deepcopy(body), **status})

    async def patch(self, resource, namespace, name, body, *, subresource=None):
        key = (resource.kind, namespace, name)
        with self._write("patch" if subresource is None else "status", resource.kind):
            old = self.objects.get(key)
            if old is None:
                raise NotFound(name)
            for field in ("uid", "resourceVersion"):
                if body["metadata"].get(field, old["metadata"][field]) != old["metadata"][field]:
                    raise Conflict(name)
            new = merged(old, {k: v for k, v in body.items() if k != "metadata"})
            if subresource is None and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] += 1
            if "finalizers" in body["metadata"]:
                new["metadata"]["finalizers"] = body["metadata"]["finalizers"] or []
            new["metadata"] = merged(new["metadata"], {"labels": body["metadata"].get("labels", {})})
            if over(new):
                return self._drop(key)
            return self._put(key, "MODIFIED", new)

    async def replace(self, resource, namespace, name, body):
        key = (resource.kind, namespace, name)
        with self._write("replace", resource.kind):
            old = self.objects.get(key)
            if old is None:
                raise NotFound(name)
            if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
                raise Conflict(name)
            owners = {"ownerReferences": body["metadata"]["ownerReferences"]}
            return self._put(key, "MODIFIED", {**copy.deepcopy(body), "metadata": {**old["metadata"], **owners}})

    async def delete(self, resource, namespace, name, *, uid=None, resource_version=None):
        with self._write("delete", resource.kind):
            known = self.objects.get((resource.kind, namespace, name))
            if known and resource_version not in (None, known["metadata"]["resourceVersion"]):
                raise Conflict(name)
            return self._delete((resource.kind, namespace, name), uid)

    def _delete(self, key, uid=None):
        old = self.objects.get(key)
        if old is None:
            raise NotFound(key[2])
        if uid not in (None, old["metadata"]["uid"]):
            raise Conflict(key[2])
        new = copy.deepcopy(old)
        runs = key[0] == "Pod" and old.get("status", {}).get("phase") == "Running"
        # A real server counts the wish to delete as an edit.
        new["metadata"]["generation"] += "deletionTimestamp" not in new["metadata"]
        new["metadata"] |= {"deletionTimestamp": stamp(self.now), "deletionGracePeriodSeconds": 30 if runs else 0}
        if over(new):
            return self._drop(key)
        return self._put(key, "MODIFIED", new)

    async def accept(self, asked):
        self._available()
        answer, start = await self.history.accept(asked), asked.start
        if start is not None and isinstance(answer, Accepted):
            self.starts.setdefault((asked.job.job.uid, start.start), start.attempt)
        return answer

    async def give_back(self, left):
        self._available()
        await self.history.give_back(left)

    async def final_result(self, uid):
        self._available()
        had = uid in self.results
        found = await self.history.final_result(uid)
        if not had and uid in self.results:
            self.settled[uid] = max((n for of, n in self.starts if of == uid), default=0)
        last = max((n for of, n in self.starts if of == uid), default=0)
        return replace(found, usage=self.used.get(uid, found.usage), progress=self._progress(uid, last))

    async def progress(self, uid, start):
        self._available()
        self.asked.append((uid, start))
        return self._progress(uid, start)

    def _progress(self, uid, start):
        steps = self.steps[uid]
        before, last = sum(of < start for of in steps), sum(of <= start for of in steps)
        return Progress(before, last, f"step {last}" if last else "", self.now if last else None, last > before)

    async def spent(self, uid, attempt=None):
        self._available()
        return self.used_by(uid, attempt)

    def used_by(self, uid, attempt=None):
        return Spend(llm_calls=sum(n for (of, a), n in self.calls.items() if of == uid and attempt in (None, a)))

    def exhaust(self, model, seconds):
        """No call of a model can be made for so long."""
        if self.exhausted.get(model, self.now) <= self.now:
            self.exhausted_since[model] = self.now
        self.exhausted[model] = self.now + timedelta(seconds=seconds)

    async def exhausted_models(self):
        self._available()
        self.asked_for_limits += 1
        return {model: until for model, until in self.exhausted.items() if until > self.now}

    async def resolved(self, uid):
        self._available()
        return await self.history.resolved(uid)

    async def silence(self, uid, start):
        self._available()
        return await self.history.silence(uid, start)

    async def job_of(self, namespace, schedule, name, *, since):
        self._available()
        return await self.history.job_of(namespace, schedule, name, since=since)

    async def parent(self, uid):
        self._available()
        return await self.history.parent(uid)

    async def newest(self, namespace, names):
        self._available()
        return await self.history.newest(namespace, names)

    async def answers(self, uids):
        self._available()
        return await self.history.answers(uids)

    async def recorded(self, uid):
        self._available()
        return await self.history.recorded(uid)

    def put(self, record):
        number = getattr(record, "transition", getattr(record, "start", 0))
        self.records.setdefault((type(record).__name__, record.job.uid, number), record)
        at_once(self.history.write([record]))

    @property
    def known(self):
        """Jobs that history knows, also those that were never accepted."""
        return {job.key for job in self.history.jobs_by_uid.values()}

    @property
    def accepted(self):
        return Column(self.history, "resolved")

    @property
    def results(self):
        return Column(self.history, "result")

    def beat(self, uid, start):
        """The runner of a start beats, whichever pod it has."""
        self.history.jobs_by_uid[uid].starts[start].heartbeat = self.now

    def record(self, _reference, _kind, reason, message):
        self.events.append((reason, message))

    @property
    def away(self):
        return self.history_away

    def _available(self):
        if self.history_away:
            self.refused += 1
            raise Unavailable("history")

    def _write(self, verb, kind):
        world = self

        class Guard:
            def __enter__(self):
                world.writes.append((verb, kind))
                if world.die_at == len(world.writes) and not world.die_after:
                    raise Died
                if (verb, kind) in world.refuse:
                    raise world.refuse[verb, kind]

            def __exit__(self, kind_of_error, *_):
                if kind_of_error is None and world.die_at == len(world.writes) and world.die_after:
                    raise Died

        return Guard()

    def _put(self, key, event, obj):
        self.version += 1
        meta = obj["metadata"]
        if event == "ADDED":
            self.uids += 1
            meta |= {"uid": f"uid-{self.uids}", "generation": 1, "creationTimestamp": stamp(self.now)}
        meta["resourceVersion"] = str(self.version)
        before, self.objects[key] = self.objects.get(key), obj
        if key[0] == "Pod" and before and is_labelled(before) and not is_labelled(obj):
            # Who watches by a label is told of a deletion when an object loses it.
            before["metadata"]["resourceVersion"] = str(self.version)
            self._tell_all("Pod", "DELETED", before)
        self._tell_all(key[0], event, obj)
        return copy.deepcopy(obj)

    def _drop(self, key):
        self.version += 1
        obj = self.objects.pop(key)
        obj["metadata"]["resourceVersion"] = str(self.version)
        self._tell_all(key[0], "DELETED", obj)
        self._collect_garbage(obj["metadata"]["uid"])
        return copy.deepcopy(obj)

    def _collect_garbage(self, gone):
        """An object goes with the last of its owners."""
        alive = {obj["metadata"]["uid"] for obj in self.objects.values()}
        for key, obj in list(self.objects.items()):
            owners = obj["metadata"].get("ownerReferences", [])
            left = [ref for ref in owners if ref["uid"] in alive]
            if any(ref["uid"] == gone for ref in owners):
                if left:
                    self._put(key, "MODIFIED", {**obj, "metadata": {**obj["metadata"], "ownerReferences": left}})
                else:
                    self._delete(key)

    def _try(self, key, body, *, strict):
        """A dry run: the server's answer, and no write."""
        self.tried.append((key, strict))
        if (refusal := self.refuse.get(("dry-run", key[0]))) is not None:
            raise refusal
        return copy.deepcopy(body)

    def _tell_all(self, kind, event, obj):
        for operator in self.operators:
            operator.news.append((kind, event, copy.deepcopy(obj)))

    # -- what users, kubelets and watches do

    def apply(self, name="hello", *, labels=None, **spec):
        body = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentJob",
            "metadata": {"namespace": "default", "name": name, "labels": labels or {}},
            "spec": {
                "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
                "input": {"message": "Say hello."},
                **spec,
            },
        }
        return self._put(("AgentJob", "default", name), "ADDED", body)

    def apply_schedule(self, name="brief", schedule="*/10 * * * *", **spec):
        work = {
            "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
            "input": {"message": "What happened before $(schedule.time)?"},
        }
        body = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentSchedule",
            "metadata": {"namespace": "default", "name": name},
            "spec": {"schedule": schedule, "jobTemplate": {"spec": work}, **spec},
        }
        return self._put(("AgentSchedule", "default", name), "ADDED", body)

    def apply_queue(self, name="fast", **spec):
        body = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentQueue",
            "metadata": {"namespace": "default", "name": name},
            "spec": spec,
        }
        return self._put(("AgentQueue", "default", name), "ADDED", body)

    def apply_template(self, name="review", **spec):
        body = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentTemplate",
            "metadata": {"namespace": "default", "name": name},
            "spec": spec,
        }
        return self._put(("AgentTemplate", "default", name), "ADDED", body)

    def apply_from(self, template="review", name="hello", **spec):
        """A job that says nothing but what is given here."""
        body = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentJob",
            "metadata": {"namespace": "default", "name": name},
            "spec": {"templateRef": {"name": template}, **spec},
        }
        return self._put(("AgentJob", "default", name), "ADDED", body)

    def edit(self, name="hello", *, kind="AgentJob", annotations=None, **spec):
        obj = copy.deepcopy(self.objects[kind, "default", name])
        obj["spec"] |= spec
        obj["metadata"]["generation"] += bool(spec)
        obj["metadata"].setdefault("annotations", {}).update(annotations or {})
        self._put((kind, "default", name), "MODIFIED", obj)

    def remove(self, name, *, kind="AgentJob"):
        if (kind, "default", name) in self.objects:
            self._delete((kind, "default", name))

    def job(self, name="hello"):
        return self.objects["AgentJob", "default", name]

    def status(self, name="hello"):
        return AgentJobStatus.parse(self.job(name).get("status"))

    def schedule(self, name="brief"):
        """A schedule's status, as the server has it."""
        return self.objects["AgentSchedule", "default", name].get("status") or {}

    def said(self, kind, name="brief"):
        """Status and reason of a schedule's condition."""
        for condition in self.schedule(name).get("conditions", []):
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def jobs(self):
        """Names of the jobs there are."""
        return [key[2] for key in self.objects if key[0] == "AgentJob"]

    def end_jobs(self, verdict=Verdict.SUCCEED, reason="", code=0):
        """Every pod that lives ends, and says so."""
        for pod in self.pods():
            if pod["status"].get("phase") in ("Pending", "Running"):
                claimed = self.run_pod(pod)
                self.end_pod(pod, verdict if claimed else None, reason=reason, code=code if claimed else 76)

    def living_pods(self):
        """Pods whose container may run, as the cluster has them."""
        return [pod for pod in self.pods() if pod["status"].get("phase") in ("Pending", "Running")]

    def pods(self, job=None):
        found = [obj for key, obj in self.objects.items() if key[0] == "Pod"]
        return [pod for pod in found if job is None or pod["metadata"]["labels"].get(LABEL_JOB) == job]

    def run_pod(self, pod):
        """The kubelet starts the container, and its first GET claims the start. Returns whether it may continue."""
        meta = pod["metadata"]
        start = int(meta["name"].rpartition("-")[2])
        granted = self.claim(owner(pod), start, meta["uid"])
        running = {"name": "runner", "state": {"running": {"startedAt": stamp(self.now)}}}
        self._pod_status(pod, phase="Running", containerStatuses=[running])
        return granted

    def claim(self, uid, start, pod):
        """The gateway's fence: the first pod of a recorded start, until its end is recorded or a newer one is."""
        known = self.history.jobs_by_uid.get(uid)
        if known is None or (uid, start) not in self.starts:
            return False
        try:
            at_once(self.history.claim(uid, start, pod, namespace=known.key.namespace, job=known.key.name))
        except (Fenced, NotFound):
            return False
        self.granted.append((uid, start, pod))
        return True

    def record_steps(self, pod, count=1):
        """The runner records steps, if its pod holds the start."""
        if self.run_pod(pod):
            self.steps[owner(pod)] += [int(pod["metadata"]["name"].rpartition("-")[2])] * count

    def call_model(self, pod):
        """The runner asks a model, or ends because the budget that its pod has is used up."""
        if not self.run_pod(pod):
            return
        uid, start = owner(pod), int(pod["metadata"]["name"].rpartition("-")[2])
        limits = Limits.read(json.loads(pod["metadata"]["annotations"].get(ANNOTATION_BUDGET) or "{}"))
        attempt = self.starts[uid, start]
        used = self.used_by(uid, attempt if limits.scope is Scope.ATTEMPT else None)
        if limits.llm_calls is not None and used.llm_calls >= limits.llm_calls:
            self.end_pod(pod, Verdict.FAIL, reason="BudgetExceeded", code=78)
        else:
            self.calls[uid, attempt] += 1

    def end_pod(
        self, pod, verdict=None, *, reason="", code=0, delay=None, message="because", outcome=None, structured=None
    ):
        """The container ends, with the runner's word or without."""
        meta = pod["metadata"]
        start = int(meta["name"].rpartition("-")[2])
        word = None
        if verdict:
            word = TerminationMessage(verdict, reason, message, start, owner(pod), delay, outcome=outcome)
        if verdict is Verdict.SUCCEED:
            self._answer(pod, start, outcome, structured)
        state = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "message": word.dump() if word else "",
            "startedAt": stamp(self.now),
            "finishedAt": stamp(self.now),
        }
        statuses = [{"name": "runner", "state": {"terminated": state}}]
        self._pod_status(pod, phase="Succeeded" if code == 0 else "Failed", containerStatuses=statuses)

    def succeed(self, job, **structured):
        """The job's pod, which has been made, runs and hands in this answer."""
        (pod,) = [pod for pod in self.pods(job) if pod["status"].get("phase") == "Pending"]
        self.run_pod(pod)
        self.end_pod(pod, Verdict.SUCCEED, structured=structured)

    def _answer(self, pod, start, outcome, structured):
        """The runner hands in its answer; one that was never let claim its start does so now, if it may."""
        uid, of = pod["metadata"]["uid"], owner(pod)
        answer = {"text": "Hello.", "structured": structured or {"start": start}, "usage": {}, "outcome": outcome}
        document = {"verdict": Verdict.SUCCEED.value, "reason": "", "message": "", "delaySeconds": None}
        if self.claim(of, start, uid):
            at_once(self.history.put_result(of, start, uid, {**document, "result": answer}))

    def _pod_status(self, pod, **status):
        key = ("Pod", "default", pod["metadata"]["name"])
        if key in self.objects:
            obj = copy.deepcopy(self.objects[key])
            obj["spec"]["nodeName"] = "node-1"
            first = [one["name"] for one in obj["spec"].get("initContainers", ()) if one["name"] != "runner"]
            done = [{"name": name, "state": {"terminated": {"exitCode": 0}}} for name in first]
            obj["status"] = {"initContainerStatuses": done, **status} if done else status
            self._put(key, "MODIFIED", obj)
            if obj["metadata"].get("deletionTimestamp") and status["phase"] != "Running":
                self._delete(key)

    def tell(self, number=0, *, shuffled=False):
        """Let the watches say what has happened since; out of order and twice, if asked."""
        operator = self.operators[number]
        news, operator.news = operator.news, []
        if shuffled:
            news += [self.random.choice(news) for _ in range(len(news) // 2)] if news else []
            self.random.shuffle(news)
        kinds = {kind.resource.kind: kind.resource for kind in operator.reconciler.state.informers.kinds}
        for kind, event, obj in news:
            if kind not in kinds or (kind == "Pod" and not is_labelled(obj)):
                continue
            operator.reconciler.state.observe(kinds[kind], event, obj)

    async def settle(self, number=0, limit=200):
        """Let an operator work until no key waits, idle ones last; timers do not fire."""
        reconciler = self.operators[number].reconciler
        queue = reconciler.state.queue
        for name in reconciler.state.expiries.due(self.now + self.wall_ahead):
            queue.add(AGENTJOBS.key(name))
        for _ in range(limit):
            if not len(queue):
                return
            key = await queue.get(low_priority=all(wait.low_priority for wait in queue._waiting.values()))
            try:
                await reconciler.reconcile(key)
            except (Conflict, NotFound, Unavailable):
                pass
            finally:
                queue.done(key)
        raise AssertionError(f"no rest after {limit} looks")

    async def act(self, number=0, *, shuffled=False, **passed):
        """Time passes, watches speak, everything is looked at."""
        self.now += timedelta(**passed)
        self.tell(number, shuffled=shuffled)
        reconciler = self.operators[number].reconciler
        reconciler.state.informers.wake_all()
        await self.settle(number)
        self.tell(number)
        await self.settle(number)


def take(listing, objects, version):
    for obj in objects:
        listing.take(obj)
    listing.end(version)


class Column(MutableMapping):
    """What history has of each job in one of its fields, for tests to look at and to change."""

    def __init__(self, history, field):
        self._jobs = history.jobs_by_uid
        self._field = field

    def __getitem__(self, uid):
        if (job := self._jobs.get(uid)) is None or (value := getattr(job, self._field)) is None:
            raise KeyError(uid)
        return value

    def __setitem__(self, uid, value):
        setattr(self._jobs[uid], self._field, value)

    def __delitem__(self, uid):
        self[uid] = None

    def __iter__(self):
        return (uid for uid, job in self._jobs.items() if getattr(job, self._field) is not None)

    def __len__(self):
        return sum(1 for _ in self)


def at_once(coroutine):
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("history in memory waits for nothing")


def owner(obj):
    return next((ref["uid"] for ref in obj["metadata"].get("ownerReferences", []) if ref.get("controller")), None)


def over(obj):
    """Whether an object goes: deleted, its kubelet done, no one holds it."""
    meta = obj["metadata"]
    return bool(meta.get("deletionTimestamp")) and not meta["deletionGracePeriodSeconds"] and not meta.get("finalizers")


def is_labelled(obj):
    return selects(f"{LABEL_JOB},!{LABEL_RELEASED}", obj)


def selects(selector, obj):
    """Whether a label selector of present and absent labels selects an object."""
    labels = obj["metadata"].get("labels", {})
    return all((part.lstrip("!") in labels) is not part.startswith("!") for part in filter(None, selector.split(",")))


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(old, patch):
    new = copy.deepcopy(old)
    for field, value in patch.items():
        if value is None:
            new.pop(field, None)
        elif isinstance(value, dict) and isinstance(new.get(field), dict):
            new[field] = merged(new[field], value)
        else:
            new[field] = copy.deepcopy(value)
    return new


@pytest.fixture
def world():
    return World()


@pytest.fixture
def worlds():
    return World


@pytest.fixture
def died():
    return Died
