"""Settings of the dashboard, read as those of all processes (agentjobs.settings)."""

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
    """Port to listen on; 0 chooses a free one."""

    public_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$", max_length=300)
    """Address of the dashboard for browsers, as `https://agentjobs.example.com`, without a path. OpenID Connect needs
    it. With `https`, cookies are for TLS only, also where a proxy terminates TLS."""

    allowed_hosts: Names = ()
    """Host names that are served in addition to that of `public_url`, separated by commas; with neither, any is
    served."""

    session_keys_file: Path | None = None
    """File of the keys of session cookies, one per line of at least 32 characters: the first encrypts, all decrypt.

    Read again when it changes. Unset, a key is generated at the start: sessions end with the process, and there can be
    only one replica."""

    session_length: Duration = Field(default=timedelta(hours=8), ge=timedelta(minutes=1), le=timedelta(days=7))
    """Longest lifetime of a session; it ends earlier if its token expires."""

    token_sign_in: bool = True
    """Whether people may sign in with a token of the API server."""

    links_folder: Path | None = None
    """Folder of the one-time links of `agentjobs dev`. For development only."""

    account_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """Token of this process, used to impersonate people who sign in by OpenID Connect or headers; read again when it
    changes."""

    trusted_proxies: Names = ()
    """Networks of trusted proxies, as `10.0.0.0/8`, separated by commas. Their headers name the person and the client's
    address."""

    user_header: str | None = Field(default=None, pattern=_HEADER)
    """Header with the name of the person that a trusted proxy has signed in, as `X-Forwarded-User`. Unset, headers are
    ignored."""

    groups_header: str | None = Field(default=None, pattern=_HEADER)
    """Header with their groups, separated by commas, as `X-Forwarded-Groups`. Unset, they have no groups."""

    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$", max_length=500)
    """URL of the OpenID Connect provider, as in `iss` of its tokens. Unset, OpenID Connect is disabled."""

    oidc_name: str = Field(default="OpenID Connect", min_length=1, max_length=60)
    """Name of the provider on the sign-in page."""

    oidc_client_id: str | None = None
    """Client id of the dashboard at the provider."""

    oidc_client_secret_file: Path | None = None
    """File with the client's secret; unset for a public client."""

    oidc_ca_file: Path | None = None
    """PEM file of the authorities of the provider's certificate; unset, the system's authorities."""

    oidc_scopes: Names = ("openid", "profile", "email")
    """Requested scopes, separated by commas; add `groups` if the provider has it."""

    oidc_username_claim: str = "sub"
    """Claim of the ID token with the person's name."""

    oidc_username_prefix: str = ""
    """Prefix of the name, as `--oidc-username-prefix` of the API server."""

    oidc_groups_claim: str | None = None
    """Claim of the ID token with their groups; unset, they have no groups."""

    oidc_groups_prefix: str = ""
    """Prefix of each group."""

    oidc_mode: Literal["Impersonate", "Token"] = "Impersonate"
    """`Impersonate`: this process sends the person's name and groups to the API server, and needs the right to
    impersonate. `Token`: the API server gets the ID token, and must trust the same provider."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @model_validator(mode="after")
    def _ways_are_whole(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.public_url):
            raise ValueError(
                "oidc_issuer needs oidc_client_id and public_url: the provider redirects people to the latter"
            )
        if self.user_header and not self.trusted_proxies:
            raise ValueError("user_header needs trusted_proxies: the header is accepted only from those")
        if not (self.token_sign_in or self.links_folder or self.oidc_issuer or self.user_header):
            raise ValueError("no way to sign in is enabled: leave token_sign_in on, or set oidc_issuer or user_header")
        return self


def dashboard_settings(**values: Any) -> DashboardSettings:
    """Read the dashboard's settings; `values` win over the environment. Raises Misconfigured with each wrong one."""
    try:
        return DashboardSettings(**values)
    except ValidationError as error:
        raise named(error) from None
