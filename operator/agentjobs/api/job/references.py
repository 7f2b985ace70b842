"""References from a job to other objects of its namespace."""

from pydantic import Field

from agentjobs.api.fields import CONFIG_KEY, DNS_SUBDOMAIN
from agentjobs.api.model import Model


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the job's namespace."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the ConfigMap.")
    key: str = Field(min_length=1, max_length=253, pattern=CONFIG_KEY, description="Key in its data.")
