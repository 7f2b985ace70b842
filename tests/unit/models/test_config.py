"""What an installation's models file allows, and what is refused in it."""

import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.contract import ErrorClass
from agentjobs.errors import Misconfigured
from agentjobs.models import models_file
from agentjobs.models.config import ModelRefusal, Models, Route, parse, read, report_for
from agentjobs.models.environment import from_environment, installed
from agentjobs.models.models_file import Counts
from agentjobs.models.names import Api, Kind
from agentjobs.models.prices import Entry, Tier

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "models-file.md"
GEMINI = """
providers:
  - name: gemini
    kind: Gemini
    keys: [{name: main, file: /keys/gemini}, {name: team-a, file: /keys/team-a}]
  - name: openai
    kind: OpenAI
    keys: [{name: main, file: /keys/openai}]
"""
FORMS = [kind for kind in vars(models_file).values() if isinstance(kind, type) and issubclass(kind, models_file.Form)]
TODAY = date(2026, 11, 29)
VERTEX = "{name: v, kind: VertexAI, project: p, location: global}"


def keys(route):
    return [key.name for candidate in route.candidates for key in candidate.keys]


def test_a_model_is_answered_by_the_provider_that_serves_it():
    route = parse(GEMINI).resolve("gemini-2.5-pro", "default", on=TODAY)

    assert isinstance(route, Route)
    assert (route.model, route.api, keys(route)) == ("gemini-2.5-pro", Api.GEMINI, ["gemini/main", "gemini/team-a"])
    assert route.candidates[0].provider.base_url == "https://generativelanguage.googleapis.com"
    assert route.price is not None
    assert route.max_output == 65536


@pytest.mark.parametrize(
    ("asked", "api", "model"),
    [
        ("gpt-5", Api.OPENAI, "openai/gpt-5"),
        ("team/fast", Api.OPENAI, "openai/gpt-5-mini"),
        ("fast", Api.OPENAI, "openai/gpt-5-nano"),
        ("team/fast", None, "openai/gpt-5-mini"),
        ("twice", None, "openai/gpt-5-mini"),
        ("models/gemini-2.5-pro", Api.GEMINI, "gemini-2.5-pro"),
        ("gemini/gemini-2.5-pro", Api.GEMINI, "gemini-2.5-pro"),
        ("gemini/models/gemini-2.5-pro", Api.GEMINI, "gemini-2.5-pro"),
        ("gemini/gemini-2.5-pro", None, "gemini-2.5-pro"),
        ("text-embedding-004", Api.GEMINI, "gemini/text-embedding-004"),
    ],
)
def test_an_alias_or_an_apis_own_name_is_resolved_to_a_model(asked, api, model):
    models = parse(
        GEMINI + "aliases: {team/fast: openai/gpt-5-mini, twice: team/fast, openai/fast: openai/gpt-5-nano}\n"
    )

    route = models.resolve(asked, "default", api=api)

    assert isinstance(route, Route)
    assert (route.requested, route.model) == (asked, model)


@pytest.mark.parametrize(
    ("asked", "api", "error"),
    [
        ("../../v1/files", Api.OPENAI, ErrorClass.MODEL_BAD_REQUEST),
        ("gemini-2.5-pro/../..", Api.GEMINI, ErrorClass.MODEL_BAD_REQUEST),
        ("gpt-5", None, ErrorClass.MODEL_BAD_REQUEST),
        ("team/fast", Api.GEMINI, ErrorClass.MODEL_BAD_REQUEST),
        ("claude-opus-5", Api.ANTHROPIC, ErrorClass.MODEL_AUTH),
        ("scripted/a/b", None, ErrorClass.MODEL_BAD_REQUEST),
    ],
)
def test_a_model_that_cannot_be_called_is_refused_with_an_error_class(asked, api, error):
    refused = parse(GEMINI + "aliases: {team/fast: openai/gpt-5-mini}\n").resolve(asked, "default", api=api)

    assert isinstance(refused, ModelRefusal)
    assert refused.error is error


