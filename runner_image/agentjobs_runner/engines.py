"""The engines that run agents. The operator names one in the pod's environment; no other is imported.

Importing an engine takes most of a start's time, so `attempt` loads it while the gateway answers.
"""

import importlib
import threading
from types import ModuleType
from typing import Final, Protocol, cast

from agentjobs import contract
from agentjobs.contract import Attempt
from agentjobs_runner import import_trim
from agentjobs_runner.endings import Ending, StartEnded, config_invalid
from agentjobs_runner.gate import Gate
from agentjobs_runner.journal import Journal
from agentjobs_runner.stores import Stores
from agentjobs_runner.timeline import Recorder

MODULES: Final = {
    contract.ENGINE_ADK: "agentjobs_runner.adk.engine",
    contract.ENGINE_CLAUDE_CODE: "agentjobs_runner.claude_code.engine",
}
"""The module of each engine. To add an engine, write such a module and add it here."""


class Engine(Protocol):
    """The interface of a module in `MODULES`."""

    def execute(
        self, attempt: Attempt, gate: Gate, recorder: Recorder, journal: Journal, stores: Stores | None = None
    ) -> Ending:
        """Run the agent of `attempt` and return how it ended.

        Called once, in its own thread; may block for as long as the agent runs. It never calls the gateway and never
        ends the process: errors of user code are returned as an Ending.

        Args:
            attempt: the work.
            gate: called before each step.
            recorder: takes timeline entries and signs of progress.
            journal: has the steps of earlier starts, and records new ones.
            stores: keep session, artifacts and memory; without them these live as long as the start.
        """


class Loading:
    """Imports an engine in its own thread, as soon as it is created."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = threading.Thread(target=self._import, name="engine-import", daemon=True)
        self._thread.start()

    def wait(self) -> Engine:
        """Return the engine.

        Raises:
            StartEnded: ConfigInvalid if this image does not have the engine.
            Exception: of its import.
        """
        self._thread.join()
        if self._name not in MODULES:
            raise _unknown(self._name)
        return cast("Engine", self._module())

    def _import(self) -> None:
        try:
            self._module()
        except BaseException:  # noqa: S110  wait() imports again, in the thread that can report it
            pass
        finally:
            import_trim.show()

    def _module(self) -> ModuleType:
        return importlib.import_module(MODULES[self._name])


def _unknown(name: str) -> StartEnded:
    known = ", ".join(sorted(MODULES))
    return config_invalid(
        f"{contract.ENV_ENGINE}: this runner has no engine {name[:63]!r} (it has: {known}); "
        "use a runner image of the operator's version in runtime.image"
    )
