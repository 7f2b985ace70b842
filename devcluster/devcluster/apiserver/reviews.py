"""Answers the virtual kinds: TokenRequest, TokenReview and access reviews. No HTTP; called by `handlers`.

Access reviews use the `rbac.Authorizer` that authorizes requests.
"""

import hmac
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from devcluster.apiserver.auth import ADMIN_IDENTITY, ISSUER, Identity, read_token, sign_token
from devcluster.apiserver.errors import Cause, bad_request, bad_value, conflict, invalid, not_found, required
from devcluster.apiserver.kinds import POD, SECRET, SERVICE_ACCOUNT, Kind
from devcluster.apiserver.rbac import Attributes, Authorizer
from devcluster.apiserver.store import Object, Store
from devcluster.timestamps import timestamp

_PREFIX: Final = "system:serviceaccount:"
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
# The bounds of a real TokenRequest: ten minutes to 2^32 seconds, by default an hour.
_MIN_SECONDS: Final = 600
_MAX_SECONDS: Final = 1 << 32
_DEFAULT_SECONDS: Final = 3600

_TOKEN_REQUEST: Final = Kind("authentication.k8s.io", "v1", "tokenrequests", "tokenrequest", "TokenRequest")


class Reviews:
    """Identifies tokens and answers reviews."""

    def __init__(
        self, store: Store, access: Authorizer, *, admin_token: str, signing_key: bytes, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._access = access
        self._admin_token = admin_token.encode()
        self._key = signing_key
        self._clock = clock

    def identify(self, token: str) -> Identity | None:
        """Return the user of a token; None when it is unknown or expired, or its pod or account is gone."""
        if hmac.compare_digest(token.encode("utf-8", "replace"), self._admin_token):
            return ADMIN_IDENTITY
        claims = read_token(self._key, token)
        return None if claims is None else self._identify_account(claims)

    def request_token(self, namespace: str, name: str, body: Object) -> Object:
        """Answer `serviceaccounts/token` with a signed token, which may be bound to a pod or secret.

        Raises:
            StatusError: 404 when the account or the bound object does not exist, 400 and 409 when it belongs to another
                account or has another uid, 422 for a duration out of bounds.
        """
        account = self._store.get(SERVICE_ACCOUNT.qualified_name, (namespace, name))
        if account is None:
            raise not_found(SERVICE_ACCOUNT, name)
        spec = _mapping(body.get("spec"), "spec")
        seconds = spec.get("expirationSeconds")
        seconds = _DEFAULT_SECONDS if seconds is None else seconds
        causes = _check_seconds(seconds)
        if causes:
            raise invalid(_TOKEN_REQUEST, "", causes)
        now = self._clock().astimezone(UTC)
        audiences = _strings(spec.get("audiences"), "spec.audiences") or [ISSUER]
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": f"{_PREFIX}{namespace}:{name}",
            "aud": audiences,
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int(now.timestamp()) + seconds,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": account.obj["metadata"]["uid"]},
                **self._bound(namespace, name, spec.get("boundObjectRef")),
            },
        }
        expiry = timestamp(now + timedelta(seconds=seconds))
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": account.obj["metadata"]["uid"],
                "creationTimestamp": timestamp(now),
            },
            "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": sign_token(self._key, claims), "expirationTimestamp": expiry},
        }

    def answer(self, kind: Kind, body: Object, caller: Identity) -> Object:
        """Answer a review by its kind."""
        spec = _mapping(body.get("spec"), "spec")
        match kind.kind:
            case "TokenReview":
                status = self._review_token(spec)
            case "SubjectAccessReview":
                groups = _strings(spec.get("groups"), "spec.groups")
                user = str(spec.get("user") or "")
                causes = _check_access(spec)
                if not user and not groups:
                    causes.append(bad_value("spec.user", "", "at least one of user or group must be specified"))
                if causes:
                    raise invalid(kind, "", causes)
                status = self._review_access(spec, user, groups)
            case "SelfSubjectAccessReview":
                causes = _check_access(spec)
                if causes:
                    raise invalid(kind, "", causes)
                status = self._review_access(spec, caller.name, list(caller.groups))
            case "SelfSubjectReview":
                status = {"userInfo": caller.user_info()}
            case _:
                raise AssertionError(f"{kind.kind} is not a review")
        meta = body.get("metadata") or {}
        answer = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}
        return {**answer, "spec": spec, "status": status} if spec else {**answer, "status": status}

    def _review_token(self, spec: Mapping[str, Any]) -> Object:
        token = spec.get("token")
        if not isinstance(token, str) or not token:
            return {"user": {}, "error": "no token provided"}
        identity = self.identify(token)
        if identity is None:
            return {"user": {}, "error": "invalid bearer token, or its pod or service account is gone"}
        wanted = _strings(spec.get("audiences"), "spec.audiences") or [ISSUER]
        common = [audience for audience in wanted if audience in identity.audiences]
        if not common:
            return {
                "user": {},
                "error": f"token audiences {list(identity.audiences)} is invalid for the target audiences {wanted}",
            }
        return {"authenticated": True, "user": identity.user_info(), "audiences": common}

    def _review_access(self, spec: Mapping[str, Any], user: str, groups: list[str]) -> Object:
        decision = self._access.decide(user, groups, _attributes(spec))
        status: Object = {"allowed": decision.allowed}
        return {**status, "reason": decision.reason} if decision.reason else status

    def _identify_account(self, claims: Mapping[str, Any]) -> Identity | None:
        if claims["exp"] <= self._clock().timestamp():
            return None
        own = claims["kubernetes.io"]
        namespace, account = own["namespace"], own["serviceaccount"]
        if not self._lives(SERVICE_ACCOUNT, namespace, account):
            return None
        extra = {_CREDENTIAL: (f"JTI={claims['jti']}",)}
        for field, kind in (("pod", POD), ("secret", SECRET)):
            bound = own.get(field)
            if bound and not self._lives(kind, namespace, bound):
                return None
        if "pod" in own:
            extra |= {_POD_NAME: (own["pod"]["name"],), _POD_UID: (own["pod"]["uid"],)}
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return Identity(claims["sub"], groups, account["uid"], extra, tuple(claims["aud"]))

    def _lives(self, kind: Kind, namespace: str, reference: Mapping[str, str]) -> bool:
        found = self._store.get(kind.qualified_name, (namespace, reference["name"]))
        return found is not None and bool(found.obj["metadata"]["uid"] == reference["uid"])

    def _bound(self, namespace: str, account: str, reference: object) -> Object:
        if not reference:
            return {}
        ref = _mapping(reference, "spec.boundObjectRef")
        kind = {("v1", "Pod"): POD, ("v1", "Secret"): SECRET}.get((str(ref.get("apiVersion")), str(ref.get("kind"))))
        if kind is None:
            message = "cannot bind token to that object: only Pod and Secret of v1 are served"
            raise invalid(_TOKEN_REQUEST, "", [bad_value("spec.boundObjectRef.kind", ref.get("kind"), message)])
        name = ref.get("name")
        if not isinstance(name, str) or not name:
            raise invalid(_TOKEN_REQUEST, "", [required("spec.boundObjectRef.name")])
        found = self._store.get(kind.qualified_name, (namespace, name))
        if found is None:
            raise not_found(kind, name)
        if kind is POD and found.obj["spec"].get("serviceAccountName") != account:
            why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            raise bad_request(why)
        uid = found.obj["metadata"]["uid"]
        if ref.get("uid") and ref["uid"] != uid:
            why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record"
            raise conflict(kind, name, f"{why}. The object might have been deleted and then recreated")
        return {kind.singular: {"name": name, "uid": uid}}


