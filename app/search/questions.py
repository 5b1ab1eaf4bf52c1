"""What a reader typed into the search box, and what to type to ask a thing: one the inverse of
the other.

`mlp-2/417`, `model/mlp-2/417`   a unit's address
`"token"`                        units that the token carries; so does a word without quotes
`logit: "token"`                 units that promote the token
`label: import`                  units of which these words are said; so do words that are no token
`/regex/`, `:digit & !"0"`       units that follow the rule (app.rules.text); so does anything after
                                 `rule:`, and a rule as JSON

One or three quotes alone are a token, as Python writes them, not a quoted quote. Inside
quotes a space counts, and `\\n`, `\\t`, `\\r`, `\\"`, `\\\\` stand for what they do in JSON.
"""

import re
from typing import Literal, NamedTuple

from app.errors import InvalidInput
from app.rules.given import read_rule
from app.rules.language import Tokens
from app.search.queries import ADDRESS

QuestionKind = Literal["nothing", "address", "token", "logit", "label", "rule"]

_RULE = re.compile(r"\s*rule:\s*(.*?)\s*", re.DOTALL | re.IGNORECASE)
_SURELY_RULE = re.compile(r"\s*(/.+/|(previous|within|prefix|suffix|line|inside)\(|\{\s*\")")
# A class, alone or between signs; a function, with a sign or a class behind it; "string" and a sign
_LIKE_RULE = (
    re.compile(r"(?:.*[&|!(,])?\s*:[A-Za-z]\w*\s*(?:$|[&|),])", re.DOTALL),
    re.compile(r"(?=.*(?:[&|]|!(?!=)|:[a-z]))(?:.*[&|!(,])?\s*[A-Za-z_]\w*\(.*\)", re.DOTALL),
    re.compile(r'^\s*"(?:[^"\\]|\\.)+"\s*[&|]\s*\S', re.DOTALL),
)
_SIGNS = re.compile(
    r"""
      (?P<quoted>"(?:[^"\\]|\\.)+")
    | (?<!\S) (?!-\w) [^\w\s]+                             # by themselves, or before a word
    | (?<=\w) (?![-'./]\w | [,.;?](?:\s|\Z)) [^\w\s]+      # after one
    | (?<=[^\w\s]) [^\w\s]                                 # after quotes
    """,
    re.VERBOSE | re.DOTALL,
)
_MAX_LIKE = 1000  # characters: the patterns above take quadratic time
_LOGIT = re.compile(r"\s*logit:\s*(.*?)\s*", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(r"\s*label:\s*(.*?)\s*", re.DOTALL | re.IGNORECASE)
_QUOTED = re.compile(r'\s*["“”](.*)["“”]\s*', re.DOTALL)
_QUOTES = re.compile(r'\s*"(?:"")?\s*')
_ESCAPE = re.compile(r'\\(["\\ntr])')
_MEANT = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_WRITTEN = {meant: f"\\{letter}" for letter, meant in _MEANT.items()}


class Question(NamedTuple):
    """What the input was understood to ask for; `text` is the token, else what was typed."""

    kind: QuestionKind
    text: str


def parse_question(q: str) -> Question:
    """Understands any input in one way; what is no address and not quoted is a token."""
    if not q.strip():
        return Question("nothing", "")
    if match := _LOGIT.fullmatch(q):
        return Question("logit", _unquoted(match[1]))
    if match := _LABEL.fullmatch(q):
        return Question("label", match[1])
    if match := _RULE.fullmatch(q):
        return Question("rule", match[1])
    if _QUOTED.fullmatch(q) is None and ADDRESS.fullmatch(q.strip()):
        return Question("address", q.strip())
    if _is_rule(q):
        return Question("rule", q.strip())
    return Question("token", _unquoted(q))


def _is_rule(q: str) -> bool:
    """Whether it has the look of a rule; a token that might be one has it only if it reads as one.

    A quoted token alone is a token.
    """
    if _SURELY_RULE.match(q):
        return True
    try:
        rule = read_rule(q)
    except InvalidInput:
        return False
    return not (isinstance(rule, Tokens) and len(rule.tokens) == 1)


def misread_rule(q: str) -> str | None:
    """What is wrong with what has the look of a rule but is none, as `prev("=") & :number`; None
    where it is one, or is nothing like it."""
    if len(q) > _MAX_LIKE or not any(like.match(q) for like in _LIKE_RULE):
        return None
    try:
        read_rule(q)
    except InvalidInput as error:
        return error.message
    return None


def rule_query(rule: str) -> str:
    """What to type to find the units that follow a rule in one line."""
    return rule if parse_question(rule) == Question("rule", rule) else f"rule: {rule}"


def token_query(token: str) -> str:
    """What to type to find the units that `token` carries."""
    return '"' + "".join(_WRITTEN.get(char, char) for char in token) + '"'


def logit_query(token: str) -> str:
    """What to type to find the units that promote `token`."""
    return f"logit: {token_query(token)}"


def label_query(words: str) -> str:
    """What to type to find the units whose explanation or label has these words."""
    return f"label: {words.strip()}"


def signs_of(words: str) -> list[str]:
    """The signs of what is searched for as words, which labels are not searched for: as they stand,
    or what a string in quotes is of, once each. Quotes around words, a minus before one, what
    joins two (`self-made`, `don't`, `os.path`) and a full stop or comma after one are none."""
    found: dict[str, None] = {}
    for match in _SIGNS.finditer(words):
        quoted = match["quoted"]
        if quoted is None:
            found.setdefault(match[0])
        elif any(char.isalnum() for char in _unquoted(quoted)):
            found.update(dict.fromkeys(signs_of(quoted[1:-1])))
        elif quoted[1:-1].strip():
            found.setdefault(_unquoted(quoted))
    return list(found)


def is_quoted(q: str) -> bool:
    """Whether what was typed is a token in quotes, and nothing but that token is meant."""
    return _QUOTED.fullmatch(q) is not None


def _unquoted(text: str) -> str:
    match = _QUOTED.fullmatch(text)
    if match is None or _QUOTES.fullmatch(text):
        return text.strip()
    return _ESCAPE.sub(lambda escape: _MEANT[escape[1]], match[1])
