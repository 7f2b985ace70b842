"""A minimal API server that knows its callers: objects, permissions, preconditions, and its own messages."""

import copy
import json

from tests.unit.gateway.conftest import FakeKube

from agentjobs.kube.answers import error_of
from agentjobs.kube.log_tail import newest_lines
from agentjobs.kube.resources import AGENTJOBS, AGENTQUEUES, AGENTSCHEDULES, AGENTTEMPLATES, EVENTS, PODS

KINDS = {one.plural: one for one in (AGENTJOBS, AGENTQUEUES, AGENTSCHEDULES, AGENTTEMPLATES, EVENTS, PODS)}
CREATED = "2026-11-21T09:00:00Z"


def refused(code, reason, message):
    status = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return error_of(code, json.dumps(status), request="VERB things somewhere")


class CallersKube(FakeKube):
    """`objects` by plural, namespace and name. `before` is told verb, plural and name before anything is done."""

    def __init__(self):
        super().__init__()
        self.objects = {}
        self.logs = {}
        self.done = []
        self.before = lambda *_: None
        self.version = 100

    def put(self, plural, name, *, namespace="docs", uid=None, spec=None, status=None, **metadata):
        self.version += 1
        kind = KINDS[plural]
        meta = {"name": name, "namespace": namespace, "uid": uid or f"uid-of-{name}", "creationTimestamp": CREATED}
        meta |= {"resourceVersion": str(self.version), "managedFields": [{"manager": "kubectl"}], **metadata}
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec or {}}
        self.objects[plural, namespace, name] = obj | ({"status": status} if status is not None else {})
        return obj

    def spec(self, plural, name, namespace="docs"):
        return self.objects[plural, namespace, name]["spec"]

    def client(self, token, impersonation=None):
        name = self.reviews[token]["user"]["username"] if token in self.reviews else None
        return CallersClient(self, impersonation.user if impersonation else name)

    def allowed(self, user, verb, plural, namespace, name=""):
        said = verb if plural == "agentjobs" else f"{verb} {plural}"
        return bool({(said, namespace, name), (said, namespace, "")} & self.rights.get(user, set()))

    async def create(self, resource, namespace, body):
        if resource.kind != "SubjectAccessReview":
            return await super().create(resource, namespace, body)
        if self.away:
            return await super().create(resource, namespace, body)
        asked = body["spec"]["resourceAttributes"]
        place = asked["verb"], asked["resource"], asked["namespace"], asked.get("name", "")
        return body | {"status": {"allowed": self.allowed(body["spec"]["user"], *place)}}


class CallersClient:
    """What a `KubeClient` of a caller can do."""

    def __init__(self, kube, user):
        self.kube, self.user = kube, user

    async def send(self, method, path, *, kind, body=None, query=None):
        parts = path.partition("/namespaces/")[2].split("/")
        namespace, plural, name = (*parts, "")[:3]
        verb = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update"}[method]
        assert kind == plural
        if method == "GET" and not name:
            self.check("list", plural, namespace)
            return {"items": self.all(plural, namespace), "metadata": {"resourceVersion": "1"}}
        self.check(verb, plural, namespace, name)
        if method == "POST":
            return self.create(plural, namespace, body)
        obj = self.found(plural, namespace, name)
        return self.patch(plural, obj, body) if method == "PATCH" else obj

    async def get(self, resource, namespace, name):
        self.check("get", resource.plural, namespace, name)
        return self.found(resource.plural, namespace, name)

    async def pages(self, resource, namespace, *, field_selector="", limit=500):
        self.check("list", resource.plural, namespace or "")
        asked = dict(part.split("=", 1) for part in field_selector.split(",") if part)
        found = [one for one in self.all(resource.plural, namespace) if self.fits(one, asked)]
        for first in range(0, max(1, len(found)), limit):
            yield found[first : first + limit], "1"

    async def log(self, namespace, pod, *, container, lines, most, previous=False, timestamps=False):
        self.check("get", "pods/log", namespace, pod)
        told = self.kube.logs.get((pod, container, previous))
        if told is None:
            raise refused(400, "BadRequest", f'container "{container}" in pod "{pod}" is waiting to start')
        time = b"2026-11-20T12:00:03.000000001Z " if timestamps else b""
        return newest_lines(b"".join(time + line for line in told.splitlines(keepends=True)), lines, most)

    def check(self, verb, plural, namespace, name=""):
        self.kube.before(verb, plural, name)
        if self.kube.away:
            raise refused(503, "ServiceUnavailable", "cannot connect to host 10.0.0.1:6443")
        if self.user is None:
            raise refused(401, "Unauthorized", "Unauthorized")
        if not self.kube.allowed(self.user, verb, plural, namespace, name):
            said = f'{plural}.agentjobs.dev "{name}" is forbidden: User "{self.user}" cannot {verb} resource'
            raise refused(403, "Forbidden", said)

    def all(self, plural, namespace):
        return [
            copy.deepcopy(one)
            for key, one in sorted(self.kube.objects.items())
            if key[:2] == (plural, namespace or key[1])
        ]

    @staticmethod
    def fits(obj, asked):
        involved = obj.get("involvedObject", {})
        return all(str(involved.get(key.partition(".")[2], "")) == value for key, value in asked.items())

    def found(self, plural, namespace, name):
        if (plural, namespace, name) not in self.kube.objects:
            raise refused(404, "NotFound", f'{plural}.agentjobs.dev "{name}" not found')
        return copy.deepcopy(self.kube.objects[plural, namespace, name])

    def create(self, plural, namespace, body):
        name = body["metadata"]["name"]
        if (plural, namespace, name) in self.kube.objects:
            raise refused(409, "AlreadyExists", f'{plural}.agentjobs.dev "{name}" already exists')
        self.kube.done.append(("create", plural, name))
        metadata = {key: value for key, value in body["metadata"].items() if key in ("labels", "annotations")}
        return self.kube.put(plural, name, namespace=namespace, spec=body["spec"], **metadata)

    def patch(self, plural, obj, body):
        place = plural, obj["metadata"]["namespace"], obj["metadata"]["name"]
        stored, wanted = self.kube.objects[place], body.get("metadata", {})
        if wanted.get("resourceVersion") not in (None, stored["metadata"]["resourceVersion"]):
            raise refused(409, "Conflict", "the object has been modified; apply your changes to the latest version")
        self.kube.done.append(("patch", plural, place[2]))
        self.kube.version += 1
        annotations = {**stored["metadata"].get("annotations", {}), **wanted.get("annotations", {})}
        stored["metadata"] |= {"annotations": annotations, "resourceVersion": str(self.kube.version)}
        stored["spec"] = {**stored["spec"], **body.get("spec", {})}
        return copy.deepcopy(stored)
