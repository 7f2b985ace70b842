"""Real errors of providers and their classes: every row of `provider_errors.TABLE` has a recorded message."""

from datetime import UTC, datetime

import httpx
import pytest
from google.genai import errors

from agentjobs_runner import provider_errors
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.endings import ProviderFailed
from agentjobs_runner.origins import Origin, Source, note_origin

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OVER_QUOTA = "You exceeded your current quota, please check your plan and billing details."
ERROR_CODES = "For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes."


def google(status, message, name="INVALID_ARGUMENT", details=()):
    """As Gemini and Vertex say it, through google-genai."""
    body = {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    kind = errors.ClientError if status < 500 else errors.ServerError
    return kind(status, body, httpx.Response(status))


def sdk(status, body, headers=None):
    """As the clients of OpenAI and Anthropic say it: `body` is what is below `error`."""
    error = RuntimeError(f"Error code: {status} - {body}")
    error.status_code, error.body, error.response = status, body, httpx.Response(status, headers=headers or {})
    return error


def openai(status, message, kind=None, code=None, **more):
    return sdk(status, {"message": message, "type": kind, "param": None, "code": code, **more})


def claude(status, kind, message):
    return sdk(status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


def litellm(status, kind, message):
    error = type(kind, (Exception,), {"__module__": "litellm.exceptions"})(message)
    error.status_code, error.message = status, message
    return error


def in_200(message, **more):
    return ProviderFailed({"error": {"message": message, **more}})


def quota(name, value, wait):
    violation = {"quotaMetric": "m", "quotaId": name, "quotaDimensions": {"model": "m"}, "quotaValue": value}
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
    return [failure, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait}]


def judged(error):
    note_origin(error, Origin(Source.MODEL, "helper"))
    return classify(error, now=NOW)


TOO_LONG = {
    "gemini": google(400, "The input token count (1200311) exceeds the maximum number of tokens allowed (1048576)."),
    "vertex": google(
        400, "Unable to submit request because the input token count is 40000 but model only supports up to 32768."
    ),
    "openai": openai(
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130011 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "gpt-5": openai(400, "Input tokens exceed the configured limit of 272000 tokens.", "invalid_request_error"),
    "openai-per-minute": openai(
        429,
        "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 45000.",
        "tokens",
        "rate_limit_exceeded",
    ),
    "groq": openai(
        400,
        "Please reduce the length of the messages or completion.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "groq-per-minute": openai(
        413,
        "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your "
        "message size and try again.",
        "tokens",
        "rate_limit_exceeded",
    ),
    "openrouter": openai(
        400, "This endpoint's maximum context length is 32768 tokens. However, you requested 40000.", code=400
    ),
    "llama.cpp": openai(
        400,
        "the request exceeds the available context size. try increasing the context size",
        "exceed_context_size_error",
        400,
    ),
    "llama.cpp-old": openai(
        500, "the request exceeds the available context size. try increasing it", "server_error", 500
    ),
    "vllm": sdk(
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "vllm-old": openai(400, "The prompt (total length 25938) is too long to fit into the model", "BadRequestError"),
    "xai": openai(400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    "mistral": openai(
        400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length", code="3051"
    ),
    "together": openai(422, "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens"),
    "ollama": openai(400, "prompt too long; exceeded max context length by 3000 tokens"),
    "claude": claude(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    "claude-with-answer": claude(
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 198241 + 8192 > 200000, decrease input length",
    ),
    "claude-on-vertex": sdk(
        413, {"message": '{"type":"error","error":{"type":"invalid_request_error","message":"Prompt is too long"}}'}
    ),
    "claude-bytes": claude(413, "request_too_large", "Request exceeds the maximum size"),
    "litellm": litellm(400, "ContextWindowExceededError", "litellm.ContextWindowExceededError: OpenAIException - no"),
    "bedrock": litellm(
        400,
        "BadRequestError",
        'BedrockException - {"message":"Too many input tokens. Max input tokens: 42000, request: 57620"}',
    ),
    "bedrock-claude": litellm(
        400, "BadRequestError", 'BedrockException - {"message":"Input is too long for requested model."}'
    ),
    "in-200": in_200("This model's maximum context length is 4096 tokens."),
}


@pytest.mark.parametrize("error", TOO_LONG.values(), ids=TOO_LONG)
def test_a_too_long_text_is_recognized_in_every_providers_message(error):
    ending = judged(error)
    assert (ending.verdict.value, ending.reason) == ("Fail", "ContextTooLong")


NO_MONEY = {
    "openai": openai(429, f"{OVER_QUOTA} {ERROR_CODES}", "insufficient_quota", "insufficient_quota"),
    "openai-limit": openai(
        400, "Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached"
    ),
    "openai-inactive": openai(
        429, "Your account is not active, please check your billing details", "billing_not_active"
    ),
    "deepseek": openai(402, "Insufficient Balance", "unknown_error", "invalid_request_error"),
    "openrouter": openai(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits", code=402),
    "openrouter-in-200": in_200("This request requires more credits, or fewer max_tokens.", code=402),
    "claude": claude(
        400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans"
    ),
    "claude-limit": claude(
        400,
        "invalid_request_error",
        "You have reached your specified API usage limits. You will regain access on 1 Dec",
    ),
    "claude-billing": claude(402, "billing_error", "Your account has a billing problem."),
    "gemini": google(429, "Your prepayment credits are depleted. Please go to AI Studio.", "RESOURCE_EXHAUSTED"),
    "xai": openai(403, "Your team has either used all available credits or reached its monthly spending limit."),
    "hugging-face": openai(402, "You have exceeded your monthly included credits for Inference Providers."),
    "litellm-openai": litellm(
        429, "RateLimitError", f"litellm.RateLimitError: RateLimitError: OpenAIException - {OVER_QUOTA} {ERROR_CODES}"
    ),
    "litellm-openrouter": litellm(
        500,
        "APIError",
        'litellm.APIError: OpenrouterException - {"error":{"message":"This request requires more credits, or fewer '
        'max_tokens. You requested up to 64000 tokens, but can only afford 2666.","code":402}}',
    ),
}


@pytest.mark.parametrize("error", NO_MONEY.values(), ids=NO_MONEY)
def test_an_exhausted_account_fails_immediately_with_a_message_about_billing(error):
    ending = judged(error)
    assert (ending.verdict.value, ending.reason, ending.delay_seconds) == ("Fail", "ModelOutOfCredit", None)
    assert "bill" in ending.message


DAILY = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "250", "2s")
MINUTE = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10", "21s")
FREE = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
RESET = {"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Reset": str((int(NOW.timestamp()) + 7200) * 1000)}}
LIMITED = {
    "gemini-per-day": (google(429, OVER_QUOTA, "RESOURCE_EXHAUSTED", DAILY), 3600),
    "gemini-per-minute": (google(429, OVER_QUOTA, "RESOURCE_EXHAUSTED", MINUTE), 21),
    "vertex": (google(429, "Resource exhausted. Please try again later.", "RESOURCE_EXHAUSTED"), 30),
    "openai": (
        openai(429, "Rate limit reached for gpt-4o on requests per min (RPM): Limit 3. Please try again in 20s."),
        20,
    ),
    "azure": (
        openai(429, "Your requests have exceeded the token rate limit. Please retry after 60 seconds.", code="429"),
        60,
    ),
    "azure-litellm": (
        litellm(
            429, "RateLimitError", "AzureException RateLimitError - exceeded call rate. Please retry after 3 seconds."
        ),
        3,
    ),
    "minutes": (openai(429, "Too many requests, try again in 5 minutes"), 300),
    "gemini-in-words": (google(429, f"{OVER_QUOTA} Please retry in 21.4s.", "RESOURCE_EXHAUSTED"), 21.4),
    "openai-soon": (openai(429, "Rate limit reached on tokens per min (TPM). Please try again in 86ms."), 1),
    "groq-per-day": (
        openai(429, "Rate limit reached on tokens per day (TPD): Limit 100000. Please try again in 15m25.5s."),
        925.5,
    ),
    "openrouter-per-day": (openai(429, FREE, code=429, metadata=RESET), 7200),
    "openrouter-per-day-without-reset": (openai(429, FREE, "rate_limit_error", "429"), 3600),
    "openrouter-in-200": (in_200("Provider returned error: upstream rate limit exceeded", code=429), 30),
    "openrouter-in-200-as-text": (in_200("slow down", code="429"), 30),
    "gateway-in-200-without-code": (in_200("Rate limit exceeded, please wait"), 30),
    "claude": (claude(429, "rate_limit_error", "This request would exceed your organization's rate limit"), 30),
    "claude-in-a-stream": (
        ProviderFailed({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}),
        30,
    ),
    "bedrock": (
        litellm(429, "RateLimitError", "BedrockException: Too many tokens, please wait before trying again."),
        30,
    ),
}


@pytest.mark.parametrize(("error", "seconds"), LIMITED.values(), ids=LIMITED)
def test_a_rate_limit_waits_until_a_retry_can_succeed(error, seconds):
    ending = judged(error)
    assert (ending.verdict.value, ending.reason) == ("Snooze", "ModelRateLimited")
    assert ending.delay_seconds == pytest.approx(seconds)


def test_the_quota_that_was_reached_is_named_with_its_value():
    ending = judged(google(429, OVER_QUOTA, "RESOURCE_EXHAUSTED", DAILY))
    assert "GenerateRequestsPerDayPerProjectPerModel-FreeTier = 250" in ending.message


OTHERS = {
    "gemini-key": (
        google(400, "API key not valid.", details=[{"reason": "API_KEY_INVALID"}]),
        ("Fail", "ModelAuth"),
    ),
    "gemini-key-in-details-only": (google(400, "No.", details=[{"reason": "API_KEY_INVALID"}]), ("Fail", "ModelAuth")),
    "gemini-permission": (
        google(403, "Method doesn't allow unregistered callers", "PERMISSION_DENIED"),
        ("Fail", "ModelAuth"),
    ),
    "gemini-region": (
        google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        ("Fail", "ModelBadRequest"),
    ),
    "gemini-overloaded": (google(503, "The model is overloaded.", "UNAVAILABLE"), ("Retry", "ModelUnavailable")),
    "gemini-deadline": (google(504, "Deadline expired", "DEADLINE_EXCEEDED"), ("Retry", "ModelTimeout")),
    "openai-key": (openai(401, "Incorrect API key", "invalid_request_error", "invalid_api_key"), ("Fail", "ModelAuth")),
    "openrouter-key": (openai(401, "No auth credentials found", code=401), ("Fail", "ModelAuth")),
    "vllm-key": (sdk(401, "Unauthorized"), ("Fail", "ModelAuth")),
    "groq-region": (openai(403, "Access denied. Please check your network settings."), ("Fail", "ModelAuth")),
    "xai-key": (
        sdk(400, "Incorrect API key provided: xa***xx. You can obtain an API key from https://console.x.ai."),
        ("Fail", "ModelAuth"),
    ),
    "openai-no-model": (
        openai(404, "The model `x` does not exist", "invalid_request_error", "model_not_found"),
        ("Fail", "ModelBadRequest"),
    ),
    "openai-flagged": (
        openai(400, "Invalid prompt: it was flagged", "invalid_request_error", "invalid_prompt"),
        ("Fail", "ContentBlocked"),
    ),
    "azure-filter": (
        openai(400, "The response was filtered", None, "content_filter"),
        ("Fail", "ContentBlocked"),
    ),
    "azure-filter-inside": (
        openai(400, "No.", None, "x", innererror={"code": "ResponsibleAIPolicyViolation"}),
        ("Fail", "ContentBlocked"),
    ),
    "openrouter-flagged": (
        openai(403, "meta requires moderation. Your input was flagged for violence.", code=403),
        ("Fail", "ContentBlocked"),
    ),
    "openrouter-upstream": (
        openai(502, "Provider returned error", code=502, metadata={"raw": "upstream broke"}),
        ("Retry", "ModelUnavailable"),
    ),
    "claude-filter": (
        claude(400, "invalid_request_error", "Output blocked by content filtering policy"),
        ("Fail", "ContentBlocked"),
    ),
    "claude-thinking-budget": (
        claude(
            400,
            "invalid_request_error",
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
        ),
        ("Fail", "ModelBadRequest"),
    ),
    "claude-overloaded": (claude(529, "overloaded_error", "Overloaded"), ("Retry", "ModelUnavailable")),
    "claude-bad": (claude(400, "invalid_request_error", "messages: roles must alternate"), ("Fail", "ModelBadRequest")),
    "litellm-filter": (litellm(400, "ContentPolicyViolationError", "no"), ("Fail", "ContentBlocked")),
    "claude-timeout-in-a-stream": (
        ProviderFailed({"type": "error", "error": {"type": "timeout_error", "message": "Request timed out"}}),
        ("Retry", "ModelTimeout"),
    ),
    "litellm-timeout": (litellm(408, "Timeout", "Request timed out"), ("Retry", "ModelTimeout")),
    "gateway-in-200": (in_200("no healthy upstream"), ("Retry", "ModelUnavailable")),
    "gateway-in-200-text": (ProviderFailed({"error": "no healthy upstream"}), ("Retry", "ModelUnavailable")),
    "bad-request-in-200": (in_200("bad", code=400), ("Fail", "ModelBadRequest")),
}


@pytest.mark.parametrize(("error", "expected"), OTHERS.values(), ids=OTHERS)
def test_every_other_error_has_its_error_class(error, expected):
    ending = judged(error)
    assert (ending.verdict.value, ending.reason) == expected


def test_the_message_of_an_upstream_is_quoted():
    ending = judged(openai(502, "Provider returned error", code=502, metadata={"raw": "upstream broke"}))
    assert "upstream broke" in ending.message


ELSEWHERE = {
    "ollama": openai(404, "404 page not found"),
    "proxy": sdk(404, "<html><head><title>404 Not Found</title></head></html>"),
    "starlette": sdk(404, {"detail": "Not Found"}),
}


@pytest.mark.parametrize("error", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_wrong_address_is_reported_with_a_solution(error):
    ending = judged(error)
    assert ending.reason == "ModelBadRequest"
    assert "OPENAI_BASE_URL" in ending.message


def test_a_web_page_instead_of_an_answer_is_truncated_in_the_message():
    ending = judged(openai(502, f"<html>\n  {'x ' * 9000}</html>"))
    assert len(ending.message) < 700


def test_every_row_of_the_table_matches_a_recorded_answer():
    limited, others = ([error for error, _ in rows.values()] for rows in (LIMITED, OTHERS))
    reports = [
        provider_errors.read(error, NOW)
        for error in (*TOO_LONG.values(), *NO_MONEY.values(), *limited, *others, *ELSEWHERE.values())
    ]

    hit = {next(place for place, row in enumerate(provider_errors.TABLE) if row.fits(report)) for report in reports}

    assert [row for place, row in enumerate(provider_errors.TABLE) if place not in hit] == []


def refused_by_gemini(status, code, message):
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "agentjobs.dev"}
    return google(status, message, "FAILED_PRECONDITION", [info])


def refused_by_openai(status, code, message, **headers):
    return sdk(status, {"message": message, "type": "invalid_request_error", "param": None, "code": code}, headers)


def refused_by_anthropic(status, code, message, **headers):
    return sdk(status, {"type": "error", "error": {"type": code, "message": message}}, headers)


REFUSED = [
    pytest.param(402, "BudgetExceeded", ("Fail", "BudgetExceeded"), id="budget"),
    pytest.param(429, "ModelRateLimited", ("Snooze", "ModelRateLimited"), id="limit"),
    pytest.param(403, "ModelAuth", ("Fail", "ModelAuth"), id="no-key"),
    pytest.param(403, "ModelNotAllowed", ("Fail", "ModelNotAllowed"), id="not-allowed"),
    pytest.param(400, "UnknownModelPrice", ("Fail", "UnknownModelPrice"), id="no-price"),
    pytest.param(400, "ContentBlocked", ("Fail", "ContentBlocked"), id="checker"),
    pytest.param(503, "ModelUnavailable", ("Retry", "ModelUnavailable"), id="away"),
    pytest.param(409, "Interrupted", ("Retry", "Fenced"), id="fenced"),
    pytest.param(400, "OfALaterVersion", ("Fail", "OfALaterVersion"), id="unknown"),
]


@pytest.mark.parametrize("make", [refused_by_gemini, refused_by_openai, refused_by_anthropic])
@pytest.mark.parametrize(("status", "code", "expected"), REFUSED)
def test_a_refusal_of_the_model_proxy_keeps_its_error_class(make, status, code, expected):
    ending = judged(make(status, f"agentjobs.dev/{code}", "Raise budget.maxCostUSD above 2.50."))

    assert (ending.verdict.value, ending.reason) == expected
    assert ending.message.endswith(": Raise budget.maxCostUSD above 2.50.")


def test_a_refusal_at_the_end_of_a_stream_is_recognized_by_its_code():
    ending = judged(in_200("Raise budget.maxTokens.", code="agentjobs.dev/BudgetExceeded"))
    assert (ending.verdict.value, ending.reason) == ("Fail", "BudgetExceeded")


def test_a_refusal_by_a_limit_snoozes_for_its_delay():
    error = refused_by_anthropic(429, "agentjobs.dev/ModelRateLimited", "Wait.", **{"retry-after": "17"})
    assert judged(error).delay_seconds == 17.0


def test_the_delay_in_the_code_of_a_refusal_is_used():
    error = refused_by_anthropic(429, "agentjobs.dev/ModelRateLimited;retry-after=3600", "Wait.")
    ending = judged(error)
    assert (ending.verdict.value, ending.reason, ending.delay_seconds) == ("Snooze", "ModelRateLimited", 3600.0)


def test_the_code_of_a_refusal_is_read_from_litellms_message():
    said = (
        'AnthropicException - {"error": {"type": "agentjobs.dev/ModelRateLimited;retry-after=90", "message": "Wait."}}'
    )
    ending = judged(litellm(429, "RateLimitError", said))
    assert (ending.reason, ending.delay_seconds) == ("ModelRateLimited", 90.0)


def test_a_refusal_in_a_tools_own_code_keeps_its_error_class():
    error = refused_by_openai(402, "agentjobs.dev/BudgetExceeded", "Raise budget.maxCostUSD.")
    note_origin(error, Origin(Source.TOOL, "search"))
    assert classify(error, now=NOW).reason == "BudgetExceeded"


def test_a_text_that_resembles_a_code_is_not_a_refusal():
    ending = judged(openai(400, "agentjobs.dev/BudgetExceeded", "invalid_request_error"))
    assert ending.reason == "ModelBadRequest"


def test_litellm_puts_the_code_of_a_refusal_into_its_message():
    said = 'OpenAIException - {"error": {"message": "Raise it.", "code": "agentjobs.dev/BudgetExceeded"}}'
    assert judged(litellm(402, "APIError", said)).reason == "BudgetExceeded"
