"""Parses the headers of impersonation, and returns the permissions that they require. Pure.

Used by `server` for each request. Follows the legacy rules of kube-apiserver: a user and optionally groups, a uid and
extra values, each of which requires its own permission.
"""

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

from devcluster.apiserver.auth import Identity
from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.rbac import Attributes

_USER: Final = "impersonate-user"
_GROUP: Final = "impersonate-group"
_UID: Final = "impersonate-uid"
_EXTRA: Final = "impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_VERB: Final = "impersonate"
_AUTHENTICATION: Final = "authentication.k8s.io"


def impersonated(headers: Iterable[tuple[str, str]]) -> tuple[Identity, list[Attributes]] | None:
    """Return the impersonated user of a request, and the permissions that this requires; None without impersonation.

    Raises:
        StatusError: there are groups, a uid or extra values, but no user.
    """
    given = [(name.lower(), value) for name, value in headers if name.lower().startswith("impersonate-")]
    user = next((value for name, value in given if name == _USER), "")
    groups = [value for name, value in given if name == _GROUP]
    uid = next((value for name, value in given if name == _UID), "")
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in given:
        if name.startswith(_EXTRA):
            key = unquote(name.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    if not user:
        if groups or uid or extra:
            raise StatusError(
                500, "Internal error occurred: requested groups, uid or extra without impersonating a user"
            )
        return None
    identity = Identity(user, tuple(_all_groups(user, groups)), uid, extra or None)
    return identity, list(_needed(user, groups, uid, extra))


def _needed(user: str, groups: Iterable[str], uid: str, extra: dict[str, tuple[str, ...]]) -> Iterator[Attributes]:
    namespace, colon, account = user.removeprefix(_ACCOUNT).partition(":")
    if user.startswith(_ACCOUNT) and colon:
        yield Attributes(_VERB, resource="serviceaccounts", namespace=namespace, name=account)
    else:
        yield Attributes(_VERB, resource="users", name=user)
    for group in groups:
        yield Attributes(_VERB, resource="groups", name=group)
    for key, values in extra.items():
        for value in values:
            yield Attributes(_VERB, _AUTHENTICATION, "userextras", subresource=key, name=value)
    if uid:
        yield Attributes(_VERB, _AUTHENTICATION, "uids", name=uid)


def _all_groups(user: str, groups: list[str]) -> list[str]:
    namespace, colon, _ = user.removeprefix(_ACCOUNT).partition(":")
    if not groups and user.startswith(_ACCOUNT) and colon:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    added = "system:unauthenticated" if user == "system:anonymous" else "system:authenticated"
    return groups if added in groups else [*groups, added]
