"""Rules: what is written is read back, and what holds is what a token-by-token reading says."""

import json

from hypothesis import example, given, settings

from app.rules.evaluation import evaluate
from app.rules.language import AnyRule, Class, Not, Regex, to_json, to_value
from app.rules.reading import read, read_json
from app.rules.text import parse, to_text
from tests import naive_rules
from tests.naive_rules import NaiveWindow, cut
from tests.property import rules as strategies


@given(rule=strategies.all_rules)
@example(rule=Regex(regex=r"a\/b\\"))
@example(rule=Regex(regex="/"))
@example(rule=Regex(regex="\\Q/\\/\n\\E", at="last"))
def test_a_rule_reads_back_from_its_line_and_from_its_json(rule: AnyRule) -> None:
    assert parse(to_text(rule)) == rule
    assert read_json(to_json(rule)) == rule
    assert read(to_value(rule)) == rule


@given(one=strategies.all_rules, other=strategies.all_rules)
def test_rules_are_equal_exactly_where_their_json_and_their_line_are(
    one: AnyRule, other: AnyRule
) -> None:
    again = read(json.loads(to_json(one)))
    assert again == one and hash(again) == hash(one)
    assert to_json(again) == to_json(one) and to_text(again) == to_text(one)
    assert (one == other) == (to_json(one) == to_json(other)) == (to_text(one) == to_text(other))


@given(windows=strategies.windows, rule=strategies.rules)
@settings(deadline=None)
@example(windows=[cut(0, "a é", [3], [0])], rule=Regex(regex="é"))
@example(windows=[cut(0, "ab", [], []), cut(0, "cd", [], [])], rule=Regex(regex=r"\z", at="after"))
@example(windows=[cut(0, "ab", [1], [0, 2])], rule=Not(part=Class(name="digit")))
def test_a_rule_holds_where_a_token_by_token_reading_says(
    windows: list[NaiveWindow], rule: AnyRule
) -> None:
    text = naive_rules.stored(windows)
    assert evaluate(rule, text).tolist() == naive_rules.matched(rule, windows)
    documents = [w.document for w in windows for token in w.tokens if not token.is_put_in]
    assert text.documents.tolist() == documents


@given(windows=strategies.windows, rule=strategies.regexes)
@settings(deadline=None)
def test_a_regex_holds_where_pythons_own_matches_are(
    windows: list[NaiveWindow], rule: Regex
) -> None:
    found = evaluate(rule, naive_rules.stored(windows)).tolist()
    assert found == naive_rules.matched(rule, windows)
