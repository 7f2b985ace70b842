"""One request to a model, from its head to its settlement.

    authentication, the request, the possible ways       rejected before anything is taken
    the installation's checker
    reserved in the ledger                              the budget and the fence
    a turn at a key's limits, sent, its answer passed on
    settled

Each step takes what it needs in a `with` block, so that it is returned however the request ends (client, error,
process). Rejections have the format of the provider's errors. Prompts, answers and keys are never logged.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4

from agentjobs import contract, errors
from agentjobs.auth import Authenticator, RunnerIdentity
from agentjobs.capacity import PerCaller
from agentjobs.contract import ErrorClass
from agentjobs.history.model_protocols import ModelLedger
from agentjobs.history.model_records import EndedCall, NewCall, Reserved
from agentjobs.models.budget import Fits
from agentjobs.models.config import Models
from agentjobs.models.models_file import RecordContent
from agentjobs.problem import Problem
from agentjobs.proxy import refusals
from agentjobs.proxy.apis.api import Api, CallRefusal, Operation, ParsedRequest, Request
from agentjobs.proxy.calls import Call
from agentjobs.proxy.checker import Checker, Denied, Failed, Redacted
from agentjobs.proxy.client import Client
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.proxy.refusals import Refused
from agentjobs.proxy.routing import plan
from agentjobs.proxy.sending import Outgoing, Sender
from agentjobs.proxy.settlements import Settlements
from agentjobs.proxy.upstream import CutShort, FailureCause
from agentjobs.tokens import credentials_of

logger = logging.getLogger(__name__)

# Per pod: parallel agents of one job, and their tools.
CONCURRENT_REQUESTS: Final = 64
# For budget and limits together. Longer than a full per-minute limit takes, and below the clients' timeout of ten
# minutes.
MAX_WAIT_SECONDS: Final = 120.0
# A call that waits for other calls of its job checks again when one of them is settled here, and at this interval for
# those of other replicas: from the first to the longest pause.
RETRY_SECONDS: Final = (0.05, 1.0)
_SECONDS: Final = re.compile(r"[0-9]{1,6}")


class Exchange:
    """Answers requests to models. One per process.

    Args:
        models: returns the installation's current models.
        proxy: the name of this process in the ledger.
        clock: in seconds, monotonic.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        models: Callable[[], Models],
        ledger: ModelLedger,
        settlements: Settlements,
        sender: Sender,
        checker: Checker,
        metrics: ProxyMetrics,
        proxy: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticator = authenticator
        self._models = models
        self._ledger = ledger
        self._settlements = settlements
        self._sender = sender
        self._checker = checker
        self._metrics = metrics
        self._proxy = proxy
        self._clock = clock
        self._max_wait = MAX_WAIT_SECONDS
        self._per_pod = PerCaller(CONCURRENT_REQUESTS)

    async def serve(self, client: Client, api: Api, path: str) -> None:
        """Answer a request to an API, or cut its connection.

        Args:
            path: relative to the API's own path.
        """
        try:
            runner = await self._authenticated(client)
            with self._per_pod.taken(runner.pod_uid):
                await self._serve(client, api, path, runner)
        except Refused as refused:
            await self._refuse(client, api, refused.refusal)
        except Problem as problem:
            await self._refuse(client, api, refusals.of_problem(problem))
        except errors.AgentJobsError as error:
            refusal = refusals.of_error(error)
            if refusal.status >= 500:
                logger.warning("proxy.unavailable", extra={"error": type(error).__name__, "detail": str(error)})
            await self._refuse(client, api, refusal)

    async def _authenticated(self, client: Client) -> RunnerIdentity:
        token = credentials_of(client.headers, client.parameters)
        return await self._authenticator.runner_of_token(token, client.address)

    async def _serve(self, client: Client, api: Api, path: str, runner: RunnerIdentity) -> None:
        async with AsyncExitStack() as held:
            body = await held.enter_async_context(client.body(self._models().max_request_bytes))
            request = Request(client.method, path, client.query, client.headers, body)
            parsed = _understood(api, request)
            if parsed.operation is Operation.HELLO:
                await client.begin(200, {"content-length": "0"})
                await client.end()
                return
            models, today = self._models(), datetime.now(UTC).date()
            planned = plan(models, parsed, namespace=runner.namespace, limits=runner.budget, on=today)
            if isinstance(planned, CallRefusal):
                raise Refused(planned)
            parsed = await self._checked(api, request, parsed, planned.stages[0].model, runner)
            keeps = models.record_content is RecordContent.ALL
            call = Call(uuid4(), parsed, planned, queue=runner.queue, keeps_content=keeps)
            outgoing = Outgoing(client, api, parsed, call, runner.uid, (runner.namespace, runner.queue), held.aclose)
            del body, request, parsed  # not needed during a long answer
            async with self._booked(call, runner, client):
                await self._send(outgoing, max_wait=max(0.0, self._max_wait_of(client) - call.budget_wait))

    async def _checked(
        self, api: Api, request: Request, parsed: ParsedRequest, model: str, runner: RunnerIdentity
    ) -> ParsedRequest:
        """Return the request to send; the checker may have redacted it."""
        entry = self._models().checker
        if entry is None or parsed.operation is Operation.FORGET:
            return parsed
        try:
            verdict = await self._checker.check(
                entry, namespace=runner.namespace, job=runner.job, model=model, body=parsed.body
            )
        except Failed:
            message = "The installation's checker did not answer, and its approval is required."
            raise Refused(CallRefusal(503, ErrorClass.MODEL_UNAVAILABLE, message, 5.0)) from None
        match verdict:
            case Denied(reason):
                raise Refused(
                    CallRefusal(403, ErrorClass.CONTENT_BLOCKED, f"The checker denied this request: {reason}.")
                )
            case Redacted(body):
                return _understood(api, replace(request, body=body))
            case None:
                return parsed

    @asynccontextmanager
    async def _booked(self, call: Call, runner: RunnerIdentity, client: Client) -> AsyncIterator[None]:
        """Hold a call's entry in the ledger; at the end it is settled."""
        if not call.is_free:
            await self._reserve(call, runner, client)
        try:
            yield
        finally:
            end = call.end()
            if not call.is_free:
                self._settlements.add(runner.uid, end)
            self._metrics.waited(ledger=call.budget_wait, limits=call.limits_wait)
            if call.sent is not None:
                self._metrics.used(end.provider, end.tokens, end.cost, estimated=end.estimated)
            logger.info("call.ended", extra=_fields(call, end, runner))

    async def _reserve(self, call: Call, runner: RunnerIdentity, client: Client) -> None:
        new = NewCall(
            id=call.id,
            uid=runner.uid,
            start=runner.start,
            pod_uid=runner.pod_uid,
            proxy=self._proxy,
            step=_step(client.headers),
            requested=call.requested,
            limits=runner.budget,
            tokens=call.plan.max_tokens_in + call.plan.tokens_out,
            cost=call.plan.max_cost,
            provider=call.plan.stages[0].ways[0].provider.name,
            model=call.plan.stages[0].model,
        )
        began, (pause, longest), max_wait = self._clock(), RETRY_SECONDS, self._max_wait_of(client)
        while True:
            reserved = await self._reserve_in_ledger(new, call)
            call.budget_wait = self._clock() - began
            match reserved.judgement.fits:
                case Fits.YES:
                    return
                case Fits.NO:
                    raise Refused(refusals.budget_spent(runner.budget, reserved))
                case Fits.NOT_YET:
                    if call.budget_wait + pause > max_wait:
                        raise Refused(refusals.budget_reserved(reserved, call.budget_wait))
                    await self._settlements.change(runner.uid, pause)
                    pause = min(longest, 2 * pause)

    def _max_wait_of(self, client: Client) -> float:
        """Return how many seconds a call may wait: the client's limit, at most ours."""
        value = client.headers.get(contract.HEADER_MAX_WAIT, "")
        return min(self._max_wait, float(value)) if _SECONDS.fullmatch(value) else self._max_wait

    async def _reserve_in_ledger(self, new: NewCall, call: Call) -> Reserved:
        try:
            return await self._ledger.reserve(new)
        except (asyncio.CancelledError, errors.Unavailable):
            self._settlements.add_unsure(new.uid, call.end())
            raise

    async def _send(self, outgoing: Outgoing, *, max_wait: float) -> None:
        try:
            await self._sender.send(outgoing, max_wait=max_wait)
        except CutShort as cut:
            sent = outgoing.call.sent
            if sent is None:
                raise
            refusal = refusals.cut_short(sent.way, str(cut), in_time=cut.cause is not FailureCause.SILENT)
            self._metrics.refused(refusal.error_class, refusal.status)
            if outgoing.request.streamed and sent.reader is not None and sent.reader.between:
                await outgoing.client.write(outgoing.api.refusal_event(refusal))
            outgoing.client.cut()
        except TimeoutError:
            outgoing.client.cut()  # the client does not read

    async def _refuse(self, client: Client, api: Api, refusal: CallRefusal) -> None:
        self._metrics.refused(refusal.error_class, refusal.status)
        body = api.refusal_body(refusal)
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
        await client.begin(refusal.status, headers)
        await client.write(body)
        await client.end()


def _understood(api: Api, request: Request) -> ParsedRequest:
    parsed = api.read(request)
    if isinstance(parsed, CallRefusal):
        raise Refused(parsed)
    return parsed


def _step(headers: Mapping[str, str]) -> str:
    """Return the key of the step that a request names, as in the journal; empty if it is missing or invalid."""
    try:
        key = unquote(headers.get(contract.HEADER_STEP, ""), errors="strict")
    except UnicodeDecodeError:
        return ""
    return key if len(key) <= contract.MAX_STEP_KEY_CHARS else ""


def _fields(call: Call, end: EndedCall, runner: RunnerIdentity) -> dict[str, Any]:
    return {
        "namespace": runner.namespace,
        "job": runner.job,
        "start": runner.start,
        "requested": call.requested,
        "provider": end.provider,
        "model": end.model,
        "outcome": end.outcome.value,
        "status": end.status,
        "input_tokens": end.tokens.input,
        "output_tokens": end.tokens.output,
        "cost_usd": format(end.cost, "f"),
        "estimated": end.estimated,
        "waited_budget": round(call.budget_wait, 3),
        "waited_limits": round(call.limits_wait, 3),
        "first_byte": None if call.first_byte is None else round(call.first_byte, 3),
    }
