"""Maps a provider's error to the start's ending: one table, searched from its top.

A row matches by the provider's code, by the HTTP status, and by words last, because words change and codes do not.
Every row has recorded answers in tests/unit/runner/adk/test_provider_errors.py; add one with each row. Pure except for
the clock, which is passed in.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from agentjobs import contract
from agentjobs.contract import MAX_DELAY_SECONDS, ErrorClass, RefusalCode, Verdict, read_refusal
from agentjobs_runner.endings import Ending, fenced

# For a rate limit without a delay (API reference, error classes).
RATE_LIMIT_SECONDS: Final = 30.0
# For a daily quota, whose RetryInfo has seconds. Each attempt costs a pod.
DAILY_SECONDS: Final = 3600.0
_SHOWN_QUOTAS: Final = 3
# Hosts answer with whole pages; a message has 1 KiB.
_TEXT_BYTES: Final = 600


@dataclass(frozen=True, slots=True)
class Report:
    """A provider's error report.

    `words` are its codes and types, `quotas` the limits that were reached, `wait` the delay in seconds. `refused` is
    the class from our own model proxy, empty for errors of providers.
    """

    status: int | None = None
    words: frozenset[str] = frozenset()
    text: str = ""
    quotas: tuple[str, ...] = ()
    wait: float | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of error. It matches if its status (if any) and a code or its words (if any) match."""

    reason: ErrorClass
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int | None] = frozenset()
    words: re.Pattern[str] | None = None
    verdict: Verdict = Verdict.FAIL
    cure: str = field(default="")

    def fits(self, report: Report) -> bool:
        """Whether `report` is of this kind."""
        if self.statuses and report.status not in self.statuses:
            return False
        if not self.codes and self.words is None:
            return True
        return bool(self.codes & report.words) or (
            self.words is not None and self.words.search(report.text) is not None
        )


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.casefold().split())


def _words(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.DOTALL)


_BILLING: Final = "add credit or raise the limit where the provider bills you; waiting does not help"
_ADDRESS: Final = "check the base URL; OPENAI_BASE_URL usually ends in /v1"
_SHORTEN: Final = "give the agent less text at a time, or use a model with a larger context"