def _check_access(spec: Mapping[str, Any]) -> list[Cause]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        message = "cannot be specified in combination with resourceAttributes"
        return [bad_value("spec.nonResourceAttributes", path, message)]
    if resource is None and path is None:
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [bad_value("spec.resourceAttributes", "null", message)]
    return []


def _attributes(spec: Mapping[str, Any]) -> Attributes:
    resource = _mapping(spec.get("resourceAttributes"), "spec.resourceAttributes")
    path = _mapping(spec.get("nonResourceAttributes"), "spec.nonResourceAttributes")
    attributes = {name: str(value or "") for name, value in (resource or path).items()}
    if path:
        return Attributes(attributes.get("verb", ""), path=attributes.get("path", ""))
    fields = ("group", "resource", "subresource", "namespace", "name")
    return Attributes(attributes.get("verb", ""), **{field: attributes.get(field, "") for field in fields})


def _check_seconds(seconds: object) -> list[Cause]:
    field = "spec.expirationSeconds"
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise bad_request(f"{field} must be an integer, got {type(seconds).__name__}")
    if seconds < _MIN_SECONDS:
        return [bad_value(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > _MAX_SECONDS:
        return [bad_value(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _mapping(value: object, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{field} must be an object, got {type(value).__name__}")
    return value


def _strings(value: object, field: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad_request(f"{field} must be a list of strings")
    return value
