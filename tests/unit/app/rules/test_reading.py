"""What comes from outside is read as a rule, or refused with the part, the value and the remedy."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from app.errors import InvalidInput
from app.rules.given import RuleInput
from app.rules.language import MAX_DEPTH, MAX_RULES, ClassName, Tokens
from app.rules.language import to_json as canonical
from app.rules.reading import MAX_BYTES, read, read_json

REFUSED: list[tuple[Any, str]] = [
    (3, "rule: expected a JSON object, got 3"),
    (None, "expected a JSON object, got null"),
    ({}, "exactly one of the keys regex, tokens"),
    ({"regex": "a", "tokens": ["b"]}, 'this one has "regex", "tokens"'),
    ({"regexp": "a"}, 'this one has "regexp"'),
    ({"regex": "a", "flags": "i"}, 'the key "flags" is not known here'),
    ({"tokens": ["a"], "at": "first"}, 'the key "at" is not known here'),
    ({"regex": 1}, "rule.regex: expected a string, got 1"),
    ({"regex": ""}, "rule.regex: expected 1 to 1,000 characters, got 0"),
    ({"regex": "a" * 1001}, "rule.regex: expected 1 to 1,000 characters, got 1,001"),
    ({"regex": "("}, 'the regex "(" cannot be used: missing )'),
    ({"regex": "(?=a)"}, "no look-around"),
    ({"regex": r"(a)\1"}, "no back-references"),
    ({"regex": ".{1000}{1000}"}, "bad repetition"),
    ({"regex": r"(\pL{100}\pN{100})"}, "Write smaller"),
    ({"regex": "a", "at": "end"}, 'rule.at: expected one of match, first, last, after, got "end"'),
    ({"tokens": "a"}, 'rule.tokens: expected a list of tokens, got "a"'),
    ({"tokens": []}, "rule.tokens: expected 1 to 256 tokens, got 0"),
    ({"tokens": ["a", ""]}, "rule.tokens[1]: expected 1 to 256 characters, got 0"),
    ({"tokens": ["a\0"]}, "it holds a NUL character. Write it as \\x00"),
    ({"tokens": ["a\ud83d"]}, "character 2 is half of a surrogate pair"),
    ({"class": "letter"}, 'got "letter"'),
    ({"class": ["digit"]}, "got a list of 1"),
    ({"line": {"first": 3, "last": 1}}, "no place is from 3 to 1"),
    ({"line": {"first": 0}}, "rule.line: the key last is missing"),
    ({"line": {"first": -1, "last": 2}}, "rule.line.first: expected a whole number from 0"),
    ({"inside": "words"}, "quotes, brackets, comment"),
    ({"within": {"n": 0, "after": {"class": "digit"}}}, "from 1 to 500, got 0"),
    ({"within": {"n": True, "after": {"class": "digit"}}}, "from 1 to 500, got true"),
    ({"within": {"n": 1.5, "after": {"class": "digit"}}}, "from 1 to 500, got 1.5"),
    ({"within": {"n": 10**30, "after": {"class": "digit"}}}, "a number of more than 20 digits"),
    ({"any": []}, "rule.any: expected 1 to 64 rules, got 0"),
    ({"any": [{"not": {"class": "x"}}]}, "rule.any[0].not.class"),
    ({"any": [{"class": "digit"}] * MAX_RULES}, "at most 64 rules"),
    ({"all": [{"class": "digit"}] * 100_000}, "got 100,000"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED)
def test_what_is_no_rule_is_refused_by_its_part(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(value)
    assert words in refused.value.message
    assert len(refused.value.message) < 1000
    refused.value.message.encode()


def test_rules_nest_as_deep_as_is_said_and_no_deeper() -> None:
    value: dict[str, Any] = {"class": "digit"}
    for _ in range(MAX_DEPTH - 1):
        value = {"not": value}
    read(value)
    with pytest.raises(InvalidInput, match=f"at most {MAX_DEPTH} deep"):
        read({"not": value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"not":' * 4000, "at most 12 deep"),
        ("[" * 30_000, "at most 12 deep"),
        ("{" * (MAX_BYTES + 1), "at most 32,768 bytes"),
        ('{"regex": ', "no JSON"),
        (b'{"regex": "\xff"}', "no JSON"),
        ('{"line": {"first": ' + "9" * 5000 + "}}", "rule"),
    ],
)
def test_hostile_json_is_refused_quickly(text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_json(text)


def test_tokens_are_a_set_and_defaults_are_left_out_of_the_canonical_json() -> None:
    assert read({"tokens": ["b", "a", "b"]}) == Tokens(tokens=("a", "b"))
    assert canonical(read({"at": "match", "regex": "é"})) == '{"regex":"é"}'
    assert canonical(read({"regex": "é", "at": "last"})) == '{"at":"last","regex":"é"}'


def test_a_request_takes_a_rule_and_documents_all_kinds() -> None:
    class Request(BaseModel):
        rule: RuleInput

    request = Request.model_validate({"rule": {"not": {"tokens": ["a"]}}})
    assert canonical(request.rule) == '{"not":{"tokens":["a"]}}'
    with pytest.raises(InvalidInput, match="exactly one of the keys"):
        Request.model_validate({"rule": {"nor": []}})
    for line in ('!"a"', '{"not": {"tokens": ["a"]}}'):
        assert Request.model_validate({"rule": line}) == request
    with pytest.raises(InvalidInput, match="Column 1: there is no class :number"):
        Request.model_validate({"rule": ":number"})
    schema = Request.model_json_schema()
    assert {"Regex", "Within", "AnyOf", "Line"} <= schema["$defs"].keys()
    assert "any" in schema["$defs"]["AnyOf"]["properties"]
    assert "string" in [each.get("type") for each in schema["properties"]["rule"]["anyOf"]]
    described = schema["$defs"]["Class"]["properties"]["class"]["description"]
    assert all(f"`{name}`" in described for name in get_args(ClassName))
    assert "mid-string" in schema["$defs"]["Inside"]["properties"]["inside"]["description"]
