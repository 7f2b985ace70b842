"""The job's requirements of the answer: where it is, the text for the agent, the check, and corrections.

Created by `engine` from `spec.output`, once per start. Pure except for loading the validator, if there is a schema.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from agentjobs.contract import MAX_OUTCOME_CHARS, ErrorClass, Result, Verdict
from agentjobs_runner.endings import Ending, StartEnded, config_invalid
from agentjobs_runner.modules import first_problems
from agentjobs_runner.redaction import plain
from agentjobs_runner.results import MOST_BYTES, as_object, as_text, bounded_result, is_blank

# A model corrects the reported errors; more than this in one message only confuses it.
SHOWN_PROBLEMS: Final = 10
_PROBLEM_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Output:
    """The job's `spec.output`; by default empty. `repairs` is the maximum number of corrections in a start."""

    schema: Mapping[str, Any] | None = None
    from_state: str | None = None
    outcome_key: str = "outcome"
    decides: bool = False
    """Whether the job needs an outcome, even without a schema."""
    fails: bool = False
    repairs: int = 0
    _validator: Any = field(default=None, repr=False)

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> "Output":
        """Return the job's requirements.

        Raises:
            StartEnded: ConfigInvalid if the validator rejects the schema.
        """
        if not given:
            return cls()
        schema, on_invalid = given.get("schema"), given.get("onInvalid") or "Repair"
        return cls(
            schema=schema,
            from_state=given.get("fromState"),
            outcome_key=given.get("outcomeKey") or "outcome",
            decides=True,
            fails=on_invalid == "Fail",
            repairs=given.get("maxRepairs", 2) if on_invalid == "Repair" else 0,
            _validator=None if schema is None else _validator(schema),
        )

    @property
    def request(self) -> str:
        """Return the text that is added to the job's message; empty if the answer is in the session's state."""
        if self.schema is None or self.from_state is not None:
            return ""
        return (
            "Your final answer must be one JSON object that validates against this JSON Schema, "
            f"and nothing else, no explanation and no Markdown:\n{json.dumps(self.schema, ensure_ascii=False)}"
        )

    def judge(self, value: Any, own: type[BaseModel] | None, usage: dict[str, int]) -> Ending | list[str]:
        """Return the ending for an answer, or its problems, each with its place.

        Args:
            value: the answer: a text, or any value with a JSON form.
            own: `output_schema` of the agent; used if the job has no schema.
            usage: for the result.
        """
        text = as_text(value)
        checked = self.schema is not None or own is not None
        structured = plain(value) if isinstance(value, dict) else as_object(text, among_text=checked)
        result = bounded_result(text, structured, usage)
        if not checked:
            return self._accepted(result, decides=self.decides)
        if "cutFrom" in result or (structured is not None and result["structured"] is None):
            return _too_large(text)
        if structured is None:
            return ["the answer is not a JSON object"]
        problems = self._misfits(structured) if self.schema is not None else _refused(own, structured)
        return problems or self._accepted(result, decides=True)

    def correction(self, problems: list[str]) -> str:
        """Return the text that asks the agent to correct its answer."""
        listed = "\n".join(f"- {problem}" for problem in problems)
        if self.from_state is not None:
            return (
                f"The value of {self.from_state!r} in the session's state does not validate against its JSON Schema:\n"
                f"{listed}\nPut the whole corrected value there."
            )
        return (
            f"Your answer does not validate against the JSON Schema:\n{listed}\n"
            "Answer again, with the whole corrected JSON object and nothing else."
        )

    def invalid(self, problems: list[str]) -> Ending:
        """Return the ending for an invalid answer after all corrections."""
        what = "output.schema" if self.schema is not None else "the agent's output_schema"
        after = f" after {self.repairs} corrections" if self.repairs else ""
        message = f"the answer does not match {what}{after}: {'; '.join(problems)}"
        return Ending(Verdict.FAIL if self.fails else Verdict.RETRY, ErrorClass.INVALID_OUTPUT, message)

    def _accepted(self, result: Result, *, decides: bool) -> Ending:
        """The ending for a valid answer; `decides` if it has an outcome."""
        found = (result["structured"] or {}).get(self.outcome_key) if decides else None
        result["outcome"] = found if isinstance(found, str) and 0 < len(found) <= MAX_OUTCOME_CHARS else None
        message = "the agent answered"
        if (whole := result.get("cutFrom")) is not None:
            left = len(result["text"].encode())
            message = f"the agent answered; the answer has {_size(whole)}, and the first {_size(left)} are kept"
        return Ending(Verdict.SUCCEED, "ResultAccepted", message, result=result)

    def _misfits(self, answer: dict[str, Any]) -> list[str]:
        errors = sorted(self._validator.iter_errors(answer), key=lambda error: list(map(str, error.absolute_path)))
        return [
            f"{'/'.join(map(str, error.absolute_path)) or 'the object'}: {error.message[:_PROBLEM_CHARS]}"
            for error in errors[:SHOWN_PROBLEMS]
        ]


def from_state(state: Mapping[str, Any], key: str, *, is_inherited: bool = False) -> Any:
    """Return the value of `key`, where the job expects its answer.

    Raises:
        StartEnded: ResultError if it is missing, or `is_inherited`: then it is the answer of an earlier job.
    """
    if is_inherited:
        message = (
            f"output.fromState: {key!r} still has the value of an earlier job of the session; this job did not set it"
        )
        raise StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))
    if state.get(key) is not None and not is_blank(as_text(state[key])):
        return state[key]
    there = sorted(map(str, state))
    known = ", ".join(there[:12]) + (", …" if len(there) > 12 else "") if there else "nothing"
    what = "is empty" if key in state else "is missing"
    message = f"output.fromState: {key!r} {what} in the session's state at the end (it has: {known})"
    raise StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))


def _validator(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator, SchemaError  # only jobs with a schema load it
    from referencing import Registry

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise config_invalid(f"output.schema: it is malformed: {error.message[:_PROBLEM_CHARS]}") from error
    # An empty registry: an external reference fails instead of being fetched.
    return Draft202012Validator(schema, registry=Registry())


def _refused(own: type[BaseModel] | None, answer: dict[str, Any]) -> list[str]:
    try:
        if own is not None:
            own.model_validate_json(json.dumps(answer))
    except ValidationError as error:
        return [first_problems(error)]
    return []


def _too_large(text: str) -> Ending:
    """A correction would produce the same again."""
    message = (
        f"the answer has {_size(len(text.encode()))}; at most {_size(MOST_BYTES)} can be kept, "
        "and a JSON object counts twice, as text and as JSON; request a shorter one"
    )
    return Ending(Verdict.FAIL, ErrorClass.INVALID_OUTPUT, message)


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB"
