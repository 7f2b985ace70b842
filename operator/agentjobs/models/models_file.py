"""The models file of an installation: its format, and the rules between its parts.

`config` derives the configuration of proxy and operator from it.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel

from agentjobs.durations import parse_duration
from agentjobs.models import marked_yaml
from agentjobs.models.budget import DEFAULT_LLM_CALLS
from agentjobs.models.marked_yaml import Flaw, Place, shown
from agentjobs.models.names import PREFIXES, SERVES, Api, Kind, Pattern, api_of, check, unique_name
from agentjobs.models.prices import Count, Entry, Glob, Globs

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
MAX_NAME: Final = 63

_UNITS: Final[Mapping[str, int]] = {"": 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "k": 1000, "M": 1000**2}
# Headers that contain a secret, or that the proxy sets.
_OWN_HEADERS: Final = re.compile(
    r"authorization|proxy-.*|cookie|.*api[-_]?key|.*token|host|content-.*|transfer-encoding|connection|accept-encoding"
    r"|expect|upgrade|te|trailer|agentjobs-.*",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


class OnFailure(StrEnum):
    """What happens to a call if the checker does not answer."""

    DENY = "Deny"
    ALLOW = "Allow"


class RecordContent(StrEnum):
    """Whether requests and answers are stored with the record of a call."""

    NONE = "None"
    ALL = "All"


def _entry_name(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value) and len(value) <= MAX_NAME:
        return value
    raise ValueError(f"{shown(value)} is not a name; use at most {MAX_NAME} lower-case letters, digits and -")


def _bytes(value: object) -> int:
    if type(value) is int and value > 0:
        return value
    match = re.fullmatch(r"([1-9][0-9]{0,9})(Ki|Mi|Gi|k|M)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{shown(value)} is not a size; use bytes or e.g. 32Mi")
    return int(match[1]) * _UNITS[match[2]]


def _duration(value: object) -> timedelta:
    found = parse_duration(value)
    if not found:
        raise ValueError("must be longer than 0s")
    return found


def _address(value: object) -> str:
    # Never shown, because an address may contain a password.
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = None
    if not fits or re.search(r"\s", str(value)):
        raise ValueError("is not an address; use http:// or https://, a host, and optionally a path")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must not have user, password, query or #; put a key into keys, a version into apiVersion")
    return str(value).rstrip("/")


def _file(value: object) -> Path:
    # Never shown, because it may be the key itself.
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > 4096:
        raise ValueError(
            "is not the path of a file; use the absolute path of the file with the key, e.g. /etc/keys/gemini"
        )
    return Path(value)


def _zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{shown(value)} is not a time zone; use e.g. America/Los_Angeles or UTC") from None


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("is not an object; write names and values below it")
    for name, text in value.items():
        if not _HEADER.fullmatch(name) or _OWN_HEADERS.fullmatch(name):
            raise ValueError(f"{shown(name)} cannot be set here; use keys and keyHeader for a key")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ValueError(f"the value of {shown(name)} is not a string of printable ASCII characters")
    return value


def _key_header(value: object) -> str:
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise ValueError(f"{shown(value)} is not a header name; use e.g. Authorization or api-key")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a model name; write it in quotes")
    return unique_name(check(value))


EntryName = Annotated[str, BeforeValidator(_entry_name)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
ModelName = Annotated[str, BeforeValidator(_name)]
Text = Annotated[str, Field(min_length=1, max_length=253)]


class Form(BaseModel):
    """A part of the file: frozen, camelCase, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, arbitrary_types_allowed=True)


