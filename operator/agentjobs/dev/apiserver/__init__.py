"""An embedded Kubernetes-compatible API server for development and tests. Start reading at `server`.

It knows nothing of any product: custom resources come in as definitions.
"""

from agentjobs.dev.apiserver.knobs import Knobs
from agentjobs.dev.apiserver.server import ApiServer

__all__ = ["ApiServer", "Knobs"]
