"""Writes the condition Valid of each template. Jobs do not wait for it."""

import logging
from datetime import datetime

from agentjobs.core.template.model import judged_status
from agentjobs.engine.cache import Name
from agentjobs.errors import Conflict, NotFound
from agentjobs.kube.resources import AGENTTEMPLATES
from agentjobs.reconcile.reporting import log_action
from agentjobs.reconcile.setup import Setup


class Templates:
    """The loop of all templates of the watched namespaces: one write for each edit that changes the result."""

    def __init__(self, setup: Setup) -> None:
        self._state = setup.state
        self._cluster = setup.ports.cluster
        self._now = setup.ports.now

    async def reconcile(self, name: Name) -> datetime | None:
        """Reconcile one template."""
        template = self._state.templates.get(name)
        if template is None:
            return None
        patch = judged_status(template, self._now()).patch_from(template.raw_status)
        if not patch:
            return None
        body = {"metadata": {"resourceVersion": template.resource_version}, "status": patch}
        try:
            answer = await self._cluster.patch(AGENTTEMPLATES, *name, body, subresource="status")
        except (Conflict, NotFound):
            return None  # the watch will deliver the change and reconcile again
        self._state.observe(AGENTTEMPLATES, None, answer)
        about = {"namespace": template.namespace, "template": template.name, "uid": template.uid}
        fields = {"generation": template.generation, "valid": not template.problems}
        log_action("template.validated", logging.INFO, about, fields)
        return None
