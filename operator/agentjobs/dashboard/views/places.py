"""The page that a person should open next. Pure."""

from agentjobs.api.causes import Look
from agentjobs.api.known_job import Known, queue_of
from agentjobs.dashboard.texts import link

_WORDS = {
    Look.LOGS: "Open the log",
    Look.TRANSCRIPT: "Read the transcript",
    Look.STEPS: "Open the steps",
    Look.SPEC: "Open the spec",
    Look.MODELS: "Open the models",
    Look.QUEUE: "Open the queue",
    Look.TEMPLATE: "Open the template",
    Look.EVENTS: "Open the events",
    Look.TWIN: "Open that job",
    Look.RESULT: "Read the answer",
}


def place_to_look(known: Known, look: Look | None) -> tuple[str, str] | None:
    """Return text and address of the page to open next, or None."""
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