class Counts(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "inputTokens"
    OUTPUT_TOKENS = "outputTokens"
    CALLS = "concurrentCalls"


COUNTED: Final[Mapping[str, tuple[Counts, float]]] = {
    "requests_per_minute": (Counts.REQUESTS, 60.0),
    "tokens_per_minute": (Counts.TOKENS, 60.0),
    "input_tokens_per_minute": (Counts.INPUT_TOKENS, 60.0),
    "output_tokens_per_minute": (Counts.OUTPUT_TOKENS, 60.0),
    "concurrent_calls": (Counts.CALLS, 0.0),
    "requests_per_day": (Counts.REQUESTS, 86_400.0),
}
"""The limits of an entry: what each counts, and its window in seconds; 0 for concurrent calls."""


class LimitEntry(Form):
    """Limits of an account for a group of models, which share them. All entries that match a model apply."""

    models: Globs | None = None
    """The group. Default: all models of the provider."""
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    """Input and output together."""
    input_tokens_per_minute: Count | None = None
    output_tokens_per_minute: Count | None = None
    concurrent_calls: Count | None = None
    """Calls at the same time."""
    requests_per_day: Count | None = None
    time_zone: Annotated[str, BeforeValidator(_zone)] = "UTC"
    """Time zone of the day of `requestsPerDay`. For Google: America/Los_Angeles."""

    @model_validator(mode="after")
    def _limits_something(self) -> "LimitEntry":
        if all(getattr(self, name) is None for name in COUNTED):
            raise ValueError(f"has no limit; set one of {', '.join(map(to_camel, COUNTED))}")
        return self


class KeyFile(Form):
    """A key of a provider."""

    name: EntryName
    """Its name for people and records."""
    file: Annotated[Path, BeforeValidator(_file)]
    """Path of the file with the key; for VertexAI with credentials as JSON. Reloaded when it changes."""
    limits: tuple[LimitEntry, ...] | None = None
    """Limits of this key, instead of the provider's."""


class ProviderEntry(Form):
    """A provider, which answers model calls."""

    name: EntryName
    kind: Annotated[Kind, BeforeValidator(lambda value: marked_yaml.choice(Kind, value))]
    """Gemini, OpenAI (and every host with its API), Anthropic or VertexAI."""
    base_url: Annotated[str, BeforeValidator(_address)] | None = None
    """Address. Default: the provider's own, for VertexAI that of its location."""
    models: Globs | None = None
    """Patterns of the models it serves, by their names in jobs. Default: all of its kind."""
    keys: tuple[KeyFile, ...] = ()
    """Its keys; the one with the most remaining quota is used. Empty for hosts that need none, and for VertexAI with
    the credentials of the machine."""
    limits: tuple[LimitEntry, ...] = ()
    """Limits of each key."""
    key_header: Annotated[str, BeforeValidator(_key_header)] | None = None
    """Header for the key. Default: `x-goog-api-key` for Gemini, `x-api-key` for Anthropic, otherwise `Authorization`
    with `Bearer` before the key. `api-key` for Azure."""
    headers: Annotated[dict[str, str], BeforeValidator(_headers)] = Field(default_factory=dict)
    """Headers of each request. Not for secrets."""
    api_version: Text | None = None
    """Sent as `?api-version=`, for Azure."""
    project: Text | None = None
    """Google Cloud project of VertexAI."""
    location: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")] | None = None
    """Location of VertexAI, e.g. europe-west4 or global."""

    def patterns(self) -> tuple[Pattern, ...]:
        """Return the patterns of the models it serves."""
        if self.models is not None:
            return self.models
        return tuple(Pattern(f"{prefix}*") for api in SERVES[self.kind] for prefix in PREFIXES[api])


class NamespaceEntry(Form):
    """What namespaces may use. The first entry that names a namespace applies; other namespaces may use everything."""

    names: Globs
    allowed_models: tuple[Glob, ...] | None = None
    """Patterns of models and aliases; an empty list allows none. Default: all."""
    keys: dict[str, tuple[EntryName, ...]] = Field(default_factory=dict)
    """The keys of the namespaces, by provider name. Other namespaces cannot use a key that an entry names."""


class FallbackEntry(Form):
    """The fallbacks of a model."""

    model: ModelName
    to: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=8)]
    """Fallback models in order, of the same API."""
    after: Duration = timedelta(seconds=30)
    """How long a call waits for an exhausted or unavailable model before it uses the next one."""


class CheckerEntry(Form):
    """A service that checks each request before it is sent."""

    url: Annotated[str, BeforeValidator(_address)]
    timeout: Duration = timedelta(seconds=5)
    on_failure: Annotated[OnFailure, BeforeValidator(lambda value: marked_yaml.choice(OnFailure, value))] = (
        OnFailure.DENY
    )


class Defaults(Form):
    """Default budgets of jobs."""

    # The field's name in jobs, which the camelCase rule would not produce.
    max_llm_calls: Annotated[int, Strict(), Field(ge=1)] | None = Field(default=DEFAULT_LLM_CALLS, alias="maxLLMCalls")
    """Model calls of a job; null for no limit."""


