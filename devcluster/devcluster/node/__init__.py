"""A node without containers: pods bound to it run as processes of this machine. No sandbox of any kind.

It reports what a kubelet reports, in the same words, so that everything above cannot tell. Images, security contexts,
resource limits, probes and mount namespaces do not exist here. Ordinary API client; serves embedded and real servers.
"""

from devcluster.node.kubelet import ProcessNode
from devcluster.node.pods import Instant

__all__ = ["Instant", "ProcessNode"]
