"""A job's trace, as a collector gets it: one over all starts, without texts."""

import re
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentjobs import contract
from agentjobs.dev.up import up

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("traces")]

ROOT = Path(__file__).parents[2]
PROMPT, INSTRUCTION, ANSWER, ERROR = "PLANTED-PROMPT", "PLANTED-INSTRUCTION", "PLANTED-ANSWER", "PLANTED-ERROR"


class Collector:
    """Takes OTLP over HTTP and keeps what it gets."""

    def __init__(self):
        self.bodies = []
        self.spans = []

    async def take(self, request):
        body = await request.read()
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [(service, span) for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    def named(self, service, name):
        return [span for owner, span in self.spans if owner == service and span.name.startswith(name)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector():
    taken, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", taken.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taken.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield taken
    await runner.cleanup()


def traced(url):
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "AGENTJOBS_RUNNER_ENV": f'{{"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}}',
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(backend, forks, systems, job_of, collector, tmp_path_factory):
    """A job of three starts, the first two of which failed; its uid."""
    folder = tmp_path_factory.mktemp("cluster")
    async with up(
        folder, settings=traced(collector.url), apiserver=backend, working_folder=ROOT, forks=forks
    ) as cluster:
        system = systems(cluster)
        called = {"toolCalls": [{"name": "exit_loop", "args": {"why": ANSWER}}]}
        broken = {"error": {"status": 503, "message": ERROR}}
        script = {"starts": [[broken], [called], [{"text": ANSWER}]]}
        # Each start asks for itself, so that three of them do.
        alone = {"retry": {"backoff": {"initial": "1s"}, "resume": "FromStart"}, "steps": {"llm": {"maxAttempts": 1}}}
        config_map, job = job_of("traced", script, input={"message": PROMPT}, **alone)
        job["spec"]["agent"]["inline"] = {"instruction": INSTRUCTION, "tools": [{"name": "exit_loop"}]}
        await system.apply(config_map, job)
        status = await system.finished("traced")
        assert (status["phase"], status["starts"]) == ("Succeeded", 3)
        # When the processes have ended they have sent what they had.
        return (await system.job("traced"))["metadata"]["uid"]


async def test_three_starts_of_a_job_are_one_trace(ran, collector):
    assert {span.trace_id.hex() for _, span in collector.spans} == {ran.replace("-", "")}
    (root,) = collector.named("agentjobs-operator", "job")
    starts = collector.named("agentjobs-operator", "start")
    runs = collector.named("agentjobs-runner", "run")

    assert (root.span_id, root.parent_span_id) == (contract.span_id(ran).to_bytes(8), b"")
    assert [span.parent_span_id for span in starts] == [root.span_id] * 3
    assert [span.parent_span_id for span in runs] == [span.span_id for span in starts]
    assert [span.status.code for span in starts] == [2, 2, 0]  # 2 is an error
    for part in ("claim", "result"):
        assert {span.parent_span_id for span in collector.named("agentjobs-gateway", part)} == {
            span.span_id for span in starts
        }


async def test_adks_spans_are_children_of_the_run_and_are_flushed(ran, collector):
    known = {span.span_id: span for _, span in collector.spans}
    runs = {span.span_id for span in collector.named("agentjobs-runner", "run")}
    tools = collector.named("agentjobs-runner", "execute_tool")

    assert len(tools) == 1
    for span in (*tools, *collector.named("agentjobs-runner", "invoke_agent")):
        while span.parent_span_id in known and span.span_id not in runs:
            span = known[span.parent_span_id]
        assert span.span_id in runs


async def test_no_text_of_users_models_or_tools_is_in_a_trace(ran, collector):
    everything = b"".join(collector.bodies)

    assert b"execute_tool exit_loop" in everything
    for planted in (PROMPT, INSTRUCTION, ANSWER, ERROR):
        assert planted.encode() not in everything
    assert not re.search(rb"eyJ[\w-]{8,}\.[\w-]{8,}\.", everything)


async def test_an_unavailable_collector_neither_fails_nor_delays_a_job(backend, forks, systems, job_of, tmp_path):
    dead = traced("http://127.0.0.1:9")  # the discard port: no one listens
    async with up(tmp_path, settings=dead, apiserver=backend, working_folder=ROOT, forks=forks) as cluster:
        system = systems(cluster)
        await system.apply(*job_of("alone", {"starts": [[{"text": "Done."}]]}))
        status = await system.finished("alone")

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)
