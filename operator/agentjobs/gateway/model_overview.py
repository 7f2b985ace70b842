"""Joins the models that proxies report with the state of their limits, as a namespace may see them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentjobs.api.recorded_models import (
    CallsUnderWay,
    ClosedKey,
    ExhaustedModel,
    LimitLeft,
    LivingProxy,
    ModelKey,
    ModelProvider,
    ModelsOverview,
)
from agentjobs.history.model_records import Limit, LimitsNow, SeenProxy
from agentjobs.models.config import report_for
from agentjobs.models.names import of_pool


def limits_of(told: Mapping[str, Any]) -> list[Limit]:
    """Return all limits that a proxy reports."""
    return [
        Limit(limit["bucket"], limit["most"], limit["window"], limit["timeZone"])
        for provider in told.get("providers") or ()
        for key in provider["keys"]
        for limit in key["limits"]
    ]


def overview(
    told: Mapping[str, Any],
    limits: LimitsNow,
    *,
    proxies: Sequence[SeenProxy],
    under_way: Sequence[CallsUnderWay],
    namespace: str | None,
) -> ModelsOverview:
    """Return the overview of models.

    Args:
        told: the report of a proxy, see `models.config.Models.report`.
        namespace: the namespace whose keys and models are shown; None for all.
    """
    seen = dict(told) if namespace is None else report_for(told, namespace)
    return ModelsOverview.model_validate(
        {
            **seen,
            "providers": [_provider(provider, limits) for provider in seen.get("providers") or ()],
            "exhausted": _exhausted(limits, seen),
            "underWay": under_way,
            "proxies": [LivingProxy(id=one.id, since=one.since, seen=one.seen) for one in proxies],
        }
    )


def _exhausted(limits: LimitsNow, seen: Mapping[str, Any]) -> list[ExhaustedModel]:
    """Return the exhausted models whose keys are visible."""
    visible = {key["name"] for provider in seen.get("providers") or () for key in provider["keys"]}
    found = [(of_pool(one.model), one) for one in limits.exhausted]
    return [
        ExhaustedModel(model=model, reason=one.reason, until=one.until)
        for (model, keys), one in found
        if not keys or keys & visible
    ]


def _provider(told: Mapping[str, Any], limits: LimitsNow) -> ModelProvider:
    return ModelProvider.model_validate({**told, "keys": [_key(key, limits) for key in told["keys"]]})


def _key(told: Mapping[str, Any], limits: LimitsNow) -> ModelKey:
    return ModelKey(
        name=told["name"],
        limits=[
            LimitLeft(
                bucket=limit["bucket"],
                counts=limit["counts"],
                most=limit["most"],
                window=limit["window"],
                left=max(0, limit["most"] - limits.used.get(limit["bucket"], 0)),
            )
            for limit in told["limits"]
        ],
        closed=[
            ClosedKey(model=one.model, reason=one.reason, until=one.until)
            for one in limits.closed
            if one.key == told["name"]
        ],
    )
