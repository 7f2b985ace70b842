"""The structure a job wants of its answer: how the agent is told, how the answer is judged, what comes of a wrong one.

Made by `engine` from `spec.output` once a start. Pure but for loading the validator, which only jobs with a schema do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agentjobs.contract import MAX_OUTCOME_CHARS, ErrorClass, Result, Verdict
from agentjobs_runner.endings import Ending, config_invalid

# A model mends what it is told; more than this in one message only confuses it.
SHOWN_PROBLEMS: Final = 10
_PROBLEM_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Output:
    """What `spec.output` says. `repairs` is how many corrections one start may make."""

    schema: Mapping[str, Any]
    outcome_key: str
    fails: bool
    repairs: int
    _validator: Any = field(repr=False)

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> "Output | None":
        """Return the wanted structure, None for a job that wants none.

        Raises:
            Ended: ConfigInvalid when this image's validator refuses the schema.
        """
        if not given:
            return None
        from jsonschema import Draft202012Validator, SchemaError  # see above
        from referencing import Registry

        schema = given["schema"]
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise config_invalid(f"output.schema: it is malformed: {error.message[:_PROBLEM_CHARS]}") from error
        on_invalid = given.get("onInvalid") or "Repair"
        return cls(
            schema=schema,
            outcome_key=given.get("outcomeKey") or "outcome",
            fails=on_invalid == "Fail",
            repairs=given.get("maxRepairs", 2) if on_invalid == "Repair" else 0,
            # An empty registry: a reference that leads outside fails instead of being fetched.
            _validator=Draft202012Validator(schema, registry=Registry()),
        )

    @property
    def request(self) -> str:
        """What the agent is told beside the job's message."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return (
            "Your final answer must be one JSON object that validates against this JSON Schema, "
            f"and nothing else, no explanation and no Markdown:\n{schema}"
        )

    def problems(self, answer: object) -> list[str]:
        """Say what is wrong with a structured answer, each with its place; empty when it fits."""
        if not isinstance(answer, dict):
            return ["the answer is no JSON object"]
        errors = sorted(self._validator.iter_errors(answer), key=lambda error: list(map(str, error.absolute_path)))
        return [
            f"{'/'.join(map(str, error.absolute_path)) or 'the object'}: {error.message[:_PROBLEM_CHARS]}"
            for error in errors[:SHOWN_PROBLEMS]
        ]

    def correction(self, problems: list[str]) -> str:
        """What the agent is told after an answer that does not fit."""
        told = "\n".join(f"- {problem}" for problem in problems)
        return (
            f"Your answer does not validate against the JSON Schema:\n{told}\n"
            "Answer again, with the whole corrected JSON object and nothing else."
        )

    def accepted(self, ending: Ending, result: Result) -> Ending:
        """Return the ending of an answer that fits, with its outcome."""
        value = (result["structured"] or {}).get(self.outcome_key)
        outcome = value if isinstance(value, str) and 0 < len(value) <= MAX_OUTCOME_CHARS else None
        return replace(ending, result=Result(**{**result, "outcome": outcome}))

    def invalid(self, problems: list[str]) -> Ending:
        """Return the ending of an answer that does not fit and is not corrected any more."""
        after = f" after {self.repairs} corrections" if self.repairs else ""
        message = f"the answer does not fit output.schema{after}: {'; '.join(problems)}"
        return Ending(Verdict.FAIL if self.fails else Verdict.RETRY, ErrorClass.INVALID_OUTPUT, message)