def test_the_refusal_without_a_provider_says_where_to_add_one():
    assert "models.yaml" in parse("").resolve("gemini-2.5-pro", "d").message
    assert "OPENAI_API_KEY" in from_environment({}).resolve("openai/gpt-5", "d").message


POLICY = """
namespaces:
  - names: [team-a, "team-a-*"]
    allowedModels: ["gemini-*", team/big]
    keys: {gemini: [team-a]}
  - names: ["*-closed"]
    allowedModels: []
  - names: [poor]
    keys: {gemini: []}
aliases: {team/big: openai/gpt-5}
"""


def test_the_key_of_a_namespace_is_used_only_by_it():
    models = parse(GEMINI + POLICY)

    assert keys(models.resolve("gemini-2.5-pro", "team-a-2")) == ["gemini/team-a"]
    assert keys(models.resolve("gemini-2.5-pro", "default")) == ["gemini/main"]
    assert models.resolve("gemini-2.5-pro", "poor").error is ErrorClass.MODEL_AUTH


@pytest.mark.parametrize(
    ("namespace", "asked", "api", "allowed"),
    [
        ("team-a", "gemini-2.5-pro", None, True),
        ("team-a", "team/big", None, True),
        ("team-a", "openai/gpt-5", None, True),  # what team/big stands for, and what a runner asks for
        ("team-a", "gpt-5", Api.OPENAI, True),
        ("team-a", "openai/gpt-5-mini", None, False),
        ("team-a", "gemini-own", Api.OPENAI, False),
        ("x-closed", "gemini-2.5-pro", None, False),
        ("default", "openai/gpt-5", None, True),
    ],
)
def test_a_namespace_can_use_only_its_allowed_models(namespace, asked, api, allowed):
    answer = parse(GEMINI + POLICY).resolve(asked, namespace, api=api)

    assert isinstance(answer, Route) if allowed else answer.error is ErrorClass.MODEL_NOT_ALLOWED


def test_a_fallback_is_used_only_if_the_namespace_can_use_it():
    text = GEMINI + POLICY + "fallbacks: [{model: openai/gpt-5, to: [openai/gpt-4.1, openai/gpt-5-mini], after: 20s}]\n"

    route = parse(text).resolve("openai/gpt-5", "default")

    assert [other.model for other in route.fallbacks] == ["openai/gpt-4.1", "openai/gpt-5-mini"]
    assert route.fallback_after == timedelta(seconds=20)
    assert parse(text).resolve("team/big", "team-a").fallbacks == ()


LIMITED = """
providers:
  - name: gemini
    kind: Gemini
    keys:
      - {name: main, file: /keys/a}
      - {name: small, file: /keys/b, limits: [{concurrentCalls: 2}]}
    limits:
      - {models: ["gemini-*-pro"], requestsPerMinute: 60, requestsPerDay: 1000, timeZone: America/Los_Angeles}
      - {models: ["gemini-2.5-*"], inputTokensPerMinute: 100000}
      - {tokensPerMinute: 900000}
"""


def test_every_limit_that_names_a_model_applies_to_each_key():
    main, small = parse(LIMITED).resolve("gemini-2.5-pro", "d").candidates[0].keys

    assert [(quota.counts, quota.most, quota.window) for quota in main.quotas] == [
        (Counts.REQUESTS, 60, 60.0),
        (Counts.REQUESTS, 1000, 86400.0),
        (Counts.INPUT_TOKENS, 100000, 60.0),
        (Counts.TOKENS, 900000, 60.0),
    ]
    assert main.quotas[1].time_zone == "America/Los_Angeles"
    assert [(quota.counts, quota.most, quota.window) for quota in small.quotas] == [(Counts.CALLS, 2, 0.0)]


@pytest.mark.parametrize("number", ["2000000", "2e+06", "2.0e+06", "2E6"])
def test_a_large_number_is_read_in_any_format_of_helm(number):
    text = f"providers: [{{name: a, kind: OpenAI, baseUrl: 'http://x', limits: [{{tokensPerMinute: {number}}}]}}]"

    assert parse(text).resolve("openai/x", "d").candidates[0].keys[0].quotas[0].most == 2_000_000


