"""An installation's configuration of models, for proxy and operator.

`Models` comes from a file (`read`) or from the environment (`environment`). It is immutable, and created again when the
file changes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic.alias_generators import to_camel

from agentjobs.contract import ErrorClass
from agentjobs.durations import format_duration
from agentjobs.errors import Misconfigured
from agentjobs.models import models_file
from agentjobs.models.models_file import (
    COUNTED,
    CheckerEntry,
    Counts,
    LimitEntry,
    ModelsFile,
    NamespaceEntry,
    ProviderEntry,
)
from agentjobs.models.names import Api, Kind, Pattern, api_of, canonical, check, unique_name
from agentjobs.models.prices import UNKNOWN_MAX_OUTPUT, Price, PriceTable, with_overrides

MAX_KEY_BYTES: Final = 64 * 1024
BASE_URLS: Final[Mapping[Kind, str]] = {
    Kind.GEMINI: "https://generativelanguage.googleapis.com",
    Kind.OPENAI: "https://api.openai.com/v1",
    Kind.ANTHROPIC: "https://api.anthropic.com",
}
KEY_HEADERS: Final[Mapping[Kind, str]] = {
    Kind.GEMINI: "x-goog-api-key",
    Kind.OPENAI: "Authorization",
    Kind.ANTHROPIC: "x-api-key",
    Kind.VERTEX_AI: "Authorization",
}
_KEY: Final = re.compile(r"[!-~]*")
NO_KEY: Final = "none"
"""Placeholder for the key of a provider that needs none, because its limits must be counted too."""


_VARIABLES: Final[Mapping[Api, str]] = {
    Api.GEMINI: "GOOGLE_API_KEY",
    Api.OPENAI: "OPENAI_API_KEY",
    Api.ANTHROPIC: "ANTHROPIC_API_KEY",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of one key for a group of models."""

    bucket: str
    """Its name: provider, key, group and unit."""
    counts: Counts
    most: int
    window: float
    """Seconds: 60 or 86,400; 0 for concurrent calls."""
    time_zone: str = "UTC"
    """Time zone in which a day begins."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """The source of a key: a file, or an environment variable that was read at the start."""

    file: Path | None = None
    value: str = field(default="", repr=False)
    place: str = ""
    """Its name in messages: the file or the variable, never the key."""

    def read(self) -> str:
        """Return the key.

        Raises:
            errors.Misconfigured: the key is missing or invalid; the message names the source, never the content.
        """
        if self.file is None:
            return self._fit(self.value)
        try:
            with self.file.open("rb") as opened:
                text = opened.read(MAX_KEY_BYTES + 1).decode("ascii").strip()
        except OSError as error:
            raise Misconfigured(f"{self.file}: the key cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"{self.file}: contains no valid key: it is not ASCII text") from None
        if not text or len(text) > MAX_KEY_BYTES:
            raise Misconfigured(f"{self.file}: contains no valid key: it is {'too long' if text else 'empty'}")
        return self._fit(text)

    def _fit(self, key: str) -> str:
        # Otherwise the request would fail before it is sent, as if the provider were unreachable.
        if not _KEY.fullmatch(key):
            raise Misconfigured(
                f"{self.place}: contains no valid key: it has spaces, line breaks or non-ASCII characters"
            )
        return key


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a provider, or a placeholder if it needs none."""

    name: str
    """`<provider>/<key>`."""
    source: KeySource | None
    """None: requests have no key, or for Vertex AI the credentials of the machine."""
    quotas: tuple[Quota, ...] = ()
    """The limits of calls of a route's model with this key."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, which answers model calls."""

    name: str
    kind: Kind
    base_url: str
    """Without a trailing slash."""
    key_header: str
    """Header for the key; after `Bearer ` if it is Authorization."""
    headers: Mapping[str, str] = field(default_factory=dict)
    api_version: str = ""
    """Sent as `?api-version=` if set."""
    project: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that serves a model, with the keys that a namespace may use."""

    provider: Provider
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """How a call of a model is answered."""

    requested: str
    """The requested name: a model or an alias."""
    model: str
    """The canonical name of the model that answers."""
    api: Api
    candidates: tuple[Candidate, ...]
    """In the order of the file; each has a key."""
    price: Price | None
    """None if unknown. A job with a limit of cost may not call it."""
    max_output: int
    """Tokens of the largest answer, reserved if the request sets no limit."""
    fallbacks: tuple["Route", ...] = ()
    """Its fallbacks, in order, which have no fallbacks themselves."""
    fallback_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class ModelRefusal:
    """Why a model cannot be called."""

    error: ErrorClass
    """ModelNotAllowed, ModelAuth (no provider or no key) or ModelBadRequest (not a model name)."""
    message: str
    """The problem and the cure."""


class Models:
    """An installation's configuration of models."""

    def __init__(
        self,
        file: ModelsFile,
        source: str,
        *,
        environment: Mapping[str, KeySource] | None = None,
    ) -> None:
        """See `read` and `environment.from_environment`.

        Args:
            source: the origin of the configuration, in messages.
            environment: the keys of providers by name, if there is no file.
        """
        self.source = source
        self.aliases: Mapping[str, str] = {
            name: models_file.resolve_alias(name, file.aliases) or name for name in file.aliases
        }
        """Aliases of the installation, and their models."""
        self.prices: PriceTable = with_overrides(file.prices)
        self.max_request_bytes = file.max_request_bytes
        self.checker: CheckerEntry | None = file.checker
        self.record_content = file.record_content
        self.max_llm_calls = file.defaults.max_llm_calls
        """Default limit on model calls of a job; None for no limit."""
        self._file = file
        self._providers = [(entry, _provider(entry)) for entry in file.providers]
        self._environment = environment
        self._reserved = {
            (provider, key) for entry in file.namespaces for provider, keys in entry.keys.items() for key in keys
        }
        self._fallbacks = {
            models_file.resolve_alias(entry.model, file.aliases) or "": entry for entry in file.fallbacks
        }

    @property
    def providers(self) -> list[Provider]:
        """All providers, in the order of the file."""
        return [provider for _, provider in self._providers]

    def canonical(self, model: str, api: Api | None = None) -> str:
        """Return the canonical name of a model from an alias, a canonical name, or the API's own name (`api`)."""
        if model in self.aliases:
            return unique_name(self.aliases[model])
        name = model if api is None or api_of(model) is api is Api.GEMINI else canonical(api, model)
        name = self.aliases.get(name, name)
        return unique_name(name)

    def aliases_of(self, model: str) -> tuple[str, ...]:
        """Return the aliases of a model."""
        return tuple(alias for alias, target in self.aliases.items() if target == model)

    def price(self, model: str, on: date | None = None) -> Price | None:
        """Return the price of a model or alias on a day; None if unknown."""
        return self.prices.of(self.canonical(model), on)

    def resolve(
        self, model: str, namespace: str, *, api: Api | None = None, on: date | None = None
    ) -> Route | ModelRefusal:
        """Return how a call of a model from a namespace is answered.

        Args:
            api: the API of the request, whose own names are then accepted: `gpt-5` for `openai/gpt-5`.
            on: the day, for the price.
        """
        route = self._route(model, namespace, api=api, on=on)
        if isinstance(route, ModelRefusal):
            return route
        fallback = self._fallbacks.get(route.model)
        if fallback is None:
            return route
        others = [self._route(name, namespace, api=None, on=on) for name in fallback.to]
        usable = tuple(other for other in others if isinstance(other, Route))
        return replace(route, fallbacks=usable, fallback_after=fallback.after)

    def serving(self, kind: Kind, namespace: str) -> tuple[Candidate, ...]:
        """Return the providers of a kind with the keys that a namespace may use, for any model; without limits."""
        return tuple(
            Candidate(provider, keys)
            for entry, provider in self._providers
            if provider.kind is kind
            and (keys := tuple(replace(key, quotas=()) for key in self._keys(entry, namespace, None)))
        )

    def report(self, on: date) -> dict[str, Any]:
        """Return the public part as JSON, without keys and their files. `report_for` removes other namespaces' data.

        Args:
            on: the day, for the prices.
        """
        served = [pattern for entry, _ in self._providers for pattern in entry.patterns()]
        return {
            "providers": [
                {
                    "name": provider.name,
                    "kind": provider.kind.value,
                    "baseUrl": provider.base_url,
                    "models": [pattern.text for pattern in entry.patterns()],
                    "keys": [_key_report(key) for key in self._keys(entry, None, None)],
                }
                for entry, provider in self._providers
            ],
            "aliases": dict(self.aliases),
            "fallbacks": [
                {"model": model, "to": list(entry.to), "after": format_duration(entry.after)}
                for model, entry in self._fallbacks.items()
            ],
            "namespaces": [
                {
                    "names": _texts(entry.names),
                    "allowedModels": None if entry.allowed_models is None else _texts(entry.allowed_models),
                    "keys": {name: list(keys) for name, keys in entry.keys.items()},
                }
                for entry in self._file.namespaces
            ],
            "prices": self.prices.report(served, on),
            "pricesOf": None if self.prices.dated is None else self.prices.dated.isoformat(),
        }

    def _route(self, requested: str, namespace: str, *, api: Api | None, on: date | None) -> Route | ModelRefusal:
        try:
            model = check(self.canonical(requested, api))
        except ValueError as error:
            return ModelRefusal(ErrorClass.MODEL_BAD_REQUEST, f"model {error}")
        own_api = api_of(model)
        if own_api is None:
            return ModelRefusal(
                ErrorClass.MODEL_BAD_REQUEST,
                f"model {model!r} has no API that the proxy supports; use gemini-…, openai/…, anthropic/… or an "
                f"alias of {self.source}",
            )
        if api is not None and own_api is not api:
            return ModelRefusal(
                ErrorClass.MODEL_BAD_REQUEST,
                f"model {requested!r} is an alias of {model!r}, which has the API of {own_api.value}, not {api.value}; "
                "use a client of that API",
            )
        policy = self._policy(namespace)
        # Runners request the alias's model, because it decides which client they need: so an allowed alias allows its
        # model by every name. The requested name is not compared: `gemini-x` of OpenAI's API would match Gemini
        # models.
        names = (model, *self.aliases_of(model))
        if policy is not None and not _allows(policy, names):
            return ModelRefusal(
                ErrorClass.MODEL_NOT_ALLOWED,
                f"model {model!r} is not allowed in namespace {namespace}; allow it in namespaces[].allowedModels of "
                f"{self.source}",
            )
        return self._answered(requested, model, own_api, namespace, on)

    def _answered(self, requested: str, model: str, api: Api, namespace: str, on: date | None) -> Route | ModelRefusal:
        serving = [(entry, provider) for entry, provider in self._providers if models_file.serves(entry, model)]
        if not serving:
            return ModelRefusal(ErrorClass.MODEL_AUTH, f"model {model!r} has no provider; {self._cure(api)}")
        candidates = tuple(
            Candidate(provider, keys)
            for entry, provider in serving
            if (keys := tuple(self._keys(entry, namespace, model)))
        )
        if not candidates:
            names = ", ".join(provider.name for _, provider in serving)
            return ModelRefusal(
                ErrorClass.MODEL_AUTH,
                f"model {model!r}: namespace {namespace} has no key of provider {names}; add one in "
                f"namespaces[].keys of {self.source}",
            )
        price = self.prices.of(model, on)
        max_output = (price.max_output if price is not None else None) or UNKNOWN_MAX_OUTPUT
        return Route(requested, model, api, candidates, price, max_output)

    def _cure(self, api: Api) -> str:
        if self._environment is not None:
            return f"set {_VARIABLES[api]} for the proxy"
        return f"add a provider with a key for it to {self.source}"

    def _policy(self, namespace: str) -> NamespaceEntry | None:
        return next(
            (entry for entry in self._file.namespaces if any(name.matches(namespace) for name in entry.names)), None
        )

    def _keys(self, entry: ProviderEntry, namespace: str | None, model: str | None) -> Iterable[Key]:
        policy = None if namespace is None else self._policy(namespace)
        own = None if policy is None else policy.keys.get(entry.name)
        if not entry.keys and own is None:
            source = None if self._environment is None else self._environment.get(entry.name)
            name = f"{entry.name}/{NO_KEY if source is None else source.place}"
            yield Key(name, source, _quotas(name, entry.limits, model))
        for key in entry.keys:
            taken = (entry.name, key.name) in self._reserved and namespace is not None
            if key.name in own if own is not None else not taken:
                source = KeySource(key.file, place=str(key.file))
                name = f"{entry.name}/{key.name}"
                yield Key(name, source, _quotas(name, entry.limits if key.limits is None else key.limits, model))


