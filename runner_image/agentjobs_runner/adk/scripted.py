"""Scripted models: answers from a ConfigMap instead of a provider, for examples, tests and dry runs.

The format is in docs/reference/scripted.md. `models` installs an attempt's scripts; ADK then calls `ScriptedModel` like
any other model. Errors use google-genai's own classes, so that a scripted 429 is handled like a real one.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import httpx
import yaml
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import errors, types
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from agentjobs.durations import parse_duration
from agentjobs_runner.endings import config_invalid

PREFIX: Final = "scripted/"
# ADK labels every request with its agent's name (google.adk.flows.llm_flows.core._model_call).
AGENT_LABEL: Final = "adk_agent_name"

_SIGNALS: Final = tuple(sorted(item.name for item in signal.Signals))
# No process survives these.
_FATAL: Final = frozenset(
    {signal.SIGKILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS}
)

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Part(BaseModel):
    """Base class of the script's models: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ToolCall(Part):
    """One call that the model requests."""

    name: str = Field(min_length=1)
    args: dict[str, Any] = Field(default_factory=dict)


class Failure(Part):
    """An HTTP error of the provider."""

    status: int = Field(ge=400, le=599)
    message: str = "scripted error"
    retryAfter: Duration | None = None  # noqa: N815  the file's key, in the style of every other field


class Usage(Part):
    """The answer's reported tokens."""

    inputTokens: int = Field(default=0, ge=0)  # noqa: N815  the file's key
    outputTokens: int = Field(default=0, ge=0)  # noqa: N815  the file's key


class ScriptedAnswer(Part):
    """The answer to one model call: after `delay`, text, tool calls and a finish reason, an error, or an exit."""

    agent: str | None = None
    delay: Duration = timedelta()
    text: str | None = None
    toolCalls: list[ToolCall] = Field(default_factory=list)  # noqa: N815  the file's key
    error: Failure | None = None
    finishReason: str | None = None  # noqa: N815  the file's key
    exit: Annotated[int, Field(ge=0, le=255)] | Literal[_SIGNALS] | None = None  # type: ignore[valid-type]  # the platform's signals
    usage: Usage | None = None

    @model_validator(mode="after")
    def _has_one_action(self) -> "ScriptedAnswer":
        answers = self.text is not None or bool(self.toolCalls) or self.finishReason is not None
        if sum([answers, self.error is not None, self.exit is not None]) != 1:
            raise ValueError("use text, toolCalls and finishReason, or one of error and exit")
        if self.finishReason is not None and self.finishReason not in types.FinishReason.__members__:
            raise ValueError(
                f"finishReason {self.finishReason!r} is unknown; use one of Gemini's, e.g. SAFETY, MAX_TOKENS"
            )
        return self


class Script(Part):
    """A whole script: one list of answers per start; after the last list the last one is repeated."""

    starts: list[list[ScriptedAnswer]] = Field(min_length=1)

    def list_of(self, start: int) -> int:
        """Number of the list for start `start`, both counted from 1."""
        return min(start, len(self.starts))

    def answers(self, start: int) -> list[ScriptedAnswer]:
        """The answers of start `start`, counted from 1."""
        return self.starts[self.list_of(start) - 1]