# Rejected requests. 5xx and no status are here as well: hosts wrap their upstream's error, or answer 200.
_REQUEST: Final = frozenset({None, 400, 403, 404, 413, 422, 429, 500, 502, 503})
TABLE: Final = (
    # By code.
    Row(
        ErrorClass.CONTEXT_TOO_LONG,
        codes=_codes(
            "context_length_exceeded exceed_context_size_error request_too_large string_above_max_length"
            " model_max_prompt_tokens_exceeded max_tokens_exceeded contextwindowexceedederror"
        ),
        cure=_SHORTEN,
    ),
    Row(
        ErrorClass.MODEL_OUT_OF_CREDIT,
        codes=_codes(
            "insufficient_quota billing_error billing_not_active billing_hard_limit_reached insufficient_balance"
            " insufficient_credits insufficient_user_quota payment_required credits_exhausted budgetexceedederror"
        ),
        cure=_BILLING,
    ),
    Row(
        ErrorClass.CONTENT_BLOCKED,
        codes=_codes(
            "content_filter content_policy_violation responsibleaipolicyviolation invalid_prompt moderation_blocked"
            " contentpolicyviolationerror data_inspection_failed"
        ),
    ),
    Row(
        ErrorClass.MODEL_AUTH,
        codes=_codes(
            "api_key_invalid invalid_api_key authentication_error permission_error permission_denied unauthenticated"
            " api_key_service_blocked service_disabled account_deactivated invalid_authentication"
        ),
    ),
    # By status with words: one status for several kinds.
    Row(ErrorClass.MODEL_OUT_OF_CREDIT, statuses=frozenset({402}), cure=_BILLING),
    Row(
        ErrorClass.MODEL_OUT_OF_CREDIT,
        statuses=_REQUEST,
        words=_words(
            r"credit balance is too low|insufficient (?:balance|credits?|funds|quota)|out of credits?"
            r"|(?:requires|need) more credits|credits? (?:are|is|have been|has been) (?:depleted|exhausted|used up)"
            r"|(?:used all|exceeded|ran out of) (?:your )?(?:available |monthly included )?credits"
            r"|reached your specified api usage limits|billing hard limit|(?:monthly )?spend(?:ing)? (?:limit|cap)"
            r"|exceeded your current quota.*platform\.openai\.com|account is not active"
        ),
        cure=_BILLING,
    ),
    Row(
        ErrorClass.CONTEXT_TOO_LONG,
        statuses=frozenset({413, 429}),
        words=_words(r"request too large for|tokens must be reduced|reduce your message size"),
        cure=_SHORTEN,
    ),
    Row(
        ErrorClass.CONTENT_BLOCKED,
        statuses=_REQUEST,
        words=_words(
            r"content_filter|content[_ ]policy|content management policy|content filtering policy"
            r"|(?:input|prompt|request|content) (?:was|has been) (?:flagged|blocked)|flagged as potentially violating"
            r"|violat\w+ (?:our|the) usage policy"
        ),
    ),
    # By status.
    Row(ErrorClass.MODEL_AUTH, statuses=frozenset({401, 403})),
    Row(ErrorClass.MODEL_TIMEOUT, statuses=frozenset({408, 504}), verdict=Verdict.RETRY),
    Row(ErrorClass.MODEL_RATE_LIMITED, statuses=frozenset({429}), verdict=Verdict.SNOOZE),
    Row(ErrorClass.CONTEXT_TOO_LONG, statuses=frozenset({413}), cure=_SHORTEN),
    # A too long prompt, in many wordings; some servers answer with 500.
    Row(
        ErrorClass.CONTEXT_TOO_LONG,
        statuses=_REQUEST,
        words=_words(
            r"context[ _](?:window|length|limit|size)|(?:prompt|input|inputs?) (?:is|are)? ?too long"
            r"|maximum (?:context|prompt|input) length|(?:token|input)s? (?:count|limit).*exceed"
            r"|tokens? exceeds? the configured limit"
            r"|exceeds? the (?:model'?s )?max\w* (?:number of |input |context )?tokens"
            r"|exceed(?:s|ed)? (?:the )?(?:max|maximum|available) (?:context|model|input|sequence)"
            r"|too many (?:input |prompt )?tokens|reduce the length of the (?:messages|input|prompt)"
            r"|token count.*(?:only )?supports? up to|max_new_tokens.* must be <=|max_model_len"
            r"|too long to fit into the model"
        ),
        cure=_SHORTEN,
    ),
    Row(
        ErrorClass.MODEL_AUTH,
        statuses=frozenset({400, 404, 422}),
        words=_words(r"API[ _]?key|credentials|Missing key inputs|unauthorized"),
    ),
    # By code, if the status is not conclusive: 200, or none.
    Row(
        ErrorClass.MODEL_RATE_LIMITED,
        codes=_codes("rate_limit_error rate_limit_exceeded resource_exhausted throttlingexception ratelimiterror"),
        verdict=Verdict.SNOOZE,
    ),
    Row(
        ErrorClass.MODEL_TIMEOUT,
        codes=_codes("timeout_error deadline_exceeded timeout apitimeouterror"),
        verdict=Verdict.RETRY,
    ),
    Row(
        ErrorClass.MODEL_UNAVAILABLE,
        codes=_codes("overloaded_error api_error server_error internal_error unavailable service_unavailable"),
        verdict=Verdict.RETRY,
    ),
    Row(ErrorClass.MODEL_UNAVAILABLE, statuses=frozenset({409, 425, 499, *range(500, 600)}), verdict=Verdict.RETRY),
    Row(ErrorClass.MODEL_BAD_REQUEST, codes=_codes("invalid_request_error not_found_error invalid_argument")),
    Row(
        ErrorClass.MODEL_BAD_REQUEST,
        statuses=frozenset({404, 405}),
        words=_words(r"<html|page not found|^(?:error code: 40[45](?: - )?|not found|method not allowed)\W*$"),
        cure=_ADDRESS,
    ),
    Row(ErrorClass.MODEL_BAD_REQUEST, statuses=frozenset(range(400, 500))),
    # By words alone, in an answer of status 200.
    Row(
        ErrorClass.MODEL_RATE_LIMITED,
        words=_words(r"rate.?limit|too many requests|quota exceeded|try again in \d"),
        verdict=Verdict.SNOOZE,
    ),
    Row(ErrorClass.MODEL_UNAVAILABLE, verdict=Verdict.RETRY),
)
# The classes of the proxy: those of providers, and its own.
_REFUSED: Final = {str(row.reason): row.verdict for row in TABLE} | {
    ErrorClass.BUDGET_EXCEEDED: Verdict.FAIL,
    ErrorClass.MODEL_NOT_ALLOWED: Verdict.FAIL,
    ErrorClass.UNKNOWN_MODEL_PRICE: Verdict.FAIL,
    ErrorClass.CONFIG_INVALID: Verdict.FAIL,
    ErrorClass.JOURNAL_UNAVAILABLE: Verdict.SNOOZE,
}
_FENCED: Final = 409
_AGAIN: Final = _words(
    r"(?:try again|retry) (?:in|after) (?:(\d{1,4}) ?h\w* ?)?(?:(\d{1,4}) ?m(?!s)[a-z]* ?)?"
    r"(?:(\d{1,6}(?:\.\d{1,9})?) ?(ms|s))?"
)
_PER_DAY: Final = _words(r"per.?day|\b[RT]PD\b|daily")


