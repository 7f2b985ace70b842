"""The engines that run agents. The operator names one in the pod's environment, and no other is imported.

An engine takes most of a start to import, so `attempt` has it loaded while the gateway answers.
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
"""The module of each engine. To add one, write such a module and name it here."""


class Engine(Protocol):
    """The interface of a module in `MODULES`."""

    def execute(
        self, attempt: Attempt, gate: Gate, recorder: Recorder, journal: Journal, stores: Stores | None = None
    ) -> Ending:
        """Run the agent of `attempt` and return how it ended.

        Called once, in a thread of its own; may block for as long as the agent runs. Never speaks to the gateway
        and never ends the process: whatever user code does comes back as an Ending.

        Args:
            attempt: what to run.
            gate: asked before each step.
            recorder: takes the entries of the timeline and signs of progress.
            journal: holds the steps of earlier starts, and records new ones.
            stores: keep the session, artifacts and memory; without them they live as long as the start.
        """


class Loading:
    """Imports an engine in a thread of its own, from the moment it is made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = threading.Thread(target=self._import, name="engine-import", daemon=True)
        self._thread.start()

    def wait(self) -> Engine:
        """Return the engine.

        Raises:
            StartEnded: ConfigInvalid when this image has no engine of that name.
            Exception: what its import raises.
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
