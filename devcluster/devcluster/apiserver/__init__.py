"""An embedded Kubernetes-compatible API server for development and tests. Start reading at `server`.

It knows nothing of any product: custom resources come in as definitions.
"""

from devcluster.apiserver.faults import Faults
from devcluster.apiserver.server import ApiServer

__all__ = ["ApiServer", "Faults"]
