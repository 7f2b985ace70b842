"""The exported part of a run's spans, and that nothing happens while tracing is disabled."""

import subprocess
import sys
import threading

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status, StatusCode

from agentjobs import contract
from agentjobs_runner import tracing
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.tracing import Tracing

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TEXT = "PLANTED"


def a_span(scope="gcp.vertex.agent", **attributes):
    raised = Event(
        "exception", {"exception.type": "ValueError", "exception.message": TEXT, "exception.stacktrace": TEXT}
    )
    return ReadableSpan(
        name="generate_content",
        attributes=attributes,
        events=[raised],
        status=Status(StatusCode.ERROR, TEXT),
        instrumentation_scope=InstrumentationScope(scope),
    )


@pytest.mark.parametrize("scope", ["gcp.vertex.agent", "opentelemetry.instrumentation.google_genai"])
def test_only_names_and_numbers_of_adks_spans_are_exported(scope):
    given = {"gen_ai.usage.input_tokens": 7, "gen_ai.input.messages": TEXT, "gcp.vertex.agent.llm_request": TEXT}

    span = Tracing({}, Redactor({})).cleared(a_span(scope, **given))

    assert dict(span.attributes) == {"gen_ai.usage.input_tokens": 7}
    assert TEXT not in span.to_json()
    assert dict(span.events[0].attributes) == {"exception.type": "ValueError"}


@pytest.mark.parametrize(
    ("variables", "scope"),
    [({tracing.CONTENTS[0]: "true"}, "gcp.vertex.agent"), ({}, "my.own.tracer")],
    ids=["asked-for", "of-user-code"],
)
def test_contents_are_exported_on_request_and_secrets_never(variables, scope):
    redactor = Redactor({"MODEL_API_KEY": "planted-secret"})

    span = Tracing(variables, redactor).cleared(a_span(scope, said=f"{TEXT} planted-secret"))

    assert dict(span.attributes) == {"said": f"{TEXT} [MODEL_API_KEY]"}


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({ENDPOINT: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_enable_and_disable_tracing(variables, on):
    assert contract.is_traced(variables) is on


def test_a_trace_is_found_by_the_jobs_uid():
    uid = "0b6f2a00-1111-4222-8333-444455556666"

    assert f"{contract.trace_id(uid):032x}" == uid.replace("-", "")
    assert 0 < contract.trace_id("no uuid at all") < 2**128
    assert len({contract.span_id(uid, start) for start in range(4)}) == 4


def test_an_unresponsive_collector_does_not_delay_the_end(monkeypatch):
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.01)
    run, never = Tracing({}, Redactor({})), threading.Event()
    run._flushing = threading.Thread(target=never.wait, daemon=True)
    run._flushing.start()

    run.wait()

    assert run._flushing.is_alive()
    never.set()


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("agentjobs_runner.attempt, agentjobs_runner.adk.engine", "opentelemetry.exporter"),
        ("agentjobs.operator_process, agentjobs.gateway.serve", "opentelemetry.sdk"),
    ],
    ids=["runner", "operator-and-gateway"],
)
def test_nothing_of_tracing_is_imported_while_it_is_disabled(imports, absent):
    code = f"""
import sys, {imports}
from agentjobs import tracing as control
from agentjobs_runner.tracing import Tracing
from agentjobs_runner.redaction import Redactor
control.spans("x", {{}}).close()
with Tracing({{}}, Redactor({{}})).run({{}}):
    sys.exit({absent!r} in sys.modules)
"""

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
