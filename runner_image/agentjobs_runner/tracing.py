"""The runner's part of a job's trace: one span for the run, with ADK's spans below it. Off unless configured.

ADK's spans would contain prompts, answers and arguments. Here they have only names, numbers and ids, unless ADK's own
variable enables contents. OpenTelemetry's SDK is not imported while tracing is off. An unavailable collector only
delays the process's last second, in parallel with the report.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from agentjobs import contract
from agentjobs.contract import Attempt
from agentjobs_runner.log import logger
from agentjobs_runner.redaction import Redactor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

FLUSH_SECONDS: Final = 1.0
# ADK's documented switches; the first is on by default, and then prompts are sent to any configured provider of spans.
CONTENTS: Final = ("ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
# Allowed attributes of ADK's and google-genai's spans: no text of a model, a tool or a user.
_ADK_SCOPES: Final = ("gcp.vertex.agent", "google.adk", "opentelemetry.instrumentation")
_KEPT: Final = (
    "agentjobs.",
    "error.type",
    "gcp.vertex.agent.event_id",
    "gcp.vertex.agent.invocation_id",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.model",
    "gen_ai.system",
    "gen_ai.tool.call.id",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "gen_ai.usage.",
    "http.response.status_code",
)
# Allowed attributes of their events: exceptions, without messages and tracebacks.
_EVENT_ATTRIBUTES: Final = ("exception.type",)
_ALL: Final = ("",)


class Tracing:
    """Tracing of one start. Does nothing unless the environment enables it."""

    def __init__(self, variables: Mapping[str, str], redactor: Redactor) -> None:
        self._on = contract.is_traced(variables)
        self._contents = any(variables.get(name, "").lower() in ("1", "true") for name in CONTENTS)
        self._service = variables.get("OTEL_SERVICE_NAME") or "agentjobs-runner"
        self._redactor = redactor
        self._provider: Any = None
        self._span: Any = None
        self._flushing: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, attempt: Attempt) -> AbstractContextManager[None]:
        """Context in which spans belong to the attempt; entered by the agent's thread."""
        # Also for providers of spans that user code sets up: contents only leave the pod if enabled.
        os.environ.setdefault(CONTENTS[0], "false")
        if not self._on:
            return nullcontext()
        try:
            self._provider = self._made_provider()
        except ImportError as error:
            logger.error("tracing.unavailable %s; the image lacks the extra otel", error)
            return nullcontext()
        return self._entered(attempt)

    @contextmanager
    def _entered(self, attempt: Attempt) -> Iterator[None]:
        from opentelemetry import trace

        trace.set_tracer_provider(self._provider)
        number, uid = contract.trace_id(attempt["uid"]), attempt["uid"]
        sampled = self._provider.sampler.should_sample(None, number, "run").decision.is_sampled()
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
        parent = trace.SpanContext(number, contract.span_id(uid, attempt["start"]), is_remote=True, trace_flags=flags)
        tracer = self._provider.get_tracer("agentjobs")
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        attributes = {
            "agentjobs.namespace": attempt["namespace"],
            "agentjobs.job": attempt["job"],
            "agentjobs.uid": uid,
            "agentjobs.start": attempt["start"],
            "agentjobs.attempt": attempt["attempt"],
        }
        self._span = tracer.start_span("run", context=context, attributes=attributes)
        with trace.use_span(self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield

    def end(self, verdict: str, reason: str) -> None:
        """End the run's span and begin to send the remaining spans, without waiting. The second call does nothing."""
        with self._lock:
            span, self._span = self._span, None
        if span is None:
            return
        span.set_attributes({"agentjobs.verdict": verdict, "agentjobs.reason": reason})
        span.end()
        self._flushing = threading.Thread(target=self._flush, name="spans", daemon=True)
        self._flushing.start()

    def wait(self) -> None:
        """Wait for the last spans, at most `FLUSH_SECONDS`: the process ends with os._exit."""
        if self._flushing is not None:
            self._flushing.join(FLUSH_SECONDS)

    def _flush(self) -> None:
        self._provider.force_flush(int(FLUSH_SECONDS * 1000))

    def _made_provider(self) -> Any:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would log every batch without a collector
        resource = Resource.create({SERVICE_NAME: self._service})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(timeout=FLUSH_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(_Cleared(exporter, self.cleared)))  # type: ignore[arg-type]  # fits SpanExporter, whose import costs when off
        return provider

    def cleared(self, span: "ReadableSpan") -> "ReadableSpan":
        """Return the span as it may leave the pod."""
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import Status

        kept, of_events = (_KEPT, _EVENT_ATTRIBUTES) if self._hides_contents(span) else (_ALL, _ALL)
        return ReadableSpan(
            name=self._redactor.text(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=self._attributes(span.attributes, kept),
            events=[
                Event(event.name, self._attributes(event.attributes, of_events), event.timestamp)
                for event in span.events
            ],
            links=span.links,
            kind=span.kind,
            # Its description is an exception's message.
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _hides_contents(self, span: "ReadableSpan") -> bool:
        scope = span.instrumentation_scope
        return not self._contents and (scope is None or scope.name.startswith(_ADK_SCOPES))

    def _attributes(self, attributes: Mapping[str, Any] | None, kept: tuple[str, ...]) -> dict[str, Any]:
        return {name: self._text(value) for name, value in (attributes or {}).items() if name.startswith(kept)}

    def _text(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redactor.text(value)
        return [self._text(item) for item in value] if isinstance(value, tuple | list) else value


class _Cleared:
    """An exporter that redacts every span."""

    def __init__(self, exporter: Any, clear: Any) -> None:
        self._exporter = exporter
        self._clear = clear

    def export(self, spans: "Sequence[ReadableSpan]") -> Any:
        return self._exporter.export([self._clear(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))