@pytest.mark.parametrize("number", ["1.5", "'5'", "1e99", "0x10", "-1", "true"])
def test_an_invalid_count_is_refused(number):
    with pytest.raises(Misconfigured, match="tokensPerMinute"):
        parse(f"providers: [{{name: a, kind: OpenAI, baseUrl: 'http://x', limits: [{{tokensPerMinute: {number}}}]}}]")


def test_models_of_a_group_share_a_limit_and_keys_do_not():
    models = parse(LIMITED)
    pro, flash = (models.resolve(name, "d").candidates[0].keys for name in ("gemini-2.5-pro", "gemini-2.5-flash"))

    shared = {quota.bucket for quota in pro[0].quotas} & {quota.bucket for quota in flash[0].quotas}
    assert shared == {"gemini/main gemini-2.5-* inputTokensPerMinute", "gemini/main * tokensPerMinute"}
    assert not {quota.bucket for quota in pro[0].quotas} & {quota.bucket for quota in pro[1].quotas}


def test_a_custom_host_needs_no_key():
    route = parse("providers: [{name: vllm, kind: OpenAI, baseUrl: 'http://vllm:8000/v1/'}]").resolve("openai/q", "d")

    assert route.candidates[0].provider.base_url == "http://vllm:8000/v1"
    assert [(key.name, key.source) for key in route.candidates[0].keys] == [("vllm/none", None)]


def test_azure_has_its_own_header_and_version():
    text = "providers: [{name: a, kind: OpenAI, baseUrl: 'https://x.openai.azure.com/openai', keyHeader: api-key,"
    route = parse(text + " apiVersion: 2024-10-21, keys: [{name: m, file: /k}]}]").resolve("openai/gpt-5", "d")

    provider = route.candidates[0].provider
    assert (provider.key_header, provider.api_version) == ("api-key", "2024-10-21")


@pytest.mark.parametrize(
    ("location", "base"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
    ],
)
def test_vertex_has_models_of_two_apis_at_its_location(location, base):
    models = parse(f"providers: [{VERTEX.replace('global', location)}]")

    for name in ("gemini-2.5-pro", "anthropic/claude-opus-5"):
        provider = models.resolve(name, "d").candidates[0].provider
        assert (provider.kind, provider.base_url, provider.project) == (Kind.VERTEX_AI, base, "p")


