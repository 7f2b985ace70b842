"""The runner's environment, read once by `__main__` and passed on as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentjobs import contract
from agentjobs.models.names import aliases_in


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that the operator sets in the container; see `agentjobs.contract`."""

    gateway_url: str
    token_file: Path
    namespace: str
    job: str
    start: int
    termination_file: Path
    grace_seconds: float
    gateway_ca: str | None = None
    engine: str = contract.ENGINE_ADK
    models_url: str | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Environment":
        """Return the environment from `variables`.

        Raises:
            ValueError: variables are missing or invalid; the message lists all.
        """
        needed = (contract.ENV_GATEWAY_URL, contract.ENV_TOKEN_FILE, contract.ENV_NAMESPACE, contract.ENV_JOB)
        problems = [f"{name} is not set" for name in needed if not variables.get(name)]
        start = variables.get(contract.ENV_START, "")
        if not (start.isascii() and start.isdigit() and int(start) > 0):
            problems.append(f"{contract.ENV_START} must be a positive integer, got {start[:40]!r}")
        grace = variables.get(contract.ENV_GRACE_SECONDS, "30")
        if not (grace.isascii() and grace.isdigit()):
            problems.append(f"{contract.ENV_GRACE_SECONDS} must be whole seconds, got {grace[:40]!r}")
        try:
            aliases_in(variables)
        except ValueError as error:
            problems.append(str(error))
        if problems:
            raise ValueError(f"{'; '.join(problems)}. The operator sets these in its pods.")
        return cls(
            gateway_url=variables[contract.ENV_GATEWAY_URL].rstrip("/"),
            token_file=Path(variables[contract.ENV_TOKEN_FILE]),
            namespace=variables[contract.ENV_NAMESPACE],
            job=variables[contract.ENV_JOB],
            start=int(start),
            termination_file=Path(variables.get(contract.ENV_TERMINATION_FILE, contract.TERMINATION_FILE)),
            grace_seconds=float(grace),
            gateway_ca=variables.get(contract.ENV_GATEWAY_CA) or None,
            engine=variables.get(contract.ENV_ENGINE) or contract.ENGINE_ADK,
            models_url=variables.get(contract.ENV_MODELS_URL) or None,
        )