class ModelsFile(Form):
    """An installation's configuration of models."""

    providers: tuple[ProviderEntry, ...] = ()
    aliases: dict[str, ModelName] = Field(default_factory=dict)
    """Aliases, and their models or other aliases."""
    namespaces: tuple[NamespaceEntry, ...] = ()
    fallbacks: tuple[FallbackEntry, ...] = ()
    prices: tuple[Entry, ...] = ()
    """Prices that take precedence over the built-in table."""
    max_request_bytes: Annotated[int, BeforeValidator(_bytes)] = MAX_REQUEST_BYTES
    """The largest request, in bytes or e.g. 32Mi."""
    checker: CheckerEntry | None = None
    record_content: Annotated[
        RecordContent, BeforeValidator(lambda value: marked_yaml.choice(RecordContent, value or "None"))
    ] = RecordContent.NONE
    defaults: Defaults = Defaults()


def parse(text: str, source: str) -> ModelsFile:
    """Read the text of a models file.

    Raises:
        errors.Misconfigured: the file is invalid; the message lists all errors with lines, and never a key.
    """
    document = marked_yaml.load(text, source)
    if document.value is None:
        return ModelsFile()
    found = document.as_model(ModelsFile)
    flaws = list(_flaws(found))
    if flaws:
        raise document.refused(flaws)
    return found


def resolve_alias(name: str, aliases: Mapping[str, str]) -> str | None:
    """Return the model of a name: the name itself if it is not an alias, None if aliases form a cycle."""
    seen = set()
    while name in aliases:
        if name in seen:
            return None
        seen.add(name)
        name = aliases[name]
    return name


def _flaws(file: ModelsFile) -> Iterator[Flaw]:
    for index, provider in enumerate(file.providers):
        yield from _provider_flaws(("providers", index), provider)
    yield from _twice(("providers",), [provider.name for provider in file.providers], "name")
    yield from _alias_flaws(file)
    for index, namespace in enumerate(file.namespaces):
        yield from _namespace_flaws(("namespaces", index), namespace, file)
    yield from _fallback_flaws(file)


def _provider_flaws(place: Place, provider: ProviderEntry) -> Iterator[Flaw]:
    vertex = provider.kind is Kind.VERTEX_AI
    for name in ("project", "location"):
        value = getattr(provider, name)
        if vertex and value is None:
            yield Flaw(place, f"{name} is required for VertexAI")
        if not vertex and value is not None:
            yield Flaw((*place, name), "only applies to VertexAI; remove it")
    if vertex and provider.key_header is not None:
        yield Flaw((*place, "keyHeader"), "does not apply to VertexAI, whose tokens the proxy gets itself; remove it")
    if not vertex and not provider.keys and provider.base_url is None:
        yield Flaw(place, f"has no key; add keys: [{{name: main, file: /path/of/the/key}}] of {provider.kind.value}")
    yield from _twice((*place, "keys"), [key.name for key in provider.keys], "name")
    prefixes = [prefix for api in SERVES[provider.kind] for prefix in PREFIXES[api]]
    for number, pattern in enumerate(provider.models or ()):
        if not any(pattern.meets(Pattern(f"{prefix}*")) for prefix in prefixes):
            yield Flaw(
                (*place, "models", number),
                f"{shown(pattern.text)} is not a model of {provider.kind.value}, whose names begin with "
                f"{' or '.join(prefixes)}",
            )
    yield from _limit_flaws((*place, "limits"), provider.limits, provider)
    for number, key in enumerate(provider.keys):
        yield from _limit_flaws((*place, "keys", number, "limits"), key.limits or (), provider)


def _limit_flaws(place: Place, limits: Iterable[LimitEntry], provider: ProviderEntry) -> Iterator[Flaw]:
    groups = []
    for number, limit in enumerate(limits):
        groups.append(" ".join(sorted(pattern.text for pattern in limit.models or ())))
        for index, pattern in enumerate(limit.models or ()):
            if not any(pattern.meets(served) for served in provider.patterns()):
                yield Flaw(
                    (*place, number, "models", index),
                    f"{shown(pattern.text)} matches no model of provider {provider.name}",
                )
    yield from _twice(place, groups, "models", "is the same group of models as an earlier entry; use one entry")


