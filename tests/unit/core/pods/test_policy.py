"""Lists of allowed images and accounts: compared as written, and refused with a message that a user can act on."""

from dataclasses import replace

import pytest

from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.policy import obstacle_of, refusal

DEFAULTS = PodDefaults(
    gateway_url="https://gateway",
    image="runner",
    service_accounts=frozenset({"default", "reader"}),
    images=("ghcr.io/acme/*", "tools:1.2"),
)


@pytest.mark.parametrize(
    "runtime",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"serviceAccountName": "reader", "image": "tools:1.2"}, id="both"),
        pytest.param({"image": "ghcr.io/acme/agent@sha256:0"}, id="what-begins-so"),
    ],
)
def test_images_and_accounts_on_the_list_are_accepted(runtime):
    assert refusal(Runtime.model_validate(runtime), DEFAULTS) is None


@pytest.mark.parametrize(
    ("runtime", "field", "allowed"),
    [
        pytest.param(
            {"serviceAccountName": "admin"},
            "spec.runtime.serviceAccountName: 'admin' ",
            "default, reader",
            id="another-account",
        ),
        pytest.param(
            {"image": "tools:1.3"},
            "spec.runtime.image: 'tools:1.3' ",
            "ghcr.io/acme/*, tools:1.2",
            id="another-tag",
        ),
        pytest.param(
            {"image": "ghcr.io/acme"}, "spec.runtime.image: 'ghcr.io/acme' ", "", id="shorter-than-the-pattern"
        ),
        pytest.param({"image": "x/ghcr.io/acme/agent"}, "spec.runtime.image: ", "", id="pattern-in-the-middle"),
        pytest.param({"image": "tools:1.2.evil"}, "spec.runtime.image: ", "", id="an-exact-name-is-no-beginning"),
    ],
)
def test_images_and_accounts_that_are_not_on_the_list_are_refused_by_name(runtime, field, allowed):
    said = refusal(Runtime.model_validate(runtime), DEFAULTS)

    assert (said.startswith(field), said.endswith(allowed)) == (True, True)


def test_without_a_list_any_image_and_only_the_default_account_are_accepted():
    defaults = PodDefaults(gateway_url="https://gateway", image="runner", service_accounts=frozenset({"default"}))

    assert refusal(Runtime.model_validate({"image": "anything"}), defaults) is None
    assert refusal(Runtime.model_validate({"serviceAccountName": "reader"}), defaults).endswith("allowed: default")


def test_a_long_list_is_truncated_in_the_message():
    images = tuple(f"image-{number}" for number in range(100))
    defaults = PodDefaults(gateway_url="https://gateway", image="runner", images=images)

    assert refusal(Runtime.model_validate({"image": "x"}), defaults).endswith("image-9 and 90 more")


RULE = EgressRule.model_validate({"ports": [{"port": 8443}]})


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        pytest.param({}, False, id="models-are-asked-directly"),
        pytest.param({"models_url": "https://proxy", "models_egress": (RULE,)}, False, id="a-rule-for-the-proxy"),
        pytest.param({"models_url": "https://gateway/models"}, False, id="the-gateway-serves-both"),
        pytest.param({"models_url": "https://proxy"}, True, id="no-way-to-the-proxy"),
    ],
)
def test_a_restricted_job_without_access_to_its_models_is_refused(settings, refused):
    job = {"agent": {"model": "gemini-x", "inline": {}}, "input": {"message": "x"}}
    spec = AgentJobSpec.model_validate({**job, "isolation": {"egress": {"mode": "Restricted"}}})
    found = obstacle_of(spec, replace(DEFAULTS, gateway_egress=(RULE,), **settings))

    assert (found is not None) == refused
    assert found is None or "AGENTJOBS_MODELS_EGRESS" in found.message
