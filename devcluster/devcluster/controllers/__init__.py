"""What kube-controller-manager and kube-scheduler would do, as far as one machine needs it: ordinary API clients.

Neither the embedded API server nor a bare kube-apiserver collects garbage, ends namespaces, makes service accounts or
binds pods. These do, and they run unchanged against both.
"""

from devcluster.controllers.accounts import DefaultAccounts
from devcluster.controllers.garbage import GarbageCollector
from devcluster.controllers.namespaces import NamespaceController
from devcluster.controllers.scheduler import Scheduler

__all__ = ["DefaultAccounts", "GarbageCollector", "NamespaceController", "Scheduler"]
