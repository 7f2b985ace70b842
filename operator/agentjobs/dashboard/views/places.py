"""Where a person looks next, as the address of a page. Pure."""

from agentjobs.api.causes import Look
from agentjobs.api.known_job import Known, queue_of
from agentjobs.dashboard.rendering import link

_WORDS = {
    Look.LOGS: "See the log",
    Look.TRANSCRIPT: "Read the transcript",
    Look.STEPS: "See the steps",
    Look.SPEC: "See its spec",
    Look.MODELS: "See the models",
    Look.QUEUE: "Open the queue",
    Look.TEMPLATE: "Open the template",
    Look.EVENTS: "See its events",
    Look.TWIN: "Open that job",
    Look.RESULT: "Read the answer",
}


def place_to_look(known: Known, look: Look | None) -> tuple[str, str] | None:
    """Return words and address of where to look next; None where that is nowhere."""
    if look is None:
        return None
    words, namespace, status = _WORDS[look], known.namespace, known.status
    match look:
        case Look.MODELS:
            return words, link("models", namespace=namespace)
        case Look.QUEUE:
            queue = queue_of(known)
            return (words, link("queues", namespace, queue)) if queue else None
        case Look.TEMPLATE:
            told = known.spec.get("templateRef")
            name = str(told.get("name") or "") if isinstance(told, dict) else ""
            return (words, link("templates", namespace, name)) if name else None
        case Look.TWIN:
            twin = status.duplicate_of
            return (words, link("jobs", namespace, twin.uid or twin.name)) if twin else None
        case Look.LOGS:
            return words, link("jobs", namespace, known.key, show="logs")
    return words, link("jobs", namespace, known.key, show=look.value)