def read(path: Path) -> Models:
    """Read the models file of an installation.

    Raises:
        errors.Misconfigured: the file cannot be read, or is invalid; the message lists every error with its line.
    """
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text of the models file of an installation, for `parse`. Raises like `read`."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise Misconfigured(f"{path}: the models file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}:1: is not YAML: it is not UTF-8 text") from None


def parse(text: str, source: str = "models.yaml") -> Models:
    """Parse the text of a models file. Raises like `read`."""
    return Models(models_file.parse(text, source), source)


def _provider(entry: ProviderEntry) -> Provider:
    if entry.base_url is not None:
        base = entry.base_url
    elif entry.kind is Kind.VERTEX_AI:
        host = "" if entry.location == "global" else f"{entry.location}-"
        base = f"https://{host}aiplatform.googleapis.com"
    else:
        base = BASE_URLS[entry.kind]
    return Provider(
        entry.name,
        entry.kind,
        base,
        entry.key_header or KEY_HEADERS[entry.kind],
        entry.headers,
        entry.api_version or "",
        entry.project or "",
        entry.location or "",
    )


def _quotas(key: str, limits: Iterable[LimitEntry], model: str | None) -> tuple[Quota, ...]:
    found = []
    for limit in limits:
        if model is not None and limit.models is not None and not any(p.matches(model) for p in limit.models):
            continue
        group = " ".join(sorted(pattern.text for pattern in limit.models)) if limit.models else "*"
        for name, (counts, window) in COUNTED.items():
            most = getattr(limit, name)
            if most is not None:
                found.append(Quota(f"{key} {group} {to_camel(name)}", counts, most, window, limit.time_zone))
    return tuple(found)