FLAWS = [
    ("providers:\n- {name: a, kind: Gemni}", 2, "providers[0].kind", "did you mean Gemini?"),
    ("providers:\n- {name: A b, kind: Gemini}", 2, "providers[0].name", "is not a name"),
    (
        "providers:\n- {name: a, kind: OpenAI, keys: [{name: m, file: /k, secret: x}]}",
        2,
        "providers[0].keys[0].secret",
        "name, file, limits",
    ),
    ("providers:\n- {nmae: a}", 2, "providers[0].nmae", "did you mean name?"),
    ("providers:\n- {name: a, kind: Gemini}", 2, "providers[0]", "has no key"),
    ("providers:\n- {name: v, kind: VertexAI}", 2, "providers[0]", "location is required"),
    ("providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', project: p}", 2, "providers[0].project", "remove it"),
    ("providers:\n- {name: a, kind: OpenAI, baseUrl: 'ftp://x'}", 2, "providers[0].baseUrl", "is not an address"),
    ("providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x?a=b'}", 2, "providers[0].baseUrl", "must not have user"),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x:99999'}",
        2,
        "providers[0].baseUrl",
        "is not an address",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', models: [gpt-5]}",
        2,
        "providers[0].models[0]",
        "names begin with openai/",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', limits: [{models: ['gpt-*'], concurrentCalls: 1}]}",
        2,
        "providers[0].limits[0].models[0]",
        "provider a",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', limits: [{}]}",
        2,
        "providers[0].limits[0]",
        "requestsPerMinute",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', limits: [{concurrentCalls: 0}]}",
        2,
        "providers[0].limits[0].concurrentCalls",
        "at least 1",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', limits: [{requestsPerDay: 1, timeZone: Mars}]}",
        2,
        "providers[0].limits[0].timeZone",
        "time zone",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', headers: {Host: y}}",
        2,
        "providers[0].headers",
        "cannot be set here",
    ),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x', headers: {X-A: 1}}",
        2,
        "providers[0].headers",
        "ASCII",
    ),
    ("providers: a", 1, "providers", "is not a list"),
    (
        "providers:\n- {name: a, kind: OpenAI, baseUrl: 'http://x'}\n- {name: a, kind: OpenAI, baseUrl: 'http://x'}",
        3,
        "providers[1].name",
        "is given twice",
    ),
    (GEMINI + "aliases:\n  a: b\n  b: a", 10, "aliases.a", "leads back"),
    (GEMINI + "aliases:\n  a: gpt-5", 10, "aliases.a", "openai/…"),
    (GEMINI + "aliases:\n  a: anthropic/x", 10, "aliases.a", "(gemini, openai)"),
    (GEMINI + "aliases:\n  gemini-x: openai/gpt-5", 10, "aliases.gemini-x", "cannot be an alias"),
    (GEMINI + "aliases:\n  a b: openai/gpt-5", 10, 'aliases["a b"]', "model name"),
    (
        GEMINI + "namespaces:\n- {names: [a], keys: {gemni: [x]}}",
        10,
        "namespaces[0].keys.gemni",
        "did you mean gemini?",
    ),
    (GEMINI + "namespaces:\n- {names: [a], keys: {gemini: [man]}}", 10, "namespaces[0].keys.gemini[0]", "mean main?"),
    (GEMINI + "namespaces:\n- {names: []}", 10, "namespaces[0].names", "use at least 1"),
    (GEMINI + "namespaces:\n- {names: [a], allowedModels: [x]}", 10, "namespaces[0].allowedModels[0]", "no alias"),
    (
        GEMINI + "fallbacks:\n- {model: gemini-2.5-pro, to: [openai/gpt-5]}",
        10,
        "fallbacks[0].to[0]",
        "has another API",
    ),
    (GEMINI + "fallbacks:\n- {model: gemini-x, to: [gemini-x]}", 10, "fallbacks[0].to[0]", "is the model itself"),
    (
        GEMINI + "fallbacks:\n- {model: anthropic/x, to: [gemini-x]}",
        10,
        "fallbacks[0].model",
        "no provider serves",
    ),
    (
        GEMINI + "aliases: {a: gemini-x}"
        "\nfallbacks:\n- {model: gemini-x, to: [gemini-y]}\n- {model: a, to: [gemini-y]}",
        12,
        "fallbacks[1].model",
        "is given twice",
    ),
    (GEMINI + "fallbacks:\n- {model: gemini-x, to: [gemini-y], after: 30}", 10, "fallbacks[0].after", "e.g. 90s"),
    ("maxRequestBytes: 32MB", 1, "maxRequestBytes", "e.g. 32Mi"),
    ("checker: {url: 'http://x', onFailure: Maybe}", 1, "checker.onFailure", "use Deny, Allow"),
    ("recordContent: Some", 1, "recordContent", "is not allowed"),
    (GEMINI + "namespaces:\n- {names: [no]}", 10, "namespaces[0].names[0]", "write it in quotes"),
    ("prices:\n- {models: [1], input: 1, output: 1}", 2, "prices[0].models[0]", "write it in quotes"),
    ("defaults: {maxLLMCalls: 0}", 1, "defaults.maxLLMCalls", "use at least 1"),
    ("prices:\n- {models: [a], input: x, output: '1'}", 2, "prices[0].input", "is not an amount"),
    ("- a", 1, "", "is not an object"),
]


