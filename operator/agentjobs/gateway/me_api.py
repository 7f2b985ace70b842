"""Who the caller is, as every other route takes them: for pages, and for people who wonder what their token is."""

from fastapi import APIRouter

from agentjobs.api.recorded_overview import Me
from agentjobs.gateway.rights import Person

router = APIRouter(tags=["identity"])


@router.get("/v1/me")
async def get_me(person: Person) -> Me:
    """Tell who asks, as the API server knows them; it takes no right."""
    return Me(name=person.name, groups=list(person.groups), impersonated_by=person.impersonated_by)
