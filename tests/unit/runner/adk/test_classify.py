"""The table of error classes, with the exceptions the libraries really raise."""

import errno
import json
from datetime import UTC, datetime

import httpx
import pydantic
import pytest
from google.adk.agents.invocation_context import LlmCallsLimitExceededError
from google.adk.utils._schema_utils import validate_schema
from google.genai import errors, types

from agentjobs_runner import Cancel, Permanent, Snooze
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.adk.finish_reasons import unfinished_ending
from agentjobs_runner.origins import Origin, Source, note_origin

MODEL, TOOL = Origin(Source.MODEL, "helper"), Origin(Source.TOOL, "find")

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def api(status, message="", headers=None, details=()):
    body = {"error": {"code": status, "message": message, "status": "X", "details": list(details)}}
    kind = errors.ClientError if status < 500 else errors.ServerError
    return kind(status, body, httpx.Response(status, headers=headers or {}))


def other_sdk(status, **more):
    """An error in the shape of the OpenAI and Anthropic SDKs, or of LiteLLM."""
    error = RuntimeError("said no")
    for name, value in {"status_code": status, **more}.items():
        setattr(error, name, value)
    return error


def invalid():
    class Mood(pydantic.BaseModel):
        mood: str

    try:
        Mood.model_validate_json("{}")
    except pydantic.ValidationError as error:
        return error


def misfit():
    """What ADK raises for an answer that does not fit an agent's output_schema."""

    class Mood(pydantic.BaseModel):
        mood: str

    try:
        validate_schema(Mood, "{}")
    except pydantic.ValidationError as error:
        return error


def ended(error, origin=None):
    if origin is not None:
        note_origin(error, origin)
    ending = classify(error, now=NOW)
    return ending.verdict.value, ending.reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(api(400, "bad"), ("Fail", "ModelBadRequest"), id="400"),
        pytest.param(api(400, "API key not valid"), ("Fail", "ModelAuth"), id="400-key"),
        pytest.param(api(400, details=[{"reason": "API_KEY_INVALID"}]), ("Fail", "ModelAuth"), id="400-key-in-details"),
        pytest.param(api(400, "prompt is too long: 300000 tokens"), ("Fail", "ContextTooLong"), id="400-too-long"),
        pytest.param(api(400, "maximum context length is 8192"), ("Fail", "ContextTooLong"), id="400-context-length"),
        pytest.param(api(401), ("Fail", "ModelAuth"), id="401"),
        pytest.param(api(403), ("Fail", "ModelAuth"), id="403"),
        pytest.param(api(404), ("Fail", "ModelBadRequest"), id="404"),
        pytest.param(api(408), ("Retry", "ModelTimeout"), id="408"),
        pytest.param(api(409), ("Retry", "ModelUnavailable"), id="409"),
        pytest.param(api(413), ("Fail", "ContextTooLong"), id="413"),
        pytest.param(api(422), ("Fail", "ModelBadRequest"), id="422"),
        pytest.param(api(425), ("Retry", "ModelUnavailable"), id="425"),
        pytest.param(api(429), ("Snooze", "ModelRateLimited"), id="429"),
        pytest.param(api(500), ("Retry", "ModelUnavailable"), id="500"),
        pytest.param(api(503), ("Retry", "ModelUnavailable"), id="503"),
        pytest.param(api(504), ("Retry", "ModelTimeout"), id="504"),
        pytest.param(api(529), ("Retry", "ModelUnavailable"), id="529"),
        pytest.param(other_sdk(429), ("Snooze", "ModelRateLimited"), id="another-sdks-429"),
        pytest.param(other_sdk(529), ("Retry", "ModelUnavailable"), id="another-sdks-529"),
        pytest.param(httpx.ConnectError("refused"), ("Retry", "ModelUnavailable"), id="connect-error"),
        pytest.param(httpx.RemoteProtocolError("cut"), ("Retry", "ModelUnavailable"), id="connection-cut"),
        pytest.param(ConnectionResetError("reset"), ("Retry", "ModelUnavailable"), id="connection-reset"),
        pytest.param(httpx.ReadTimeout("slow"), ("Retry", "ModelTimeout"), id="read-timeout"),
        pytest.param(TimeoutError(), ("Retry", "ModelTimeout"), id="timeout"),
        pytest.param(json.JSONDecodeError("no", "", 0), ("Retry", "ModelUnavailable"), id="garbage"),
        pytest.param(invalid(), ("Retry", "ModelUnavailable"), id="another-shape"),
        pytest.param(ValueError("No API key was provided."), ("Fail", "ModelAuth"), id="missing-key"),
        pytest.param(ValueError("Missing key inputs argument!"), ("Fail", "ModelAuth"), id="missing-key-of-genai"),
        pytest.param(RuntimeError("a bug"), ("Retry", "AgentError"), id="a-bug-in-a-model-class"),
    ],
)
def test_an_error_of_a_model_call_has_its_error_class(error, expected):
    assert ended(error, MODEL) == expected


