"""What an installation allows: service accounts, images, and restricted egress.

Checked for the accepted spec before each pod, so that changes of the lists also apply to waiting jobs. Pure; called by
the reconciler.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.job.observation import Obstacle
from agentjobs.core.pods.defaults import PodDefaults

# How many allowed names a message lists.
_NAMED = 10


def obstacle_of(spec: AgentJobSpec, defaults: PodDefaults) -> Obstacle | None:
    """Return why this installation creates no pod for an accepted spec; None if it does."""
    if (message := refusal(spec.runtime, defaults)) is not None:
        return Obstacle(PodStartedReason.POD_REFUSED, message, final=True)
    if spec.isolation.egress.mode == "Restricted" and not defaults.gateway_egress:
        cure = "this installation has no egress rule for its gateway: set AGENTJOBS_GATEWAY_EGRESS for the operator"
        return Obstacle(PodStartedReason.POD_REFUSED, f"spec.isolation.egress.mode is Restricted, but {cure}")
    if spec.isolation.egress.mode == "Restricted" and not _may_reach_models(defaults):
        cure = "this installation has no egress rule for its model proxy: set AGENTJOBS_MODELS_EGRESS for the operator"
        return Obstacle(PodStartedReason.POD_REFUSED, f"spec.isolation.egress.mode is Restricted, but {cure}")
    return None


def _may_reach_models(defaults: PodDefaults) -> bool:
    """Whether restricted pods can reach the model proxy. In a development cluster the gateway serves both."""
    if not defaults.models_url or defaults.models_egress:
        return True
    return urlsplit(defaults.models_url).netloc == urlsplit(defaults.gateway_url).netloc


def refusal(runtime: Runtime, defaults: PodDefaults) -> str | None:
    """Return why a pod is not allowed, with field, value and allowed values; None if it is allowed."""
    account = runtime.service_account_name
    if account is not None and account not in defaults.service_accounts:
        return _refused("serviceAccountName", account, sorted(defaults.service_accounts))
    image = runtime.image
    if image is not None and defaults.images and not any(_matches(image, pattern) for pattern in defaults.images):
        return _refused("image", image, defaults.images)
    return None


def _matches(image: str, pattern: str) -> bool:
    """Compare names literally: `a` is not `a:latest`."""
    return image.startswith(pattern[:-1]) if pattern.endswith("*") else image == pattern


def _refused(field: str, value: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"spec.runtime.{field}: {value!r} is not allowed here; allowed: {listed or 'none'}"
