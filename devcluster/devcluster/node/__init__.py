"""A node without containers: pods bound to it run as processes of this machine. No sandbox of any kind.

It reports what a kubelet reports, with the same reasons and messages, so that API clients see no difference. Images,
security contexts, resource limits, probes and mount namespaces do not exist here. The node is an ordinary API client
and works with embedded and real servers.

`kubelet` registers the node and runs a worker of `pods` for each pod, which uses `volumes`, `environment`,
`containers`, `logs`, `label_selectors`, `statuses` and `writer`. `endpoint` serves logs, `claims` deletes the
folders of deleted claims.
"""

from devcluster.node.kubelet import ProcessNode
from devcluster.node.pods import Instant

__all__ = ["Instant", "ProcessNode"]