@pytest.mark.parametrize(
    "error",
    [api(429), api(503), httpx.ConnectError("x"), TimeoutError(), ValueError("API key"), OSError(errno.ENOSPC, "full")],
    ids=lambda error: type(error).__name__,
)
def test_any_failure_inside_a_tool_is_a_tool_error(error):
    assert ended(error, TOOL) == ("Retry", "ToolError")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ValueError("a bug"), ("Retry", "AgentError"), id="exception"),
        pytest.param(SystemExit(3), ("Retry", "AgentError"), id="sys-exit"),
        pytest.param(KeyboardInterrupt(), ("Retry", "AgentError"), id="keyboard-interrupt"),
        pytest.param(GeneratorExit(), ("Retry", "AgentError"), id="generator-exit"),
        pytest.param(TimeoutError(), ("Retry", "AgentError"), id="timeout-of-the-agents-own"),
        pytest.param(OSError(errno.ENOSPC, "no space left"), ("Retry", "IO"), id="disk-full"),
        pytest.param(OSError(errno.ENOENT, "no such file"), ("Retry", "AgentError"), id="missing-file"),
        pytest.param(invalid(), ("Retry", "AgentError"), id="validation-of-the-agents-own"),
        pytest.param(misfit(), ("Retry", "ResultError"), id="answer-of-another-schema"),
        pytest.param(
            ValueError("Transfer target agent 'editor' not found."), ("Retry", "ResultError"), id="made-up-agent"
        ),
        pytest.param(LlmCallsLimitExceededError("500"), ("Fail", "BudgetExceeded"), id="adks-limit-of-calls"),
        pytest.param(ValueError("Model gpt-x not found.\n\nhelp"), ("Fail", "ConfigInvalid"), id="unknown-model"),
        pytest.param(KeyError("Context variable not found: `x`."), ("Fail", "ConfigInvalid"), id="unknown-state"),
        pytest.param(api(503), ("Retry", "ModelUnavailable"), id="a-models-error-outside-of-adks-flow"),
    ],
)
def test_an_error_of_the_agents_code_has_its_error_class(error, expected):
    assert ended(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(Snooze(60, "later"), ("Snooze", "Snoozed"), id="snooze"),
        pytest.param(Cancel("unwanted"), ("Cancel", "Cancelled"), id="cancel"),
        pytest.param(Permanent("never"), ("Fail", "Permanent"), id="permanent"),
    ],
)
@pytest.mark.parametrize("origin", [TOOL, MODEL, None])
def test_an_ending_requested_by_user_code_has_precedence(error, expected, origin):
    wrapped = RuntimeError("Error in plugin 'x'")
    wrapped.__cause__ = ExceptionGroup("of parallel agents", [ValueError("beside it"), error])

    assert ended(wrapped, origin) == expected


def test_a_reason_can_be_the_caught_error():
    ending = classify(Permanent(ValueError("no such shop")), now=NOW)

    assert (ending.reason, ending.message) == ("Permanent", "no such shop")


@pytest.mark.parametrize(
    ("error", "message"),
    [(Permanent(""), "Permanent"), (Cancel(""), "Cancel"), (Permanent(ValueError()), "ValueError")],
)
def test_an_empty_reason_is_replaced_by_the_name_of_the_exception(error, message):
    assert classify(error, now=NOW).message == message


class Wordless(Exception):
    def __str__(self):
        raise SystemExit(3)


