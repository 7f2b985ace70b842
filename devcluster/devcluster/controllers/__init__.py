"""The tasks of kube-controller-manager and kube-scheduler that one machine needs: ordinary API clients.

Neither the embedded API server nor a bare kube-apiserver collects garbage, ends namespaces, creates service accounts or
binds pods and claims. These controllers do, for both: `garbage`, `namespaces`, `accounts`, `claims` and `scheduler`.
`keyed` is their work queue; `discovery` reads which kinds a server has.
"""

from devcluster.controllers.accounts import DefaultAccounts
from devcluster.controllers.claims import ClaimBinder
from devcluster.controllers.garbage import GarbageCollector
from devcluster.controllers.namespaces import NamespaceController
from devcluster.controllers.scheduler import Scheduler

__all__ = ["ClaimBinder", "DefaultAccounts", "GarbageCollector", "NamespaceController", "Scheduler"]
