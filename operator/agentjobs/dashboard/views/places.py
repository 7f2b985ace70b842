"""The page that a person should open next. Pure."""

from agentjobs.api.causes import Page
from agentjobs.api.known_job import Known, queue_of
from agentjobs.dashboard.texts import link

_WORDS = {
    Page.LOGS: "Open the log",
    Page.TRANSCRIPT: "Read the transcript",
    Page.STEPS: "Open the steps",
    Page.SPEC: "Open the spec",
    Page.MODELS: "Open the models",
    Page.QUEUE: "Open the queue",
    Page.TEMPLATE: "Open the template",
    Page.EVENTS: "Open the events",
    Page.EQUAL_JOB: "Open that job",
    Page.RESULT: "Read the answer",
}


def place_to_look(known: Known, page: Page | None) -> tuple[str, str] | None:
    """Return text and address of the page to open next, or None."""
    if page is None:
        return None
    words, namespace, status = _WORDS[page], known.namespace, known.status
    match page:
        case Page.MODELS:
            return words, link("models", namespace=namespace)
        case Page.QUEUE:
            queue = queue_of(known)
            return (words, link("queues", namespace, queue)) if queue else None
        case Page.TEMPLATE:
            reference = known.spec.get("templateRef")
            name = str(reference.get("name") or "") if isinstance(reference, dict) else ""
            return (words, link("templates", namespace, name)) if name else None
        case Page.EQUAL_JOB:
            equal_job = status.duplicate_of
            return (words, link("jobs", namespace, equal_job.uid or equal_job.name)) if equal_job else None
        case Page.LOGS:
            return words, link("jobs", namespace, known.key, show="logs")
    return words, link("jobs", namespace, known.key, show=page.value)
