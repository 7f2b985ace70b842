"""How long the dashboard's pages take, how heavy they are, and what 200 of them cost while they are open.

`PYTHONPATH=. python tests/bench/pages.py [--jobs 100000] [--only pages|paint|live]`. A development cluster with the
dashboard's own process and an embedded PostgreSQL, filled by `pages_filling`; the operator is unavailable, which would
take jobs without objects for vanished.

Milliseconds at the server are of the process's own histogram, from a page's request to its last byte, compressed as a
browser asks for it. `questions` are its requests to PostgreSQL. Each page is asked for the first time after more than
the time for which answers are shared. Figures of one machine; the least is what others disturb least.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from tests.bench.pages_filling import LONG, fill
from tests.bench.pages_live import live

from agentjobs.dev.up import DevCluster, up
from devcluster.client import NAMESPACES, SERVICE_ACCOUNTS, Resource

TIMES: Final = 5
PEOPLE: Final = 5
"""Who have pages open; each may have 50."""
FRESH_SECONDS: Final = 1.1
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
BINDINGS: Final = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
_LONG: Final = f"/jobs/{LONG[0]}/{LONG[1]}"

PAGES: Final[Mapping[str, str]] = {
    **{f"overview, {word}": f"/?range={word}" for word in ("1h", "6h", "24h", "7d", "30d", "90d")},
    "overview, 90d by partition": "/?range=90d&by=partition",
    "overview of one namespace": "/?namespace=team-0",
    "jobs": "/jobs",
    "jobs of one namespace": "/jobs?namespace=team-0",
    "jobs, Failed": "/jobs?phase=Failed",
    "jobs, Running": "/jobs?phase=Running",
    "jobs, a reason": "/jobs?reason=OOMKilled",
    "jobs, an outcome": "/jobs?outcome=approve",
    "jobs, a queue": "/jobs?queue=queue-1",
    "jobs, a schedule": "/jobs?schedule=schedule-0",
    "jobs, a template": "/jobs?template=template-3",
    "jobs, a partition": "/jobs?partition=customer-7",
    "jobs, a model": "/jobs?model=openai/o9",
    "jobs, a label": "/jobs?label=team%3D3",
    "jobs, a word": "/jobs?text=search+orders",
    "jobs, a rare word": "/jobs?text=job-4711",
    "jobs, a least cost": "/jobs?minCost=1.9",
    "jobs, the costliest": "/jobs?order=cost",
    "jobs, a week": "/jobs?within=7d",
    "jobs, nothing has it": "/jobs?queue=none",
    "job": _LONG,
    **{
        f"job, {tab}": f"{_LONG}?show={tab}"
        for tab in ("steps", "transcript", "logs", "result", "models", "events", "related", "yaml")
    },
    "job, late steps": f"{_LONG}?show=steps&after=4800",
    "job, a step": f"{_LONG}?show=steps&step=2501",
    "job, newest of the transcript": f"{_LONG}?show=transcript&newest=true",
    "queues": "/queues",
    "queue": "/queues/team-0/queue-1",
    "schedules": "/schedules",
    "schedule": "/schedules/team-0/schedule-1",
    "templates": "/templates",
    "template": "/templates/team-0/template-1",
    "models": "/models",
    "installation": "/installation",
    "actions": "/actions",
}
PAINTED: Final = ("overview, 24h", "overview, 90d", "jobs", "job", "job, steps", "job, transcript", "queues", "models")


@dataclass(frozen=True, slots=True)
class Site:
    """A dashboard that runs."""

    url: str
    dsn: str
    pid: int
    tokens: tuple[str, ...]
    """Of people who may read everything."""


async def sign_in(site: Site, token: str) -> aiohttp.ClientSession:
    """Return someone's browser."""
    browser = aiohttp.ClientSession(
        site.url,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        connector=aiohttp.TCPConnector(limit=0),
        headers={"Accept-Encoding": "gzip"},
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )
    form = {"token": token, "to": "/"}
    async with browser.post("/sign-in/token", data=form, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
    return browser


async def metrics(browser: aiohttp.ClientSession) -> dict[str, float]:
    """Return seconds and number of pages, and of requests to PostgreSQL, since the process began."""
    async with browser.get("/metrics", headers={"Accept-Encoding": "identity", "Host": "prometheus"}) as answer:
        told = await answer.text()
    found = {"pages": 0.0, "seconds": 0.0, "questions": 0.0}
    for name, value in re.findall(r"^(agentjobs_[a-z_]+)\{.*\} (\S+)$", told, re.MULTILINE):
        found["pages"] += float(value) if name == "agentjobs_dashboard_page_duration_seconds_count" else 0
        found["seconds"] += float(value) if name == "agentjobs_dashboard_page_duration_seconds_sum" else 0
        found["questions"] += float(value) if name == "agentjobs_database_request_seconds_count" else 0
    return found


async def late_page(browser: aiohttp.ClientSession) -> str:
    """Return the address of a page of the list that is far behind the first."""
    address = "/jobs"
    for _ in range(20):
        async with browser.get(address, headers={"Accept-Encoding": "identity"}) as answer:
            found = re.search(r'href="(/jobs\?[^"]*cursor=[^"]+)"', await answer.text())
        if found is None:
            break
        address = found[1].replace("&amp;", "&")
    return address


async def measure_pages(site: Site) -> None:
    """Print a line for each page."""
    browser = await sign_in(site, site.tokens[0])
    pages = {**PAGES, "jobs, page 20": await late_page(browser)}
    print(f"{'page':32}{'least':>8}{'median':>8}{'worst':>8} ms {'HTML':>8}{'gzip':>8} bytes  questions")
    for name, address in pages.items():
        took, questions, html, compressed = [], [], 0, 0
        for _ in range(TIMES):
            await asyncio.sleep(FRESH_SECONDS)
            before = await metrics(browser)
            async with browser.get(address) as answer:
                compressed = len(await answer.read())
                assert answer.status == 200, (address, answer.status)
            after = await metrics(browser)
            took.append(1000 * (after["seconds"] - before["seconds"]))
            questions.append(after["questions"] - before["questions"])
        async with browser.get(address, headers={"Accept-Encoding": "identity"}) as answer:
            html = len(await answer.read())
        line = f"{name:32}{min(took):8.1f}{statistics.median(took):8.1f}{max(took):8.1f}    "
        print(f"{line}{html:8,}{compressed:8,}        {statistics.median(questions):6.0f}", flush=True)
    await browser.close()


_PAINT: Final = """() => new Promise((resolve) => {
  const told = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (!paint) return setTimeout(told, 20);
    const parts = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const sum = (what) => parts.reduce((all, part) => all + part[what], 0);
    resolve([paint.startTime, sum("decodedBodySize"), sum("encodedBodySize"), parts.length]);
  };
  told();
})"""


async def measure_paint(site: Site) -> None:
    """Print when Chromium first paints each page, with nothing in its cache, and what it loads for it."""
    from playwright.async_api import async_playwright

    chromium = os.environ.get("AGENTJOBS_CHROMIUM") or shutil.which("chromium")
    print(f"{'first paint':32}{'least':>8}{'median':>8}{'worst':>8} ms {'decoded':>9}{'encoded':>9} bytes  files")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        signed = await browser.new_context(base_url=site.url)
        entrance = await signed.new_page()
        await entrance.goto("/sign-in")
        await entrance.fill("[name=token]", site.tokens[0])
        await entrance.press("[name=token]", "Enter")
        await entrance.wait_for_url(f"{site.url}/")
        state = await signed.storage_state()
        for name in PAINTED:
            found = []
            for _ in range(5):
                context = await browser.new_context(base_url=site.url, storage_state=state)
                page = await context.new_page()
                await page.route("**/v1/changes*", lambda route: route.abort())  # a stream never ends
                await page.goto(PAGES[name])
                found.append(await page.evaluate(_PAINT))
                await context.close()
            took, (_, decoded, encoded, files) = sorted(one[0] for one in found), found[-1]
            line = f"{name:32}{took[0]:8.0f}{statistics.median(took):8.0f}{took[-1]:8.0f}    "
            print(f"{line}{decoded:9,.0f}{encoded:9,.0f}        {files}", flush=True)
        await browser.close()


async def people(running: DevCluster) -> tuple[str, ...]:
    """Return the tokens of people who may read everything that pages show."""
    client, group = running.client, "rbac.authorization.k8s.io"
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    await client.create(
        ROLES,
        None,
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "bench"}, "rules": everything},
    )
    tokens = []
    for number in range(PEOPLE):
        name = f"person-{number}"
        about = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        await client.create(SERVICE_ACCOUNTS, "default", about)
        subjects = [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]
        role = {"kind": "ClusterRole", "name": "bench", "apiGroup": group}
        binding = {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}}
        await client.create(BINDINGS, None, binding | {"roleRef": role, "subjects": subjects})
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        answer = await client.create(SERVICE_ACCOUNTS, "default", asked, subresource=(name, "token"))
        tokens.append(answer["status"]["token"])
    return tuple(tokens)


async def prepared(running: DevCluster, jobs: int) -> Site:
    """Fill a cluster, and let people in."""
    await running.parts["operator"].end()
    cluster = (await running.client.get(NAMESPACES, None, "kube-system"))["metadata"]["uid"]
    began = time.perf_counter()
    await fill(running, jobs, cluster)
    print(f"{jobs:,} jobs made in {time.perf_counter() - began:.0f} s")
    child = running.parts["dashboard"].child
    assert running.dashboard_url is not None
    assert child is not None
    return Site(running.dashboard_url, running.dsn, child.pid, await people(running))


async def measure(site: Site, only: str) -> None:
    """Print all tables, or one."""
    if only in ("", "pages"):
        await measure_pages(site)
    if only in ("", "paint"):
        await measure_paint(site)
    if only in ("", "live"):
        browsers = [await sign_in(site, token) for token in site.tokens]
        await live(site.dsn, site.pid, browsers, metrics)
        for one in browsers:
            await one.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--only", choices=("pages", "paint", "live"), default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with up(Path(folder), dashboard=True) as running:
            await measure(await prepared(running, asked.jobs), asked.only)


if __name__ == "__main__":
    asyncio.run(main())