def judge(report: Report, prefix: str) -> Ending:
    """Return the start's ending for a provider's error; `prefix` begins the message, e.g. `the provider reported`."""
    if (refused := refusal(report)) is not None:
        return refused
    row = next(row for row in TABLE if row.fits(report))
    quotas = f" ({'; '.join(report.quotas[:_SHOWN_QUOTAS])})" if report.quotas else ""
    cure = f"; {row.cure}" if row.cure else ""
    text = contract.cut(" ".join(report.text.split()), _TEXT_BYTES)
    text = text.rstrip(". ") if quotas or cure else text
    delay = _delay(report) if row.verdict is Verdict.SNOOZE else None
    return Ending(row.verdict, row.reason, f"{prefix}: {text}{quotas}{cure}", delay_seconds=delay)


def refusal(report: Report) -> Ending | None:
    """Return the start's ending for a call that the model proxy rejected, by its message; None for other errors."""
    if not report.refused:
        return None
    message = f"the model proxy rejected the call: {contract.cut(' '.join(report.text.split()), _TEXT_BYTES)}"
    if report.status == _FENCED:
        return fenced(message)
    verdict = _REFUSED.get(report.refused, Verdict.FAIL)
    delay = _delay(report) if verdict is Verdict.SNOOZE else None
    return Ending(verdict, report.refused, message, delay_seconds=delay)


def read(error: BaseException, now: datetime) -> Report:
    """Return the provider's text from an exception of google-genai's, OpenAI's, Anthropic's or LiteLLM's client."""
    body, details = _body(error), _details(error)
    text = _text(error, body)
    words = _all_words(error, body, details, text)
    refused = refusal_of(words)
    requested = None if refused is None else refused.retry_after
    return Report(
        status=status_of(error),
        words=frozenset(word.casefold() for word in words),
        text=text,
        quotas=tuple(_quotas(details)),
        wait=requested if requested is not None else _wait(error, body, details, text, now),
        refused="" if refused is None else refused.error_class,
    )


