"""Joins the models that proxies report with the state of their limits, as a namespace may see them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentjobs.api.recorded_models import (
    CallsUnderWay,
    ClosedKey,
    ExhaustedModel,
    LimitLeft,
    ModelKey,
    ModelProvider,
    ModelProxy,
    ModelsOverview,
)
from agentjobs.history.model_records import Limit, LimitsNow, LiveProxy
from agentjobs.models.config import report_for
from agentjobs.models.names import of_pool


def limits_of(report: Mapping[str, Any]) -> list[Limit]:
    """Return all limits that a proxy reports."""
    return [
        Limit(limit["bucket"], limit["most"], limit["window"], limit["timeZone"])
        for provider in report.get("providers") or ()
        for key in provider["keys"]
        for limit in key["limits"]
    ]


def overview(
    report: Mapping[str, Any],
    limits: LimitsNow,
    *,
    proxies: Sequence[LiveProxy],
    under_way: Sequence[CallsUnderWay],
    namespace: str | None,
) -> ModelsOverview:
    """Return the overview of models.

    Args:
        report: the report of a proxy, see `models.config.Models.report`.
        namespace: the namespace whose keys and models are shown; None for all.
    """
    shown = dict(report) if namespace is None else report_for(report, namespace)
    return ModelsOverview.model_validate(
        {
            **shown,
            "providers": [_provider(provider, limits) for provider in shown.get("providers") or ()],
            "exhausted": _exhausted(limits, shown),
            "underWay": under_way,
            "proxies": [ModelProxy(id=proxy.id, since=proxy.since, seen=proxy.seen) for proxy in proxies],
        }
    )


def _exhausted(limits: LimitsNow, report: Mapping[str, Any]) -> list[ExhaustedModel]:
    """Return the exhausted models whose keys are visible."""
    visible = {key["name"] for provider in report.get("providers") or () for key in provider["keys"]}
    found = [(of_pool(each.model), each) for each in limits.exhausted]
    return [
        ExhaustedModel(model=model, reason=each.reason, until=each.until)
        for (model, keys), each in found
        if not keys or keys & visible
    ]


def _provider(report: Mapping[str, Any], limits: LimitsNow) -> ModelProvider:
    return ModelProvider.model_validate({**report, "keys": [_key(key, limits) for key in report["keys"]]})


def _key(report: Mapping[str, Any], limits: LimitsNow) -> ModelKey:
    return ModelKey(
        name=report["name"],
        limits=[
            LimitLeft(
                bucket=limit["bucket"],
                counts=limit["counts"],
                most=limit["most"],
                window=limit["window"],
                left=max(0, limit["most"] - limits.used.get(limit["bucket"], 0)),
            )
            for limit in report["limits"]
        ],
        closed=[
            ClosedKey(model=closed.model, reason=closed.reason, until=closed.until)
            for closed in limits.closed
            if closed.key == report["name"]
        ],
    )
