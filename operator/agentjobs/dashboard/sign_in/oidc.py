"""OpenID Connect: the authorization code flow with PKCE, state and nonce, and the checks of the ID token.

The provider's metadata and keys are cached for an hour; an unknown key makes it read them again.
"""

import logging
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

import httpx
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]  # it has no types
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]  # likewise
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # likewise
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from agentjobs.dashboard.sign_in.proxies import Person, person_of
from agentjobs.problem import Problem, unavailable

logger = logging.getLogger(__name__)

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
"""Signatures with private keys of the provider: never `none`, never a shared secret."""
SKEW_SECONDS: Final = 60
"""Allowed difference of clocks."""
PENDING: Final = timedelta(minutes=10)
"""How long a person may take at the provider."""
CALLBACK: Final = "/sign-in/oidc/callback"
SIGNED_OUT: Final = "/sign-in/oidc/signed-out"
"""Where the provider sends people after they signed out there."""
HINT_CHARS: Final = 3000
"""Longest ID token that is sent for signing out: it is part of an address, and servers limit the length of those."""
KNOWN_SECONDS: Final = 3600.0
# Tokens with unknown keys must not cause a request each.
_KEYS_AGAIN_SECONDS: Final = 10.0
_TIMEOUT_SECONDS: Final = 10.0


class Refused(Exception):
    """The provider's answer is refused. The reason is for the log and for tests."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Client:
    """The registration at the provider, and the claims that are used."""

    issuer: str
    client_id: str
    secret: str | None = field(repr=False)
    redirect_uri: str
    scopes: tuple[str, ...]
    username_claim: str
    username_prefix: str
    groups_claim: str | None
    groups_prefix: str
    name: str
    """Name of the provider on pages."""
    keeps_token: bool
    """Whether the ID token is sent to the API server."""


class Pending(msgspec.Struct, frozen=True):
    """A sign-in in progress at the provider; stored in a sealed cookie."""

    state: str
    nonce: str
    verifier: str
    to: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """The provider's answer."""

    person: Person
    token: str = field(repr=False)
    """The ID token."""


