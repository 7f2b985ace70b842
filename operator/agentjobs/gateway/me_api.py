"""A route that returns the caller, for pages and for users who want to know whose token they have."""

from fastapi import APIRouter

from agentjobs.api.recorded_overview import Me
from agentjobs.gateway.rights import Person

router = APIRouter(tags=["identity"])


@router.get("/v1/me")
async def get_me(person: Person) -> Me:
    """Return the caller as the API server knows them. It takes no rights."""
    return Me(name=person.name, groups=list(person.groups), impersonated_by=person.impersonated_by)