def refusal_of(words: Iterable[str]) -> RefusalCode | None:
    """Return the model proxy's class in the codes and types of an error; None for a provider's."""
    return next((found for word in words if (found := read_refusal(word)) is not None), None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status of a provider's error: `code` in google-genai, `status_code` in the others, else in the body."""
    found = (*(getattr(error, name, None) for name in ("code", "status_code")), _body(error).get("code"))
    return next((status for value in found if (status := _status(value)) is not None), None)


def _status(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else None


def _body(error: BaseException) -> dict[str, Any]:
    """Return the body of the provider's error; the clients keep it, one of them without the outer object."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {"message": inner} if isinstance(inner, str) else {}


def _details(error: BaseException) -> list[dict[str, Any]]:
    """google.rpc's details of an error, which google-genai keeps unchanged."""
    body = getattr(error, "details", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    items = inner.get("details") if isinstance(inner, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _all_words(error: BaseException, body: dict[str, Any], details: list[dict[str, Any]], text: str) -> list[str]:
    found: list[Any] = [body.get("code"), body.get("type"), getattr(error, "status", None)]
    found += [item.get("reason") for item in details]
    inner = body.get("innererror")
    found.append(inner.get("code") if isinstance(inner, dict) else None)
    kinds = [kind for kind in type(error).__mro__ if kind.__module__.partition(".")[0] == "litellm"]
    if kinds:
        # LiteLLM puts the provider's answer into its own sentence.
        found += [kind.__name__ for kind in kinds]
        found += re.findall(r"""["'](?:code|type|reason)["']\s*:\s*["']([\w./;=-]+)["']""", text)
    return [word for word in found if isinstance(word, str) and word]


def _text(error: BaseException, body: dict[str, Any]) -> str:
    """The provider's own message. Clients' str() repeats the whole body, ADK's adds an advertisement."""
    reported = body.get("message") or body.get("detail")
    if reported:
        code, metadata = body.get("code"), body.get("metadata")
        # OpenRouter's own sentence only reports that its upstream failed.
        raw = metadata.get("raw") if isinstance(metadata, dict) else None
        upstream = f": {raw[:500]}" if isinstance(raw, str) and raw.strip() else ""
        named = f"{code}: " if isinstance(code, str) and not (code.isdigit() or read_refusal(code)) else ""
        return f"{named}{reported}{upstream}"
    message = getattr(error, "message", None)
    return str(message) if message else str(error)


def _quotas(details: list[dict[str, Any]]) -> list[str]:
    """The limits of google.rpc.QuotaFailure, each as `quota <id> = <value>`."""
    violations = [found for item in details for found in (item.get("violations") or ()) if isinstance(found, dict)]
    return [
        f"quota {found['quotaId']}" + (f" = {found['quotaValue']}" if found.get("quotaValue") else "")
        for found in violations
        if found.get("quotaId")
    ]


def _delay(report: Report) -> float:
    """Seconds until another try may help."""
    if any(_PER_DAY.search(quota) for quota in report.quotas):
        # RetryInfo with a daily quota is the time to the end of the minute.
        return max(report.wait or 0.0, DAILY_SECONDS)
    if report.wait is not None:
        return report.wait
    return DAILY_SECONDS if _PER_DAY.search(report.text) else RATE_LIMIT_SECONDS


def _wait(
    error: BaseException, body: dict[str, Any], details: list[dict[str, Any]], text: str, now: datetime
) -> float | None:
    """The provider's delay in seconds, from its headers, google.rpc.RetryInfo, or its message."""
    # LiteLLM keeps the provider's headers next to its own response.
    headers = [
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "litellm_response_headers", None),
    ]
    found = [_seconds(str(word), now) for held in headers if held is not None and (word := held.get("retry-after"))]
    found += [_retry_info(item) for item in details]
    found += [_reset(body, now), _in_words(text)]
    seconds = next((value for value in found if value is not None), None)
    return None if seconds is None else min(max(seconds, 1.0), MAX_DELAY_SECONDS)


def _seconds(header: str, now: datetime) -> float | None:
    # RFC 9110 10.2.3 has whole seconds and dates; providers also send fractions.
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", header):
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()


def _retry_info(item: dict[str, Any]) -> float | None:
    delay = str(item.get("retryDelay", ""))
    return float(delay[:-1]) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", delay) else None


def _reset(body: dict[str, Any], now: datetime) -> float | None:
    """OpenRouter repeats the headers of its limits in the body; the reset is in milliseconds since 1970."""
    metadata = body.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    reset = str(headers.get("X-RateLimit-Reset", "")) if isinstance(headers, dict) else ""
    return int(reset) / 1000 - now.timestamp() if re.fullmatch(r"\d{13}", reset) else None


def _in_words(text: str) -> float | None:
    """OpenAI and Groq: `Please try again in 7m12.5s`, `in 86ms`; Azure: `Please retry after 60 seconds`."""
    match = _AGAIN.search(text)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, number, unit = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(number or 0) / (1000 if unit == "ms" else 1)


def head(text: object) -> str:
    """The beginning of an unreadable answer, on one line, with the cure for the usual cause."""
    shown = " ".join(str(text).split())[:200]
    cure = f"; {_ADDRESS}" if shown.startswith("<") else ""
    return f"{json.dumps(shown, ensure_ascii=False)}{cure}"
