"""A provider of OpenID Connect for tests: it signs in every user, by code and PKCE, and can return false claims."""

import base64
import functools
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


@functools.cache
def the_key():
    """One for all tests: each takes a fifth of a second to make."""
    return a_key()


def a_key(kid="one"):
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass
class OidcProvider:
    """What it says, which a test may change."""

    issuer: str = "http://provider"
    client_id: str = "dashboard"
    secret: str | None = "hush"
    claims: dict = field(default_factory=dict)
    """On top of what is right."""
    key: object = field(default_factory=the_key)
    """That signs."""
    published: list | None = None
    """Keys that it tells; None for the one that signs."""
    algorithm: str = "RS256"
    error: str | None = None
    """With which the person comes back."""
    end_session: str | None = "/end-session?theme=plain"
    """The `end_session_endpoint` of its metadata, after the issuer."""
    away: bool = False
    seconds: float | None = None
    """The time of its clock; None for the machine's."""
    asked: list = field(default_factory=list)
    """Paths."""
    codes: dict = field(default_factory=dict)

    def app(self):
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._about),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
                Route("/end-session", self._end_session),
            ]
        )

    async def _about(self, request):
        self.asked.append(request.url.path)
        if self.away:
            return Response(status_code=502)
        names = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        names |= {} if self.end_session is None else {"end_session_endpoint": self.end_session}
        return JSONResponse({"issuer": self.issuer} | {name: self.issuer + path for name, path in names.items()})

    async def _keys(self, request):
        self.asked.append(request.url.path)
        keys = [self.key] if self.published is None else self.published
        return Response(status_code=502) if self.away else JSONResponse(KeySet(keys).as_dict(private=False))

    async def _authorize(self, request):
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == self.client_id
        if self.error:
            told = {"error": self.error, "state": asked["state"]}
        else:
            code = secrets.token_hex(8)
            self.codes[code] = asked
            told = {"code": code, "state": asked["state"], "iss": self.issuer}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(told)}", 302)

    async def _end_session(self, request):
        asked = request.query_params
        self.asked.append(request.url.path)
        assert asked["client_id"] == self.client_id
        if hint := asked.get("id_token_hint"):
            assert jwt.decode(hint, self.key).claims["aud"] == self.client_id
        return RedirectResponse(asked["post_logout_redirect_uri"], 302)

    async def _token(self, request):
        self.asked.append(request.url.path)
        form = await request.form()
        if self.away:
            return Response(status_code=502)
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        known = form["client_id"] == self.client_id and form.get("client_secret") == self.secret
        if (
            asked is None
            or proof != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
            or not known
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            {
                "access_token": "access",
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self.id_token(asked["nonce"]),
            }
        )

    def id_token(self, nonce):
        now = int(time.time() if self.seconds is None else self.seconds)
        right = {"iss": self.issuer, "aud": self.client_id, "sub": "ada", "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {name: value for name, value in (right | self.claims).items() if value is not None}
        if self.algorithm == "none":
            parts = [json.dumps({"alg": "none", "kid": "one"}), json.dumps(claims)]
            return ".".join([*(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts), ""])
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def a_shared_secret():
    return OctKey.import_key("hush" * 10, {"kid": "one"})


def an_elliptic_key():
    return ECKey.generate_key("P-256", {"kid": "elliptic", "use": "sig", "alg": "ES256"})
