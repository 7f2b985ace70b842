"""Checks names, label keys and label values.

Every check returns the error messages of the real server (1.36); the list is empty for a valid string. As on a real
server, lengths are in bytes.
"""

import re
from typing import Final

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED: Final = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE: Final = rf"({_QUALIFIED})?"

_LABEL_RE: Final = re.compile(_LABEL)
_LABEL_1035_RE: Final = re.compile(_LABEL_1035)
_SUBDOMAIN_RE: Final = re.compile(_SUBDOMAIN)
_QUALIFIED_RE: Final = re.compile(_QUALIFIED)
_VALUE_RE: Final = re.compile(_VALUE)
_CONFIG_KEY_RE: Final = re.compile(r"[-._a-zA-Z0-9]+")

_QUALIFIED_CHARACTERS: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_WITH_PREFIX: Final = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"


def dns_label(value: str) -> list[str]:
    """Check a DNS label, RFC 1123: names of namespaces, at most 63 bytes."""
    message = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )
    return _too_long(value, 63) + _mismatch(_LABEL_RE, value, message)


def dns_label_1035(value: str) -> list[str]:
    """Check a DNS label, RFC 1035: a plural, singular or short name of a kind, which begins with a letter."""
    message = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
        f"regex used for validation is '{_LABEL_1035}')"
    )
    return _too_long(value, 63) + _mismatch(_LABEL_1035_RE, value, message)


def dns_subdomain(value: str) -> list[str]:
    """Check a DNS subdomain: names of most objects, at most 253 bytes."""
    message = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character "
        f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
    )
    return _too_long(value, 253) + _mismatch(_SUBDOMAIN_RE, value, message)


def path_segment(value: str) -> list[str]:
    """Check the name of a role or a binding, which may have nearly all characters: `system:discovery`."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in value]


def qualified_name(value: str) -> list[str]:
    """Check the key of a label or an annotation, or a finalizer: `name` or `prefix/name`."""
    prefix, slash, name = value.partition("/")
    if not slash:
        return _name_part(prefix)
    if "/" in name:
        return [f"a valid label key {_QUALIFIED_CHARACTERS} {_WITH_PREFIX}"]
    if not prefix:
        return ["prefix part must be non-empty", *_name_part(name)]
    return [f"prefix part {problem}" for problem in dns_subdomain(prefix)] + _name_part(name)


def label_value(value: str) -> list[str]:
    """Check the value of a label: empty, or at most 63 bytes that begin and end with a letter or digit."""
    message = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
        f"regex used for validation is '{_VALUE}')"
    )
    return _too_long(value, 63) + _mismatch(_VALUE_RE, value, message)


def config_key(value: str) -> list[str]:
    """Check a key of a ConfigMap or Secret: a file name of at most 253 bytes."""
    message = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
        "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    problems = _too_long(value, 253) + _mismatch(_CONFIG_KEY_RE, value, message)
    if value in (".", ".."):
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def _name_part(name: str) -> list[str]:
    problems = []
    if not name:
        problems.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        problems.append("name part must be no more than 63 bytes")
    return problems + _mismatch(_QUALIFIED_RE, name, f"name part {_QUALIFIED_CHARACTERS}")


def _too_long(value: str, limit: int) -> list[str]:
    # A surrogate, possible in JSON, has no UTF-8 encoding; the patterns refuse it.
    return [f"must be no more than {limit} bytes"] if len(value.encode(errors="replace")) > limit else []


def _mismatch(pattern: re.Pattern[str], value: str, message: str) -> list[str]:
    return [] if pattern.fullmatch(value) else [message]
