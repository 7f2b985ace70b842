"""Formats instants as the Kubernetes API does: RFC 3339 in UTC."""

from datetime import UTC, datetime


def timestamp(moment: datetime) -> str:
    """Return a metav1.Time, which has whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(moment: datetime) -> str:
    """Return a metav1.MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