@pytest.mark.parametrize(("text", "line", "field", "words"), FLAWS, ids=[flaw[2] + flaw[3][:12] for flaw in FLAWS])
def test_a_problem_is_reported_with_line_field_and_solution(text, line, field, words):
    with pytest.raises(Misconfigured) as refused:
        parse(text, "m.yaml")

    told = next(one for one in str(refused.value).splitlines() if words in one)
    assert told.startswith(f"m.yaml:{line}: {field}: " if field else f"m.yaml:{line}: ")


def test_all_problems_are_reported_in_the_order_of_lines():
    with pytest.raises(Misconfigured) as refused:
        parse("aliases: {a: 1}\nproviders:\n- {name: a, kind: b}\n- {name: c}\nunknown: 1", "m.yaml")

    assert [one.split(":")[1] for one in str(refused.value).splitlines()] == ["1", "3", "4", "5"]


SECRET = "sk-live-1234567890"


@pytest.mark.parametrize(
    "provider",
    [
        f"{{name: a, kind: OpenAI, keys: [{{name: m, file: {SECRET}}}]}}",
        f"{{name: a, kind: OpenAI, keys: [{{name: m, key: {SECRET}}}]}}",
        f"{{name: a, kind: OpenAI, keys: [{{name: m, value: {SECRET}, file: 3}}]}}",
        f"{{name: a, kind: OpenAI, keys: {SECRET}}}",
        f"{{name: a, kind: OpenAI, keys: [{SECRET}]}}",
        f"{{name: a, kind: OpenAI, apiKey: {SECRET}}}",
        f"{{name: a, kind: OpenAI, baseUrl: 'https://user:{SECRET}@x'}}",
        f"{{name: a, kind: OpenAI, baseUrl: 'https://x?key={SECRET}'}}",
        f"{{name: a, kind: OpenAI, headers: {{Authorization: {SECRET}}}}}",
        f"{{name: a, kind: OpenAI, headers: {{X-A: '{SECRET}\\n'}}}}",
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown(provider):
    with pytest.raises(Misconfigured) as refused:
        parse(f"providers: [{provider}]")

    assert SECRET not in str(refused.value)


WORDS = ["providers", "name", "kind", "keys", "file", "limits", "models", "aliases", "namespaces", "names", "to"]
WORDS += [
    "prices",
    "input",
    "tiers",
    "headers",
    "checker",
    "url",
    "allowedModels",
    "fallbacks",
    "baseUrl",
    "<<",
    "after",
]
LEAVES = st.sampled_from([SECRET, "Gemini", "gemini-*", "/keys/a", "1", 1, -1, 1.5, True, None, "http://x", "30s", "a"])
TREES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(WORDS), below, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_any_file_is_read_or_refused_without_showing_a_key(tree):
    try:
        models = parse(yaml.safe_dump(tree))
    except Misconfigured as refused:
        told = str(refused)
        assert all(re.match(r"models\.yaml:[0-9]+: ", line) for line in told.splitlines())
        # Names of models, aliases and the like are shown; keys stand in these places.
        for line in told.splitlines():
            if re.match(r"models\.yaml:[0-9]+: (providers.*\.(keys|file|baseUrl|headers)|checker\.url)\b", line):
                assert SECRET not in line
    else:
        models.report(TODAY)
        models.resolve("gemini-2.5-pro", "default")


LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))


@pytest.mark.parametrize(
    "text", [LAUGHS, "a: &a [*a]", "[" * 2000, "a: b: c", "\x00", "a: !!python/object:os.system x", "%"]
)
def test_unsupported_yaml_is_refused(text):
    with pytest.raises(Misconfigured, match=r"models\.yaml:[0-9]+: "):
        parse(text)


