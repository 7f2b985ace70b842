"""What an installation can set of the dashboard, read as the settings of all processes are (agentjobs.settings)."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from agentjobs.settings import Duration, Names, ServerSettings, named

_HEADER: Final = r"^[A-Za-z0-9-]{1,60}$"


class DashboardSettings(ServerSettings):
    """Settings of `agentjobs dashboard`."""

    port: int = Field(default=8445, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    public_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$", max_length=300)
    """Address at which browsers reach the dashboard, as `https://agentjobs.example.com`, without a path. OpenID Connect
    needs it. With `https` cookies are for TLS only, also where a proxy ends TLS before this process."""

    allowed_hosts: Names = ()
    """Names, separated by commas, under which the dashboard answers beside that of `public_url`; with neither it
    answers under any."""

    session_keys_file: Path | None = None
    """File of the keys that sessions are sealed with, one a line of at least 32 characters: the first seals, all open.

    Read again when it changes. Unset, a key is made at the start: sessions end with the process, and there can be only
    one."""

    session_length: Duration = Field(default=timedelta(hours=8), ge=timedelta(minutes=1), le=timedelta(days=7))
    """After how long a person has to sign in again, at the latest; the end of their token may be earlier."""

    token_sign_in: bool = True
    """Whether people may sign in with a token of the API server."""

    links_folder: Path | None = None
    """Folder of links that sign in once, which `agentjobs dev` makes. For development only."""

    account_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """The token of this process, with which people are impersonated who sign in by OpenID Connect or by headers; read
    again when it changes."""

    trusted_proxies: Names = ()
    """Networks, as `10.0.0.0/8`, separated by commas, of proxies whose headers say who calls and from where."""

    user_header: str | None = Field(default=None, pattern=_HEADER)
    """Header in which a trusted proxy says who has signed in there, as `X-Forwarded-User`. Unset, none is believed."""

    groups_header: str | None = Field(default=None, pattern=_HEADER)
    """Header in which it says their groups, separated by commas, as `X-Forwarded-Groups`. Unset, they have none."""

    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$", max_length=500)
    """URL of the provider of OpenID Connect, as its tokens have it in `iss`. Unset, nobody signs in by it."""

    oidc_name: str = Field(default="OpenID Connect", min_length=1, max_length=60)
    """What the page of signing in calls the provider."""

    oidc_client_id: str | None = None
    """By which name the provider knows the dashboard."""

    oidc_client_secret_file: Path | None = None
    """File with the client's secret; unset for a public client."""

    oidc_ca_file: Path | None = None
    """PEM file that the provider's certificate is checked with; unset, the system's authorities."""

    oidc_scopes: Names = ("openid", "profile", "email")
    """What is asked of the provider, separated by commas; `groups` where it knows that."""

    oidc_username_claim: str = "sub"
    """Which claim of the ID token is the person's name."""

    oidc_username_prefix: str = ""
    """What is put before the name, as `--oidc-username-prefix` of the API server does."""

    oidc_groups_claim: str | None = None
    """Which claim of the ID token has their groups; unset, they have none."""

    oidc_groups_prefix: str = ""
    """What is put before each group."""

    oidc_mode: Literal["Impersonate", "Token"] = "Impersonate"
    """`Impersonate`: the API server hears the person's name and groups from this process, which needs the right to
    impersonate. `Token`: it gets the ID token itself, and must trust the same provider."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @model_validator(mode="after")
    def _ways_are_whole(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.public_url):
            raise ValueError("oidc_issuer takes oidc_client_id and public_url, to which the provider sends people back")
        if self.user_header and not self.trusted_proxies:
            raise ValueError("user_header takes trusted_proxies: from nobody else is the header believed")
        if not (self.token_sign_in or self.links_folder or self.oidc_issuer or self.user_header):
            raise ValueError("nobody could sign in: leave token_sign_in on, or set oidc_issuer or user_header")
        return self


def dashboard_settings(**values: Any) -> DashboardSettings:
    """Read the dashboard's settings; `values` win over the environment. Raises Invalid naming each wrong variable."""
    try:
        return DashboardSettings(**values)
    except ValidationError as error:
        raise named(error) from None
