"""Models: the file that operator and model proxy read, and keys that nothing but the model proxy gets."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from pydantic import BaseModel

from agentjobs.models import config
from agentjobs.models.models_file import ModelsFile

CHART = Path(__file__).parents[3] / "helm" / "agentjobs"
TRIAL = {"postgresql": {"enabled": True}}
KEYS = "/etc/agentjobs/model-keys"


HOST = "http://models.example.com"


def provider(**fields):
    return {"models": {"providers": [{"name": "gemini", "kind": "Gemini", **fields}]}}


def key(name, secret="models"):
    return {"name": name.replace(".", "-"), "secretKeyRef": {"name": secret, "key": name}}


def file_of(objects):
    return yaml.safe_load(objects.one("ConfigMap", "-models")["data"]["models.yaml"])


def pod(objects, part):
    return objects.one("Deployment", f"-{part}")["spec"]["template"]


def keys_mounted(objects):
    """The files of keys in the model proxy's pods, and the Secret's key that each holds."""
    spec = pod(objects, "model-proxy")["spec"]
    folder = next(one["mountPath"] for one in spec["containers"][0]["volumeMounts"] if one["name"] == "model-keys")
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "model-keys"]
    return {
        f"{folder}/{item['path']}": (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }


def test_the_models_file_names_keys_at_their_mount_paths(render):
    objects = render(TRIAL, provider(keys=[key("gemini"), key("g.2", secret="team-a.keys")]))
    (found,) = file_of(objects)["providers"]

    assert [one["file"] for one in found["keys"]] == [f"{KEYS}/models/gemini", f"{KEYS}/team-a.keys/g.2"]
    assert keys_mounted(objects) == {
        f"{KEYS}/models/gemini": ("models", "gemini"),
        f"{KEYS}/team-a.keys/g.2": ("team-a.keys", "g.2"),
    }


def test_a_key_shared_by_two_providers_is_mounted_once(render):
    shared = {"models": {"providers": [{"name": n, "kind": "OpenAI", "keys": [key("k")]} for n in ("a", "b")]}}

    objects = render(TRIAL, shared)

    assert keys_mounted(objects) == {f"{KEYS}/models/k": ("models", "k")}
    volume = next(one for one in pod(objects, "model-proxy")["spec"]["volumes"] if one["name"] == "model-keys")
    assert len(volume["projected"]["sources"]) == 1


def test_a_missing_secret_does_not_affect_other_providers(render):
    objects = render(TRIAL, provider(keys=[key("gemini")]))
    volume = next(one for one in pod(objects, "model-proxy")["spec"]["volumes"] if one["name"] == "model-keys")

    assert [source["secret"]["optional"] for source in volume["projected"]["sources"]] == [True]


def test_no_other_pod_has_the_keys_and_the_operator_reads_the_file(full):
    for name, template in full.pods().items():
        text = json.dumps(template)
        assert ("model-keys" in text) == name.endswith("-model-proxy"), name
    operator = pod(full, "operator")["spec"]
    (file,) = [one["mountPath"] for one in operator["containers"][0]["volumeMounts"] if one["name"] == "models"]
    variables = {one["name"]: one.get("value") for one in operator["containers"][0]["env"]}

    assert variables["AGENTJOBS_MODELS_FILE"] == f"{file}/models.yaml"
    assert variables["AGENTJOBS_MODELS_URL"] == "https://agentjobs-model-proxy.agentjobs-system.svc"


EVERYTHING = {
    "providers": [
        {
            "name": "gemini",
            "kind": "Gemini",
            "keys": [{"name": "a", "file": "/etc/a", "limits": [{"tokensPerMinute": 10_000_000}]}],
            "limits": [{"requestsPerDay": 1000, "timeZone": "America/Los_Angeles"}],
        },
        {"name": "vertex", "kind": "VertexAI", "project": "p", "location": "global", "models": ["gemini-*"]},
        {
            "name": "azure",
            "kind": "OpenAI",
            "baseUrl": "https://acme.openai.azure.com/openai/v1",
            "keys": [{"name": "a", "file": "/etc/a"}],
            "keyHeader": "api-key",
            "headers": {"x-team": 'a "b" < c'},
            "apiVersion": "preview",
        },
    ],
    "aliases": {"team/fast": "gemini-flash-latest"},
    "namespaces": [{"names": ["team-*"], "allowedModels": [], "keys": {"gemini": ["a"]}}],
    "fallbacks": [{"model": "team/fast", "to": ["gemini-2.5-flash"], "after": "10s"}],
    "prices": [
        {
            "models": ["openai/ours"],
            "input": 0.075,
            "output": "1.10",
            "until": "2027-12-31",
            "tiers": [{"above": 200_000, "input": 1, "output": 2}],
        }
    ],
    "maxRequestBytes": "8Mi",
    "checker": {"url": "http://checker.security.svc/check", "timeout": "2s", "onFailure": "Allow"},
    "recordContent": "All",
    "defaults": {"maxLLMCalls": 1_000_000},
}


def test_the_models_values_are_rendered_unchanged(render):
    made = render(TRIAL, {"models": EVERYTHING})

    assert file_of(made) == EVERYTHING
    config.parse(made.one("ConfigMap", "-models")["data"]["models.yaml"])


def test_without_values_for_models_the_file_is_empty(trial):
    assert file_of(trial) == {"maxRequestBytes": "32Mi", "defaults": {"maxLLMCalls": 500}}


@pytest.mark.parametrize("said", [0, None])
def test_a_default_of_no_limit_is_rendered_as_no_limit(render, said):
    made = render(TRIAL, {"models": {"defaults": {"maxLLMCalls": said}}})

    assert config.parse(made.one("ConfigMap", "-models")["data"]["models.yaml"]).max_llm_calls is None


def names(node, path="") -> Iterator[str]:
    """The paths of all fields that a schema of the chart describes."""
    for name, inner in node.get("properties", {}).items():
        yield f"{path}{name}"
        yield from names(inner, f"{path}{name}.")
    if isinstance(node.get("items"), dict):
        yield from names(node["items"], path)


def fields(model: type[BaseModel], path="") -> Iterator[str]:
    """The paths of all fields of the file."""
    hints = get_type_hints(model)
    for name, field in model.model_fields.items():
        yield f"{path}{field.alias or name}"
        for inner in models_in(hints[name]):
            yield from fields(inner, f"{path}{field.alias or name}.")


def models_in(annotation) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for inner in get_args(annotation) for found in models_in(inner)}


def test_the_values_have_exactly_the_fields_of_the_file():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["models"]
    references = {f"providers.keys.secretKeyRef{end}" for end in ("", ".name", ".key")}

    described = set(names(schema)) - references

    assert described == set(fields(ModelsFile))


@pytest.mark.parametrize(
    ("models", "words"),
    [
        pytest.param({"providers": [{"name": "g", "kind": "Google"}]}, "'Gemini', 'OpenAI'", id="kind"),
        pytest.param({"providers": [{"name": "g", "kind": "Gemini", "key": "k"}]}, "'key' not allowed", id="misspelt"),
        pytest.param(
            {"providers": [{"name": "g", "kind": "Gemini", "keys": [{"name": "a"}]}]}, "/keys/0", id="no-source"
        ),
        pytest.param(
            {"providers": [{"name": "g", "kind": "Gemini", "keys": [{"name": "a", "value": "sk-secret"}]}]},
            "'value' not allowed",
            id="key-in-values",
        ),
        pytest.param(
            {"providers": [{"name": "g", "kind": "OpenAI", "baseUrl": "https://u:p@h"}]}, "/baseUrl", id="password"
        ),
        pytest.param({"providers": [{"name": "g", "kind": "Gemini"}]}, "/providers/0", id="no-key"),
        pytest.param({"providers": [{"name": "v", "kind": "VertexAI"}]}, "'project', 'location'", id="vertex"),
        pytest.param({"prices": [{"models": ["m"], "input": "1"}]}, "missing property 'output'", id="half-a-price"),
        pytest.param({"maxRequestBytes": "lots"}, "/maxRequestBytes", id="size"),
    ],
)
def test_an_invalid_value_is_refused_by_its_path(chart, helm, models, words):
    with pytest.raises(helm.HelmValuesError) as refused:
        chart.validate_schema(TRIAL | {"models": models})

    assert words in str(refused.value)


def test_a_changed_file_restarts_operator_and_proxy_and_a_changed_key_does_not(render):
    first, again, changed = (
        {
            part: pod(objects, part)["metadata"]["annotations"]["agentjobs.dev/models"]
            for part in ("operator", "model-proxy")
        }
        for objects in (
            render(TRIAL, provider(keys=[key("gemini")])),
            render(TRIAL, provider(keys=[key("gemini")])),
            render(TRIAL, provider(keys=[key("gemini"), key("second")])),
        )
    )

    assert first == again
    assert first["operator"] == first["model-proxy"] != changed["operator"] == changed["model-proxy"]


def test_a_stopping_pod_has_time_to_complete_streams(trial):
    spec = pod(trial, "model-proxy")["spec"]

    assert spec["terminationGracePeriodSeconds"] == 120
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 5


def test_without_the_proxy_none_of_its_objects_are_rendered(render):
    objects = render(TRIAL, {"modelProxy": {"enabled": False}})
    variables = [one["name"] for one in pod(objects, "operator")["spec"]["containers"][0]["env"]]

    assert "model-proxy" not in json.dumps([obj["metadata"]["name"] for obj in objects])
    # The operator still reads prices and the default of budgets.
    assert [name for name in variables if "MODELS" in name] == ["AGENTJOBS_MODELS_FILE"]


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        pytest.param({"https": "http://p:3128"}, "agentjobs-model-proxy.agentjobs-system.svc", id="ours-alone"),
        pytest.param(
            {"http": "http://p:3128", "noProxy": ".svc"}, ".svc,agentjobs-model-proxy.agentjobs-system.svc", id="both"
        ),
        pytest.param({}, None, id="no-proxy"),
    ],
)
def test_calls_to_the_model_proxy_bypass_an_http_proxy(render, proxy, expected):
    objects = render(TRIAL, {"proxy": proxy})
    variables = {one["name"]: one.get("value") for one in pod(objects, "operator")["spec"]["containers"][0]["env"]}
    given = json.loads(variables.get("AGENTJOBS_RUNNER_ENV", "{}"))

    assert given.get("NO_PROXY") == given.get("no_proxy") == expected
    assert [
        one["value"]
        for one in pod(objects, "model-proxy")["spec"]["containers"][0]["env"]
        if one["name"] == "HTTPS_PROXY"
    ] == [value for value in [proxy.get("https")] if value]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(
            {**provider(baseUrl=HOST), "modelProxy": {"enabled": False}},
            "only the model proxy",
            id="providers-without-proxy",
        ),
        pytest.param(
            {"models": {"providers": [{"name": "a", "kind": "OpenAI", "baseUrl": HOST}] * 2}},
            "two are named a",
            id="names",
        ),
    ],
)
def test_contradictory_values_are_refused_with_a_solution(render, helm, values, words):
    with pytest.raises(helm.HelmRenderError) as refused:
        render(TRIAL, values)

    assert words in str(refused.value)


@pytest.mark.parametrize("new", ["models", "modelProxy"])
@pytest.mark.parametrize("more", [{}, {"monitoring": {"monitors": {"enabled": True}}}], ids=["trial", "monitors"])
def test_values_of_an_earlier_chart_are_refused_with_the_flag_that_adds_the_new_ones(render, helm, more, new):
    with pytest.raises(helm.HelmRenderError) as refused:
        render(TRIAL, more, {new: None})

    assert f"have no {new}" in str(refused.value)
    assert "--reset-then-reuse-values" in str(refused.value)


PAGE = (CHART.parents[1] / "docs" / "how-to" / "models.md").read_text()
SHOWN = [block for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "models:\n" in block]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda text: re.sub(r"\W+", "-", text)[:40])
def test_the_documented_values_for_models_are_valid(render, shown):
    made = render(TRIAL, yaml.safe_load(shown))

    assert config.parse(made.one("ConfigMap", "-models")["data"]["models.yaml"]).providers