def test_a_key_is_read_again_each_time(tmp_path):
    file = tmp_path / "key"
    file.write_text("one\n")
    key = parse(f"providers: [{{name: a, kind: OpenAI, keys: [{{name: m, file: {file}}}]}}]").resolve("openai/x", "d")
    source = key.candidates[0].keys[0].source

    assert source.read() == "one"
    file.write_text("two")
    assert source.read() == "two"


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"\xff\xfe", b"a" * 70_000, b"aaa\naaa", b"aaa\0", b"\xef\xbb\xbfaaa", None]
)
def test_an_invalid_key_file_is_named_and_its_content_is_not_shown(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    models = parse(f"providers: [{{name: a, kind: OpenAI, keys: [{{name: m, file: {file}}}]}}]")

    with pytest.raises(Misconfigured, match=re.escape(str(file))) as failed:
        models.resolve("openai/x", "d").candidates[0].keys[0].source.read()
    assert "aaa" not in str(failed.value)


@pytest.mark.parametrize("value", ["two\nlines", "a space", "\ufeffmark", "k\r\nX-Other: y"])
def test_an_invalid_key_variable_is_named_and_its_value_is_not_shown(value):
    source = from_environment({"OPENAI_API_KEY": value}).resolve("openai/x", "d").candidates[0].keys[0].source

    with pytest.raises(Misconfigured, match="OPENAI_API_KEY") as failed:
        source.read()
    assert value not in str(failed.value)


def test_a_fallback_and_an_alias_apply_to_all_names_of_a_model():
    models = parse(
        GEMINI
        + "aliases: {fast: gemini/gemini-2.5-flash}\n"
        + "fallbacks:\n- {model: gemini/gemini-2.5-pro, to: [gemini/gemini-2.5-flash]}"
    )

    assert models.canonical("fast") == "gemini-2.5-flash"
    assert [other.model for other in models.resolve("gemini-2.5-pro", "d").fallbacks] == ["gemini-2.5-flash"]


@pytest.mark.parametrize(
    ("environ", "model", "base", "key"),
    [
        ({"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "l"}, "gemini-x", "https://generativelanguage.googleapis.com", "k"),
        ({"GEMINI_API_KEY": "l"}, "gemini-x", "https://generativelanguage.googleapis.com", "l"),
        ({"GOOGLE_API_KEY": " ", "GEMINI_API_KEY": "l"}, "gemini-x", "https://generativelanguage.googleapis.com", "l"),
        ({"GEMINI_API_KEY": "l", "GOOGLE_GEMINI_BASE_URL": "http://g/"}, "gemini-x", "http://g", "l"),
        ({"OPENAI_BASE_URL": "http://vllm/v1"}, "openai/x", "http://vllm/v1", None),
        ({"OPENAI_API_KEY": "k"}, "openai/x", "https://api.openai.com/v1", "k"),
        ({"ANTHROPIC_AUTH_TOKEN": "t"}, "anthropic/x", "https://api.anthropic.com", "t"),
    ],
)
def test_the_environment_variables_are_those_of_the_providers_clients(environ, model, base, key):
    candidate = from_environment(environ).resolve(model, "d").candidates[0]

    assert candidate.provider.base_url == base
    assert [one.source and one.source.read() for one in candidate.keys] == [key]


def test_a_token_of_anthropic_is_sent_in_the_authorization_header():
    of = from_environment

    assert of({"ANTHROPIC_AUTH_TOKEN": "t"}).providers[0].key_header == "Authorization"
    assert of({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_AUTH_TOKEN": "t"}).providers[0].key_header == "x-api-key"


def test_the_environment_can_select_vertex(tmp_path):
    environ = {"GOOGLE_GENAI_USE_VERTEXAI": "True", "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_API_KEY": "k"}
    file = tmp_path / "account.json"
    file.write_text("{}")

    candidate = from_environment(environ).resolve("gemini-x", "d").candidates[0]
    provider = candidate.provider

    assert (provider.kind, provider.project, provider.location, candidate.keys[0].source) == (
        Kind.VERTEX_AI,
        "p",
        "global",
        None,
    )
    given = from_environment({**environ, "GOOGLE_APPLICATION_CREDENTIALS": str(file)}).resolve("gemini-x", "d")
    assert given.candidates[0].keys[0].source.read() == "{}"


def test_the_newer_variable_of_vertex_has_precedence_even_if_it_is_false():
    both = {"GOOGLE_GENAI_USE_ENTERPRISE": "false", "GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_API_KEY": "k"}
    newer = {"GOOGLE_GENAI_USE_ENTERPRISE": "1", "GOOGLE_CLOUD_PROJECT": "p"}

    assert [from_environment(environ).providers[0].kind for environ in (both, newer)] == [Kind.GEMINI, Kind.VERTEX_AI]


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"OPENAI_BASE_URL": f"http://u:{SECRET}@x"}, "OPENAI_BASE_URL"),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "1"}, "GOOGLE_CLOUD_PROJECT"),
        (
            {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "x/../y"},
            "GOOGLE_CLOUD_LOCATION",
        ),
    ],
)
def test_an_invalid_variable_is_named(environ, variable):
    with pytest.raises(Misconfigured, match=f"^{variable}: ") as refused:
        from_environment(environ)

    assert SECRET not in str(refused.value)