class Provider:
    """One provider.

    Args:
        http: for requests to it.
        clock: in seconds, monotonic.
    """

    def __init__(self, client: Client, http: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._http = http
        self._clock = clock
        self._about: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def begin(self, to: str, now: datetime) -> tuple[str, Pending]:
        """Return the address at the provider, and the state for a cookie.

        Raises:
            Problem: 503, the provider cannot be reached.
        """
        pending = Pending(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            to=to,
            until=now + PENDING,
        )
        address: str = prepare_grant_uri(
            await self._endpoint("authorization_endpoint"),
            self.client.client_id,
            "code",
            redirect_uri=self.client.redirect_uri,
            scope=" ".join(self.client.scopes),
            state=pending.state,
            nonce=pending.nonce,
            code_challenge=create_s256_code_challenge(pending.verifier),
            code_challenge_method="S256",
        )
        return address, pending

    async def finish(self, code: str, pending: Pending, now: datetime) -> Answered:
        """Return the person who signed in at the provider.

        Raises:
            Refused: the answer is not valid.
            Problem: 503, the provider cannot be reached.
        """
        answer = await self._exchange(code, pending)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Refused("NoIdToken")
        claims = await self._checked(token, pending.nonce, now, access_token=answer.get("access_token"))
        return Answered(self._person(claims), token)

    async def sign_out(self, hint: str | None) -> str | None:
        """Return the address at which the provider signs a person out, and sends them back to SIGNED_OUT.

        None where the provider has no such address (`end_session_endpoint`), or cannot be reached.

        Args:
            hint: an ID token for the address, where browsers and servers record it; None for none: the provider then
                asks the user first.
        """
        try:
            about = await self._metadata()
        except Problem:
            return None
        address = about.get("end_session_endpoint")
        if not self._is_address(address):
            return None
        back = self.client.redirect_uri.removesuffix(CALLBACK) + SIGNED_OUT
        query = {"client_id": self.client.client_id, "post_logout_redirect_uri": back}
        query |= {"id_token_hint": hint} if hint else {}
        return str(httpx.URL(address).copy_merge_params(query))

    async def _exchange(self, code: str, pending: Pending) -> Mapping[str, Any]:
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "client_id": self.client.client_id,
            "code_verifier": pending.verifier,
        }
        # In a form field: every provider supports it, and few agree on the escapes of a Basic header.
        sent |= {"client_secret": self.client.secret} if self.client.secret else {}
        answer = await self._request("POST", await self._endpoint("token_endpoint"), data=sent)
        if 400 <= answer.status_code < 500:
            raise Refused("CodeRefused")
        if (found := _object(answer)) is None:
            raise Refused("NotUnderstood")
        return found

    async def _checked(self, token: str, nonce: str, now: datetime, *, access_token: object) -> Mapping[str, Any]:
        seconds = int(now.timestamp())
        try:
            signed = await self._verified(token)
            claims = CodeIDToken(
                signed.claims,
                signed.header,
                {
                    "iss": {"essential": True, "value": self.client.issuer},
                    "aud": {"essential": True, "value": self.client.client_id},
                    "exp": {"essential": True},
                },
                {"nonce": nonce, "client_id": self.client.client_id, "access_token": access_token},
            )
            claims.validate(now=seconds, leeway=SKEW_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            # The library's text may quote the token; the error's name and the claim do not.
            claim = getattr(error, "claim", None)
            raise Refused(f"{type(error).__name__.removesuffix('Error')}{f':{claim}' if claim else ''}") from None
        found: Mapping[str, Any] = claims
        return found

    async def _verified(self, token: str) -> jwt.Token:
        keys = await self._key_set()
        try:
            return jwt.decode(token, keys, algorithms=ALGORITHMS)
        except (InvalidKeyIdError, ValueError):
            again = await self._key_set(at_least=self._clock() - _KEYS_AGAIN_SECONDS)
            if again is keys:
                raise
            return jwt.decode(token, again, algorithms=ALGORITHMS)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = claims.get(self.client.username_claim)
        if not isinstance(name, str) or not name:
            raise Refused("NoName")
        # As the API server does: an unverified address does not identify a person.
        if self.client.username_claim == "email" and claims.get("email_verified", True) is not True:
            raise Refused("EmailNotVerified")
        claimed = claims.get(self.client.groups_claim) if self.client.groups_claim else None
        groups = [claimed] if isinstance(claimed, str) else claimed if isinstance(claimed, list) else []
        named = [f"{self.client.groups_prefix}{group}" for group in groups if isinstance(group, str)]
        person = person_of(f"{self.client.username_prefix}{name}", named)
        if person is None:
            raise Refused("NameNotTaken")
        return person

    async def _endpoint(self, name: str) -> str:
        address = (await self._metadata()).get(name)
        if not self._is_address(address):
            raise self._away(f"its metadata has no {name}")
        return address

    def _is_address(self, value: object) -> TypeGuard[str]:
        plain = urlsplit(self.client.issuer).scheme == "http"  # for tests and trials on one machine
        try:
            address = httpx.URL(value if isinstance(value, str) else "")
        except httpx.InvalidURL:
            return False
        return bool(address.host) and address.scheme in ("https", *(["http"] if plain else []))

    async def _metadata(self) -> Mapping[str, Any]:
        if self._about is None or self._clock() >= self._about[0] + KNOWN_SECONDS:
            where = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = await self._document(where)
            if found.get("issuer") != self.client.issuer:
                raise self._away("its metadata has another issuer")
            self._about = (self._clock(), found)
        return self._about[1]

    async def _key_set(self, *, at_least: float = float("-inf")) -> KeySet:
        """Return the provider's keys, read at that time or later."""
        oldest = max(at_least, self._clock() - KNOWN_SECONDS)
        if self._keys is None or self._keys[0] < oldest:
            found: Any = await self._document(await self._endpoint("jwks_uri"))
            try:
                self._keys = (self._clock(), KeySet.import_key_set(found))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise self._away("its keys cannot be read") from error
        return self._keys[1]

    async def _document(self, url: str) -> Mapping[str, Any]:
        found = _object(await self._request("GET", url))
        if found is None:
            raise self._away(f"{url} is not a JSON object")
        return found

    async def _request(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, url, headers={"Accept": "application/json"}, **more)
        except httpx.HTTPError as error:
            raise self._away(type(error).__name__) from error
        if answer.status_code >= 500 or (method == "GET" and not answer.is_success):
            raise self._away(f"it answered {answer.status_code}")
        return answer

    def _away(self, why: str) -> Problem:
        logger.warning("oidc.unavailable", extra={"issuer": self.client.issuer, "error": why})
        return unavailable(f"{self.client.name} cannot be reached now. The dashboard's log has the reason.")


def _object(answer: httpx.Response) -> Mapping[str, Any] | None:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def open_http(ca_file: str | None) -> httpx.AsyncClient:
    """Return a client for a provider. `ca_file` is the PEM file of its authorities, None for the system's."""
    context = ssl.create_default_context(cafile=ca_file)
    return httpx.AsyncClient(verify=context, timeout=_TIMEOUT_SECONDS)
