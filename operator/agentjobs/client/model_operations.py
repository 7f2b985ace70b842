"""What a client can ask about models, as operations (effects.py); all of it is asked of the gateway."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar
from urllib.parse import quote

from agentjobs.api.recorded_models import JobModels, ModelsOverview
from agentjobs.api.recorded_usage import JobModelUsage, UsageBy, UsageReport
from agentjobs.client.effects import Operation, Send, Server
from agentjobs.client.requests import Asking


@dataclass(frozen=True, slots=True)
class ModelOperations(Asking):
    """The questions about models of one namespace, or of all."""

    plural: ClassVar[str] = "agentjobs"

    def overview(self, *, everywhere: bool = False) -> Operation[ModelsOverview]:
        """Ask which models there are, what they cost, what is left of limits, and who calls them now."""
        return ModelsOverview.model_validate((yield from self._told("/v1/models", self._place(everywhere))))

    def usage(
        self,
        by: Sequence[UsageBy],
        *,
        since: date | None = None,
        until: date | None = None,
        limit: int | None = None,
        everywhere: bool = False,
    ) -> Operation[UsageReport]:
        """Ask what model calls used and cost."""
        given = {"since": since, "until": until, "limit": limit}
        chosen = {name: str(value) for name, value in given.items() if value is not None}
        params = self._place(everywhere) | chosen | {"by": [each.value for each in by]}
        return UsageReport.model_validate((yield from self._told("/v1/usage", params)))

    def of_job(self, name: str) -> Operation[list[JobModelUsage]]:
        """Ask what the model calls of a job used and cost, by provider and model."""
        path = f"/v1/namespaces/{quote(self.namespace, safe='')}/agentjobs/{quote(name, safe='')}/models"
        return JobModels.model_validate((yield from self._told(path, {}))).items

    def _place(self, everywhere: bool) -> dict[str, str | Sequence[str]]:
        return {} if everywhere else {"namespace": self.namespace}

    def _told(self, path: str, params: dict[str, str | Sequence[str]]) -> Operation[Any]:
        return (yield from self._asked(Send("GET", path, params=params, server=Server.GATEWAY)))
