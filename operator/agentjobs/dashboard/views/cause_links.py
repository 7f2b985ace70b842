"""The page that a person should open next. Pure."""

from agentjobs.api.causes import DetailPage
from agentjobs.api.known_job import Known, queue_of
from agentjobs.dashboard.texts import link

_WORDS = {
    DetailPage.LOGS: "Open the log",
    DetailPage.TRANSCRIPT: "Read the transcript",
    DetailPage.STEPS: "Open the steps",
    DetailPage.SPEC: "Open the spec",
    DetailPage.MODELS: "Open the models",
    DetailPage.QUEUE: "Open the queue",
    DetailPage.TEMPLATE: "Open the template",
    DetailPage.EVENTS: "Open the events",
    DetailPage.EQUAL_JOB: "Open that job",
    DetailPage.RESULT: "Read the answer",
}


def place_to_look(known: Known, page: DetailPage | None) -> tuple[str, str] | None:
    """Return text and address of the page to open next, or None."""
    if page is None:
        return None
    words, namespace, status = _WORDS[page], known.namespace, known.status
    match page:
        case DetailPage.MODELS:
            return words, link("models", namespace=namespace)
        case DetailPage.QUEUE:
            queue = queue_of(known)
            return (words, link("queues", namespace, queue)) if queue else None
        case DetailPage.TEMPLATE:
            reference = known.spec.get("templateRef")
            name = str(reference.get("name") or "") if isinstance(reference, dict) else ""
            return (words, link("templates", namespace, name)) if name else None
        case DetailPage.EQUAL_JOB:
            equal_job = status.duplicate_of
            return (words, link("jobs", namespace, equal_job.uid or equal_job.name)) if equal_job else None
        case DetailPage.LOGS:
            return words, link("jobs", namespace, known.key, show="logs")
    return words, link("jobs", namespace, known.key, show=page.value)