def _alias_flaws(file: ModelsFile) -> Iterator[Flaw]:
    for name, target in file.aliases.items():
        place = ("aliases", name)
        try:
            check(name)
        except ValueError as error:
            yield Flaw(place, str(error))
        model = resolve_alias(name, file.aliases)
        if model is None:
            yield Flaw(place, f"{shown(target)} leads back to {shown(name)}; use the name of a model")
            continue
        api, own = api_of(model), api_of(name)
        if api is None or not _served(model, file):
            yield Flaw(place, _unserved(model, file))
        elif own is not None and own is not api:
            yield Flaw(
                place,
                f"{shown(name)} is a name of {own.value}'s API and cannot be an alias of {shown(model)} of "
                f"{api.value}'s; use another name",
            )


def _namespace_flaws(place: Place, namespace: NamespaceEntry, file: ModelsFile) -> Iterator[Flaw]:
    for number, pattern in enumerate(namespace.allowed_models or ()):
        served = any(pattern.meets(own) for provider in file.providers for own in provider.patterns())
        if not served and not any(pattern.matches(alias) for alias in file.aliases):
            yield Flaw(
                (*place, "allowedModels", number),
                f"{shown(pattern.text)} matches no model of a provider and no alias",
            )
    providers = {provider.name: provider for provider in file.providers}
    for name, keys in namespace.keys.items():
        provider = providers.get(name)
        if provider is None:
            yield Flaw((*place, "keys", name), f"no provider {shown(name)}{_near(name, providers)}")
            continue
        known = {key.name for key in provider.keys}
        for number, key in enumerate(keys):
            if key not in known:
                yield Flaw(
                    (*place, "keys", name, number), f"provider {name} has no key {shown(key)}{_near(key, known)}"
                )


def _fallback_flaws(file: ModelsFile) -> Iterator[Flaw]:
    for index, fallback in enumerate(file.fallbacks):
        place: Place = ("fallbacks", index)
        model = resolve_alias(fallback.model, file.aliases) or ""
        api = api_of(model)
        if not _served(model, file):
            yield Flaw((*place, "model"), _unserved(model, file))
            continue
        for number, name in enumerate(fallback.to):
            other = resolve_alias(name, file.aliases) or ""
            if not _served(other, file):
                yield Flaw((*place, "to", number), _unserved(other, file))
            elif api_of(other) is not api:
                yield Flaw(
                    (*place, "to", number),
                    f"{shown(name)} has another API than {shown(fallback.model)} ({_api_name(api)}); use a model of "
                    "the same API, because requests are not translated",
                )
            elif other == model:
                yield Flaw((*place, "to", number), f"{shown(name)} is the model itself; use another one")
    replaced = [resolve_alias(fallback.model, file.aliases) or "" for fallback in file.fallbacks]
    yield from _twice(("fallbacks",), replaced, "model")


def _served(model: str, file: ModelsFile) -> bool:
    return any(serves(provider, model) for provider in file.providers)


def serves(provider: ProviderEntry, model: str) -> bool:
    """Whether a provider serves the model with this canonical name."""
    return api_of(model) in SERVES[provider.kind] and any(pattern.matches(model) for pattern in provider.patterns())


def _unserved(model: str, file: ModelsFile) -> str:
    if api_of(model) is None:
        return f"{shown(model)} is not a model that a proxy can call; use gemini-…, openai/… or anthropic/…"
    names = ", ".join(provider.name for provider in file.providers) or "none is configured"
    return f"no provider serves {shown(model)} ({names}); add it to a provider's models"


def _twice(
    place: Place, values: Iterable[str], field: str, message: str = "is given twice; use another one"
) -> Iterator[Flaw]:
    seen: Counter[str] = Counter()
    for index, value in enumerate(values):
        seen[value] += 1
        if seen[value] == 2:
            yield Flaw((*place, index, field), f"{shown(value)} {message}")


def _near(name: str, known: Iterable[str]) -> str:
    found = list(known)
    near = difflib.get_close_matches(name, found, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there is {', '.join(found) or 'none'}"


def _api_name(api: Api | None) -> str:
    return api.value if api is not None else "none"
