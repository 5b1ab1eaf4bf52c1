"""Rules as people and programs give them: in one line, or as JSON."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from app.rules.language import AnyRule
from app.rules.reading import read, read_json
from app.rules.text import MAX_TEXT, parse


def read_rule(text: str) -> AnyRule:
    """A rule in one line or as JSON. Raises InvalidInput that says where it is wrong."""
    return read_json(text) if text.lstrip().startswith("{") else parse(text)


def read_given(value: object) -> AnyRule:
    """The rule that a value of decoded JSON says: a string in one line, an object as it is."""
    return read_rule(value) if isinstance(value, str) else read(value)


_Line = Annotated[
    str,
    Field(
        max_length=MAX_TEXT,
        description="In one line, as the search box takes it, such as `/def/ & !:newline`.",
    ),
]
RuleInput = Annotated[AnyRule, BeforeValidator(read_given, json_schema_input_type=AnyRule | _Line)]
"""For the schema of a request: documented as a rule or a line, read by `read_given`."""