def test_descriptions_for_users_contain_no_key_and_no_key_file():
    models = from_environment({"OPENAI_API_KEY": SECRET})
    filed = parse(GEMINI + POLICY)

    assert SECRET not in json.dumps(models.report(TODAY)) + repr(models.resolve("openai/x", "d"))
    assert "/keys/" not in json.dumps(filed.report(TODAY))


@pytest.mark.parametrize(
    ("namespace", "gemini", "allowed"),
    [
        ("default", ["gemini/main"], None),
        ("team-a", ["gemini/team-a"], ["gemini-*", "team/big"]),
        ("poor", [], None),
        ("x-closed", ["gemini/main"], []),
    ],
)
def test_the_description_for_a_namespace_has_the_keys_that_it_uses(namespace, gemini, allowed):
    models = parse(GEMINI + POLICY)
    told = report_for(json.loads(json.dumps(models.report(TODAY))), namespace)

    assert [key["name"] for key in told["providers"][0]["keys"]] == gemini
    assert told["allowedModels"] == allowed
    assert "namespaces" not in told
    route = models.resolve("gemini-2.5-pro", namespace)
    assert (keys(route) if isinstance(route, Route) else []) in (gemini, [])


def test_descriptions_have_todays_prices_of_served_models():
    told = parse(GEMINI + "prices: [{models: [openai/own], input: '0.5', output: 1}]").report(TODAY)["prices"]
    named = {name: one for one in told for name in one["models"]}

    assert (named["openai/own"]["input"], named["openai/own"]["thinking"]) == ("0.5", "1")
    assert named["gemini-2.5-pro"]["tiers"][0]["above"] == 200_000
    assert named["gemini-4-carbon*"] | {"models": []} == named["gemini-4-argon*"] | {"models": []}
    assert named["gemini-4-carbon*"]["until"] == "2026-11-30"
    assert not [name for name in named if name.startswith("anthropic/")]


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(Misconfigured, match=r"models\.yaml"):
        read(tmp_path / "models.yaml")


def test_the_file_has_precedence_over_the_environment(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(GEMINI)

    assert [provider.name for provider in installed(file, {"ANTHROPIC_API_KEY": "k"}).providers] == ["gemini", "openai"]
    assert [provider.name for provider in installed(None, {"ANTHROPIC_API_KEY": "k"}).providers] == ["anthropic"]


def test_the_default_budget_is_five_hundred_calls_unless_the_file_sets_it():
    assert [
        parse(text).max_llm_calls for text in ("", "defaults: {maxLLMCalls: 9}", "defaults: {maxLLMCalls: null}")
    ] == [
        500,
        9,
        None,
    ]


@pytest.mark.parametrize("form", [*FORMS, Entry, Tier], ids=lambda form: form.__name__)
def test_every_field_is_in_the_reference(form):
    text = REFERENCE.read_text("utf-8")

    assert [field.alias for field in form.model_fields.values() if not re.search(rf"\b{field.alias}\b", text)] == []


def test_the_example_of_the_reference_is_a_valid_models_file():
    example = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL)[0]

    models = parse(example)

    assert isinstance(models, Models)
    assert isinstance(models.resolve("team/fast", "research"), Route)
