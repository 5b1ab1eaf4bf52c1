"""Rules as people and programs give them: in one line, or as JSON."""

import json
from typing import Annotated

from pydantic import BeforeValidator, Field

from app.rules.language import AnyRule, to_value
from app.rules.reading import read, read_json
from app.rules.text import MAX_TEXT, parse, to_text


def read_rule(text: str) -> AnyRule:
    """A rule in one line or as JSON. Raises InvalidInput that says where it is wrong."""
    return read_json(text) if text.lstrip().startswith("{") else parse(text)


def sent_rule(rule: AnyRule) -> str:
    """As a form sends it: browsers change line ends, so a rule that holds some goes as JSON."""
    text = to_text(rule)
    return text if text.isprintable() else json.dumps(to_value(rule))


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
