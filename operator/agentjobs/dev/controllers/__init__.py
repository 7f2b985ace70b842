"""What kube-controller-manager and kube-scheduler would do, as far as one machine needs it: ordinary API clients.

Neither the embedded API server nor a bare kube-apiserver collects garbage, ends namespaces, makes service accounts or
binds pods. These do, and they run unchanged against both.
"""

from agentjobs.dev.controllers.accounts import DefaultAccounts
from agentjobs.dev.controllers.binder import Binder
from agentjobs.dev.controllers.garbage import GarbageCollector
from agentjobs.dev.controllers.namespaces import NamespaceController

__all__ = ["Binder", "DefaultAccounts", "GarbageCollector", "NamespaceController"]
