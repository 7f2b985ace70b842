"""The APIs of GitHub, GitLab and Gitea for pull requests, on the loopback interface, as strict as the real ones."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "token-for-pull-requests-1234"
PATH = "team/app"


@dataclass
class GitHost:
    """One host with one repository, `team/app`.

    What `answers` has, a list of (status, headers, body), is answered first.
    """

    provider: str
    default: str = "main"
    requests: list = field(default_factory=list)
    """Pull requests: number, title, body, branch, base, draft, state, fork."""
    answers: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    """Method and path of each request, with the credentials."""

    def __post_init__(self):
        outer = self

        class Handler(_Handler):
            """Knows its host."""

            site = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def api_url(self):
        return self.origin + {"GitHub": "", "GitLab": "/api/v4", "Gitea": "/api/v1"}[self.provider]

    @property
    def posts(self):
        return [path for method, path, _ in self.seen if method == "POST"]

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def add(self, branch, base, *, state="open", fork=False):
        """Have a request of someone."""
        one = {"number": len(self.requests) + 1, "title": "t", "body": "b", "branch": branch, "base": base}
        self.requests.append({**one, "draft": False, "state": state, "fork": fork})

    def address(self, one):
        kind = {"GitHub": "pull", "GitLab": "-/merge_requests", "Gitea": "pulls"}[self.provider]
        return f"{self.origin}/{PATH}/{kind}/{one['number']}"

    def authorized(self, headers):
        given = headers.get("authorization")
        return given == {"Gitea": f"token {TOKEN}"}.get(self.provider, f"Bearer {TOKEN}")

    def shown(self, one):
        """Return a request as the host's API has it."""
        if self.provider == "GitLab":
            return {
                "iid": one["number"],
                "title": one["title"],
                "source_branch": one["branch"],
                "target_branch": one["base"],
                "source_project_id": 2 if one["fork"] else 1,
                "target_project_id": 1,
                "web_url": self.address(one),
            }
        ours = {"id": 1, "full_name": PATH}
        other = {"id": 2, "full_name": "other/app"}
        return {
            "number": one["number"],
            "state": one["state"],
            "html_url": self.address(one),
            "head": {"ref": one["branch"], "repo": other if one["fork"] else ours},
            "base": {"ref": one["base"], "repo": ours},
        }

    def answer(self, method, path, query, body):
        """Return status and body, as the real host would."""
        known = {"GitLab": f"/api/v4/projects/{PATH.replace('/', '%2F')}", "Gitea": f"/api/v1/repos/{PATH}"}
        here = known.get(self.provider, f"/repos/{PATH}")
        requests = here + ("/merge_requests" if self.provider == "GitLab" else "/pulls")
        if method == "GET" and path == here:
            return 200, {"default_branch": self.default}
        if path != requests:
            return 404, {"message": "404 Not Found"}
        if method == "GET":
            return 200, [self.shown(one) for one in self._listed(query)]
        return self._made(body)

    def _listed(self, query):
        if self.provider == "GitLab":
            assert query["state"] == "opened", query
            asked = (query["source_branch"], query["target_branch"])
        elif self.provider == "GitHub":
            assert query["state"] == "open", query
            owner, _, branch = query["head"].partition(":")
            assert owner == "team", query
            asked = (branch, query["base"])
        else:
            page, limit = int(query["page"]), int(query["limit"])
            found = [one for one in self.requests if one["state"] == "open"]
            return found[(page - 1) * limit : page * limit]
        return [one for one in self.requests if one["state"] == "open" and (one["branch"], one["base"]) == asked]

    def _made(self, body):
        if self.provider == "GitLab":
            names = {"source_branch", "target_branch", "title", "description"}
            one = (body["source_branch"], body["target_branch"], body["description"])
            draft, taken = body["title"].startswith("Draft: "), 409
        else:
            names = {"head", "base", "title", "body"} | ({"draft"} if self.provider == "GitHub" else set())
            one = (body["head"], body["base"], body["body"])
            draft = body["draft"] if self.provider == "GitHub" else body["title"].startswith("WIP: ")
            taken = 422 if self.provider == "GitHub" else 409
        if set(body) != names or not body["title"] or one[0] == one[1]:
            return 422, {"message": "Validation Failed", "errors": [{"message": "odd"}]}
        if any((old["branch"], old["base"], old["state"]) == (*one[:2], "open") for old in self.requests):
            return taken, {"message": "a request already exists"}
        self.add(one[0], one[1])
        self.requests[-1] |= {"title": body["title"], "body": one[2], "draft": draft}
        return 201, self.shown(self.requests[-1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: GitHost

    def log_message(self, *args):
        """Stay quiet."""

    def do_GET(self):
        site, parts = self.site, urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        site.seen.append((self.command, parts.path, self.headers.get("authorization")))
        if site.answers:
            return self._send(*site.answers.pop(0))
        if not site.authorized(self.headers):
            return self._send(401, {}, {"message": "Bad credentials"})
        query = {name: unquote(values[0]) for name, values in parse_qs(parts.query).items()}
        status, body = site.answer(self.command, parts.path, query, json.loads(raw) if raw else None)
        return self._send(status, {}, body)

    do_POST = do_GET

    def _send(self, status, headers, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