def _key_report(key: Key) -> dict[str, Any]:
    limits = [
        {
            "bucket": quota.bucket,
            "counts": quota.counts.value,
            "most": quota.most,
            "window": quota.window,
            "timeZone": quota.time_zone,
        }
        for quota in key.quotas
    ]
    return {"name": key.name, "limits": limits}


def report_for(document: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Return a namespace's part of `Models.report`: its keys and the models that it may use."""
    entries = document.get("namespaces") or ()
    policy: Mapping[str, Any] = next(
        (entry for entry in entries if any(Pattern(name).matches(namespace) for name in entry["names"])), {}
    )
    reserved = {f"{name}/{key}" for entry in entries for name, keys in entry["keys"].items() for key in keys}
    providers = []
    for provider in document.get("providers") or ():
        own = policy.get("keys", {}).get(provider["name"])
        names = None if own is None else {f"{provider['name']}/{key}" for key in own}
        keys = [
            key for key in provider["keys"] if (key["name"] not in reserved if names is None else key["name"] in names)
        ]
        providers.append({**provider, "keys": keys})
    kept = {key: value for key, value in document.items() if key != "namespaces"}
    return {**kept, "providers": providers, "allowedModels": policy.get("allowedModels")}


def _texts(patterns: Iterable[Pattern]) -> list[str]:
    return [pattern.text for pattern in patterns]


def _allows(policy: NamespaceEntry, names: Iterable[str]) -> bool:
    if policy.allowed_models is None:
        return True
    return any(pattern.matches(name) for pattern in policy.allowed_models for name in names)
