"""What of a stored answer a status can show, cut by PostgreSQL.

An answer has up to 4 MiB, and as Python objects up to 25 times that. An operator reads the answers of all jobs that end
at one moment, and shows a kilobyte of each.
"""

from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Text, case, cast, func

# Of text and of what is structured: several times what a status holds, which measures more finely.
SHOWN_CHARS: Final = 32 * 1024


def head_of(answer: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an answer as it is, or of a large one what is enough to show it."""
    return case((_size(answer) > SHOWN_CHARS, _cut(answer)), else_=answer)


def _cut(answer: ColumnElement[Any]) -> ColumnElement[Any]:
    structured = answer["structured"]
    # A text, and not null: what is shown then differs from what there is, which is how a status knows that it is cut.
    small = case((_size(structured) > SHOWN_CHARS, func.to_json(cast("too large", Text))), else_=structured)
    members = {
        "text": func.left(answer["text"].as_string(), SHOWN_CHARS),
        "structured": small,
        "outcome": answer["outcome"],
        "usage": answer["usage"],
        "cutFrom": answer["cutFrom"],
    }
    return func.json_build_object(*(part for member in members.items() for part in member), type_=JSON)


def _size(value: ColumnElement[Any]) -> ColumnElement[int]:
    return func.octet_length(cast(value, Text))
