"""Traces: one per job, over all its starts. The spans of operator and gateway; off unless OpenTelemetry is configured.

The ids of a job's trace and of its parent spans are derived from the job's uid (`contract.trace_id`), so they need not
be passed on, and a span that is sent twice is one span. The standard variables configure it: `OTEL_SDK_DISABLED`,
`OTEL_TRACES_EXPORTER`, `OTEL_EXPORTER_OTLP_*` and the others of the SDK. OpenTelemetry is not imported while it is off.
A thread of the SDK sends the spans; the caller never waits, and spans that the collector rejects are lost.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from agentjobs import contract

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

logger = logging.getLogger(__name__)

# How long an ending process waits for its last spans.
FLUSH_SECONDS: Final = 1.0
SCOPE: Final = "agentjobs"

Attributes = Mapping[str, str | int | bool]


class Spans:
    """Accepts ended spans; never blocks, never raises. This class, used while tracing is off, discards them."""

    def job(self, uid: str, *, begin: datetime, end: datetime, failed: bool, attributes: Attributes) -> None:
        """The whole job: the root of its trace."""

    def start(
        self, uid: str, start: int, *, begin: datetime, end: datetime, failed: bool, attributes: Attributes
    ) -> None:
        """One start, from its claim to its end."""

    def part(self, uid: str, start: int, name: str, *, begin: datetime, end: datetime, attributes: Attributes) -> None:
        """Something that happened within a start."""

    def close(self) -> None:
        """Send the remaining spans, for at most `FLUSH_SECONDS`."""


def spans(service: str, variables: Mapping[str, str]) -> Spans:
    """Return the receiver of a process's spans, as configured by `variables`; `service` is the default service name.

    Without the packages of the extra `otel`, tracing is off, with a log line.
    """
    if not contract.is_traced(variables):
        return Spans()
    try:
        return _Exported(service, variables)
    except ImportError as error:
        message = f"{error}; install the package with its extra otel"
        logger.error("tracing.unavailable", extra={"error": message})
        return Spans()


class _Exported(Spans):
    def __init__(self, service: str, variables: Mapping[str, str]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it logs an unreachable collector at every batch
        named = {} if variables.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(OTLPSpanExporter(timeout=FLUSH_SECONDS))

    def job(self, uid: str, *, begin: datetime, end: datetime, failed: bool, attributes: Attributes) -> None:
        self._end(uid, contract.span_id(uid), None, "job", begin, end, failed, attributes)

    def start(
        self, uid: str, start: int, *, begin: datetime, end: datetime, failed: bool, attributes: Attributes
    ) -> None:
        own, parent = contract.span_id(uid, start), contract.span_id(uid)
        self._end(uid, own, parent, "start", begin, end, failed, {"agentjobs.start": start, **attributes})

    def part(self, uid: str, start: int, name: str, *, begin: datetime, end: datetime, attributes: Attributes) -> None:
        own = self._provider.id_generator.generate_span_id()
        self._end(uid, own, contract.span_id(uid, start), name, begin, end, False, attributes)

    def close(self) -> None:
        self._processor.force_flush(int(FLUSH_SECONDS * 1000))
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK forgot its annotation

    def _end(
        self,
        uid: str,
        span: int,
        parent: int | None,
        name: str,
        begin: datetime,
        end: datetime,
        failed: bool,
        attributes: Attributes,
    ) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Status, StatusCode

        trace = contract.trace_id(uid)
        if not self._provider.sampler.should_sample(None, trace, name).decision.is_sampled():  # type: ignore[no-untyped-call]  # as above
            return
        self._processor.on_end(
            ReadableSpan(
                name=name,
                context=_context(trace, span),
                parent=None if parent is None else _context(trace, parent),
                resource=self._provider.resource,
                attributes={"agentjobs.uid": uid, **attributes},
                status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
                start_time=_nanoseconds(begin),
                end_time=_nanoseconds(max(begin, end)),
                instrumentation_scope=InstrumentationScope(SCOPE),
            )
        )


def _context(trace: int, span: int) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000


def named(**attributes: Any) -> dict[str, str | int | bool]:
    """Return attributes with our prefix, without empty ones."""
    return {f"agentjobs.{name}": value for name, value in attributes.items() if value not in (None, "")}
