"""The dashboard as Helm installs it: people see and do what their token may, and runner pods do not reach it."""

import contextlib
import re
import ssl

import httpx
import pytest


@contextlib.contextmanager
def signed_in(release, token):
    """A browser of a few lines, signed in by a token."""
    trust = ssl.create_default_context(cafile=release.authority())
    with (
        release.forwarded("dashboard") as url,
        httpx.Client(base_url=url, verify=trust, trust_env=False, follow_redirects=True) as pages,
    ):
        answer = pages.post("/sign-in/token", data={"token": token, "to": "/jobs"}, headers={"Origin": url})
        assert answer.status_code == 200, answer.text
        yield pages


@pytest.fixture
def reader(kubectl, namespace, release):
    """The token of an account that may read the jobs of one namespace."""
    kubectl("create", "serviceaccount", "reader", namespace=namespace)
    role = f"--clusterrole={release.name}-viewer"
    kubectl("create", "rolebinding", "reader", role, f"--serviceaccount={namespace}:reader", namespace=namespace)
    return kubectl("create", "token", "reader", namespace=namespace).strip()


def csrf_of(page):
    return re.search(r'name="csrf" value="([^"]+)"', page.text)[1]


def test_a_reader_sees_the_jobs_of_their_namespace_and_cannot_cancel(release, reader, namespace, jobs, a_job, apply):
    apply(*a_job("seen", {"starts": [[{"text": "Done."}]]}))
    jobs.finished("seen")

    with signed_in(release, reader) as pages:
        page = pages.get("/jobs")
        job = pages.get(f"/jobs/{namespace}/seen")
        refused = pages.post(
            f"/jobs/{namespace}/seen/cancel",
            data={"csrf": csrf_of(job), "sure": "yes"},
            headers={"Origin": str(pages.base_url).rstrip("/")},
        )

    assert "seen" in page.text
    assert job.status_code == 200
    assert refused.status_code in (403, 404, 405, 409), refused.text
    assert "agentjobs-system" not in page.text


def test_a_namespace_that_the_user_cannot_read_is_not_found(release, reader):
    with signed_in(release, reader) as pages:
        assert pages.get("/jobs/kube-system/anything").status_code in (403, 404)
        assert pages.get("/installation").status_code == 403
