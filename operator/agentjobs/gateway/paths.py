"""The paths of routes of users, and parameters that many of them have."""

from typing import Annotated, Final

from fastapi import Path, Query

from agentjobs.api.fields import DNS_SUBDOMAIN
from agentjobs.history.pages import MAX_LIMIT

PLACE: Final = "/v1/namespaces/{namespace}"
COLLECTION: Final = PLACE + "/agentjobs"
QUEUE: Final = PLACE + "/queues/{name}"
SCHEDULE: Final = PLACE + "/schedules/{name}"
TEMPLATE: Final = PLACE + "/templates/{name}"

# RFC 1123, as the API server checks names; a uid matches, too.
Namespace = Annotated[str, Path(pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Name = Annotated[
    str, Path(pattern="^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", description="The name or the uid of the job.")
]
ObjectName = Annotated[str, Path(max_length=253, pattern=DNS_SUBDOMAIN)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=512, description="The `cursor` of the previous page.")]