class Unreadable(Exception):
    @property
    def code(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize("error", [Wordless(), Unreadable(), SystemExit(Wordless())], ids=lambda it: type(it).__name__)
def test_an_error_whose_methods_raise_is_an_agent_error(error):
    assert ended(error) == ("Retry", "AgentError")


def test_a_cause_deep_in_a_plugins_error_is_found():
    cause = api(503)
    outer = RuntimeError("Error in plugin 'x'")
    outer.__cause__ = cause

    note_origin(cause, MODEL)
    ending = classify(outer, now=NOW)

    assert ending.reason == "ModelUnavailable"


def test_a_cycle_of_causes_terminates():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one

    assert ended(one) == ("Retry", "AgentError")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        pytest.param(api(429, headers={"Retry-After": "17"}), 17.0, id="seconds"),
        pytest.param(api(429, headers={"Retry-After": "1.5"}), 1.5, id="fraction"),
        pytest.param(api(429, headers={"Retry-After": "Sat, 21 Nov 2026 12:01:00 GMT"}), 60.0, id="date"),
        pytest.param(api(429, headers={"Retry-After": "Sat, 21 Nov 2026 11:00:00 GMT"}), 1.0, id="date-in-the-past"),
        pytest.param(api(429, headers={"Retry-After": "0"}), 1.0, id="zero"),
        pytest.param(api(429, headers={"Retry-After": "999999999"}), 366 * 86400.0, id="years"),
        pytest.param(api(429, headers={"Retry-After": "soon"}), 30.0, id="garbage"),
        pytest.param(api(429, details=[{"retryDelay": "9.5s"}]), 9.5, id="retry-info"),
        pytest.param(api(429, details=[{"retryDelay": 7}, "odd"]), 30.0, id="retry-info-of-another-shape"),
        pytest.param(
            other_sdk(429, litellm_response_headers={"retry-after": "4"}, response=httpx.Response(429)),
            4.0,
            id="litellm-whose-response-is-of-its-own-making",
        ),
    ],
)
def test_a_rate_limit_snoozes_for_its_delay_or_thirty_seconds(error, seconds):
    note_origin(error, MODEL)
    ending = classify(error, now=NOW)

    assert ending.delay_seconds == seconds


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((name, ("Fail", "ContentBlocked")) for name in ("SAFETY", "RECITATION", "SPII", "JAILBREAK")),
        *((name, ("Retry", "ResultError")) for name in ("MALFORMED_FUNCTION_CALL", "OTHER", "Odd")),
        ("MAX_TOKENS", ("Fail", "ModelOutputTruncated")),
        (types.FinishReason.MAX_TOKENS, ("Fail", "ModelOutputTruncated")),
        ("429", ("Snooze", "ModelRateLimited")),
        ("503", ("Retry", "ModelUnavailable")),
    ],
)  # fmt: skip
def test_an_error_code_in_an_event_has_its_error_class(code, expected):
    ending = unfinished_ending(code, "")

    assert (ending.verdict.value, ending.reason) == expected
    assert ending.delay_seconds == (30.0 if code == "429" else None)


@pytest.mark.parametrize("after", [-1, float("nan")])
def test_a_snooze_into_the_past_is_refused(after):
    with pytest.raises(ValueError, match="0 seconds or more"):
        Snooze(after)


def raised_while_preparing(error, module):
    """`error`, raised in `module` while ADK prepared a request."""
    spaces = {"__name__": module, "error": error}, {"__name__": "google.adk.flows.llm_flows.base_llm_flow"}
    exec("def ask(): raise error", spaces[0])  # the test's own text
    exec("def _preprocess_async(ask): ask()", spaces[1])
    try:
        spaces[1]["_preprocess_async"](spaces[0]["ask"])
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "module", "reason"),
    [
        pytest.param(ValueError("no"), "google.adk.tools.google_search_tool", "ConfigInvalid", id="refused-by-adk"),
        pytest.param(ValueError("no"), "mcp.client.session", "AgentError", id="a-server-said-something-odd"),
        pytest.param(RuntimeError("cancel scope"), "google.adk.runners", "AgentError", id="a-task-was-cancelled"),
        pytest.param(ConnectionError("away"), "google.adk.tools.x", "AgentError", id="a-server-is-away"),
    ],
)
def test_only_errors_that_do_not_depend_on_a_request_are_invalid_definitions(error, module, reason):
    assert ended(raised_while_preparing(error, module))[1] == reason
