"""An embedded Kubernetes-compatible API server for development and tests. Start reading at `server`.

It knows nothing of any product: custom resources come in as definitions.
"""

from devcluster.apiserver.knobs import Knobs
from devcluster.apiserver.server import ApiServer

__all__ = ["ApiServer", "Knobs"]
