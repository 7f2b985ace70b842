"""An embedded Kubernetes-compatible API server for development and tests. Start at `server`; it knows nothing of any product."""

from agentjobs.dev.apiserver.knobs import Knobs
from agentjobs.dev.apiserver.server import ApiServer

__all__ = ["ApiServer", "Knobs"]