def parse(text: str, name: str) -> Script:
    """Return the script `text`.

    Raises:
        StartEnded: ConfigInvalid, with the script, each invalid key and the cure.
    """
    try:
        raw = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe loaders
    except yaml.YAMLError as error:
        raise config_invalid(f"script {name}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise config_invalid(f"script {name}: must be a mapping with key `starts`, got {type(raw).__name__}")
    try:
        return Script.model_validate(raw)
    except ValidationError as error:
        raise config_invalid(f"script {name}: {'; '.join(_problems(error))}. See docs/reference/scripted.md") from error


def _problems(error: ValidationError) -> Iterator[str]:
    # The first ones are enough; a message has 1 KiB.
    for item in error.errors(include_url=False, include_context=False)[:5]:
        place = ".".join(str(part) for part in item["loc"]) or "script"
        cure = "remove it, or correct its name" if item["type"] == "extra_forbidden" else item["msg"]
        yield f"{place}: {cure}"


class ScriptCursor:
    """The position of a start in its scripts. All agents that use a script share its list of answers."""

    def __init__(self, scripts: Mapping[str, str], start: int) -> None:
        self._scripts = dict(scripts)
        self._start = start
        self._read: dict[str, Script] = {}
        self._left: dict[str, list[ScriptedAnswer]] = {}
        self._given: dict[str, int] = {}

    def known(self) -> list[str]:
        """Names of the job's scripts."""
        return sorted(self._scripts)

    def open(self, name: str) -> None:
        """Parse the script `name` early, so that a mistake shows before anything runs."""
        if name in self._left:
            return
        if name not in self._scripts:
            carried = ", ".join(f"{PREFIX}{item}" for item in self.known()) or "none"
            raise config_invalid(
                f"model {PREFIX}{name}: the job has no such script (it has: {carried}); "
                f"set agent.model to {PREFIX}<configmap>/<key> of its namespace, even if only code uses it"
            )
        self._read[name] = parse(self._scripts[name], name)
        self._left[name] = list(self._read[name].answers(self._start))

    def next(self, name: str, agent: str) -> ScriptedAnswer:
        """Take the next answer for `agent`: the first remaining one with its name or without a name."""
        self.open(name)
        left = self._left[name]
        for index, answer in enumerate(left):
            if answer.agent in (None, agent):
                self._given[name] = self._given.get(name, 0) + 1
                return left.pop(index)
        raise config_invalid(
            f"script {name}: start {self._start} has no answer left for agent {agent!r} "
            f"({self._given.get(name, 0)} given); add one to its list"
        )

    def replayed(self, name: str, agent: str, start: int) -> None:
        """Take the answer that `agent` had in `start`, an earlier one with the same list.

        Otherwise a repeated list would call the tools of its first answers again. Errors before that answer are taken,
        too: they are not recorded, but the earlier start has passed them.
        """
        self.open(name)
        script, left = self._read[name], self._left[name]
        if start >= self._start or script.list_of(start) != script.list_of(self._start):
            return
        mine = [answer for answer in left if answer.agent in (None, agent)]
        for answer in mine:
            left[:] = [other for other in left if other is not answer]
            if answer.error is None:
                return


# ADK builds models from their name only, so the script is global: one process runs one start.
_stage: ScriptCursor = ScriptCursor({}, 1)


def install(stage: ScriptCursor) -> None:
    """Use `stage` for every ScriptedModel."""
    global _stage
    _stage = stage


def pass_over(model: BaseLlm, agent: str, start: int) -> None:
    """Record that `agent` has a replayed answer of `model`, if that is a script; `start` recorded it."""
    if isinstance(model, ScriptedModel):
        _stage.replayed(model.model.removeprefix(PREFIX), agent, start)


class ScriptedModel(BaseLlm):
    """A model whose name is `scripted/<configmap>/<key>`."""

    _calls: int = PrivateAttr(default=0)

    @classmethod
    def supported_models(cls) -> list[str]:
        """The names for ADK's registry."""
        return [f"{PREFIX}.+"]

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yield the next answer of the script, complete, also in streaming mode."""
        labels = (llm_request.config.labels if llm_request.config else None) or {}
        answer = _stage.next(self.model.removeprefix(PREFIX), labels.get(AGENT_LABEL, ""))
        await asyncio.sleep(answer.delay.total_seconds())
        if answer.exit is not None:
            _exit(answer.exit)
        if answer.error is not None:
            raise _api_error(answer.error)
        self._calls += 1
        yield _response(answer, self.model, self._calls)


def _exit(how: int | str) -> None:
    if isinstance(how, int):
        os._exit(how)
    number = signal.Signals[how]
    os.kill(os.getpid(), number)
    if number in _FATAL:
        # PID 1 of a container survives its own signals: the kernel protects init.
        os._exit(128 + number)


def _api_error(failure: Failure) -> errors.APIError:
    headers = {}
    if failure.retryAfter is not None:
        headers["retry-after"] = f"{failure.retryAfter.total_seconds():g}"
    body = {"error": {"code": failure.status, "message": failure.message, "status": "SCRIPTED"}}
    kind = errors.ClientError if failure.status < 500 else errors.ServerError
    return kind(failure.status, body, httpx.Response(failure.status, headers=headers))


def _response(answer: ScriptedAnswer, model: str, call: int) -> LlmResponse:
    usage = answer.usage and types.GenerateContentResponseUsageMetadata(
        prompt_token_count=answer.usage.inputTokens,
        candidates_token_count=answer.usage.outputTokens,
        total_token_count=answer.usage.inputTokens + answer.usage.outputTokens,
    )
    reason = types.FinishReason(answer.finishReason or "STOP")
    if answer.text is None and not answer.toolCalls:
        return LlmResponse(
            error_code=reason.value, error_message="scripted", finish_reason=reason, usage_metadata=usage
        )
    parts = [types.Part(text=answer.text)] if answer.text is not None else []
    parts += [
        types.Part(function_call=types.FunctionCall(id=f"call-{call}-{index}", name=item.name, args=item.args))
        for index, item in enumerate(answer.toolCalls)
    ]
    return LlmResponse(
        content=types.Content(role="model", parts=parts),
        finish_reason=reason,
        usage_metadata=usage,
        model_version=model,
    )
