"""The client's operations on models (effects.py); all are requests to the gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from agentjobs.api.recorded_models import JobModels, ModelsOverview
from agentjobs.api.recorded_usage import JobModelUsage, RecordedCall, RecordedCalls, UsageBy, UsageReport
from agentjobs.client.effects import Operation, Send, Server, Stream
from agentjobs.client.requests import PAGE, KindOperations, paged, segment


@dataclass(frozen=True, slots=True)
class ModelOperations(KindOperations):
    """The operations on models, for one namespace or all."""

    plural: ClassVar[str] = "agentjobs"

    def overview(self, *, everywhere: bool = False) -> Operation[ModelsOverview]:
        """Read models, prices, what remains of limits, and current callers."""
        return ModelsOverview.model_validate((yield from self._read("/v1/models", self._place(everywhere))))

    def usage(
        self,
        by: Sequence[UsageBy],
        *,
        since: date | None = None,
        until: date | None = None,
        limit: int | None = None,
        everywhere: bool = False,
    ) -> Operation[UsageReport]:
        """Read usage and cost of model calls."""
        given = {"since": since, "until": until, "limit": limit}
        chosen = {name: str(value) for name, value in given.items() if value is not None}
        params = self._place(everywhere) | chosen | {"by": [each.value for each in by]}
        return UsageReport.model_validate((yield from self._read("/v1/usage", params)))

    def of_job(self, name: str) -> Operation[list[JobModelUsage]]:
        """Read usage and cost of a job's model calls, by provider and model."""
        return JobModels.model_validate((yield from self._read(self._job(name, "models"), {}))).items

    def calls(self, name: str, *, step: str = "") -> Stream[RecordedCall]:
        """Emit a job's model calls in the order in which they began; with `step` only those of that step."""
        params = {"limit": str(PAGE)} | ({"step": step} if step else {})
        return paged(lambda page: self._read(self._job(name, "calls"), page), RecordedCalls.model_validate, params)

    def content(self, name: str, call: UUID) -> Operation[Any]:
        """Read request and answer of a call, if the installation records them."""
        return (yield from self._read(self._job(name, f"calls/{call}/content"), {}))["content"]

    def _job(self, name: str, below: str) -> str:
        return f"/v1/namespaces/{segment(self.namespace)}/agentjobs/{segment(name)}/{below}"

    def _place(self, everywhere: bool) -> dict[str, str | Sequence[str]]:
        return {} if everywhere else {"namespace": self.namespace}

    def _read(self, path: str, params: Mapping[str, str | Sequence[str]]) -> Operation[Any]:
        return (yield from self._sent(Send("GET", path, params=params, server=Server.GATEWAY)))
