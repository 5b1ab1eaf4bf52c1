"""What `unitscope token` does."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from app import db, urls
from app.access import tokens
from app.serving import place
from app.times import format_moment


def create(name: str, scopes: Sequence[str]) -> None:
    """Makes a token and prints its secret, and nothing else on the standard output."""
    engine = db.ready()
    with db.session(engine) as session:
        secret = tokens.create(session, name, scopes)
    print(secret)
    Console(stderr=True).print(
        f"Shown this once. Programs send it as `Authorization: Bearer …`; in a browser, sign in "
        f"with it at {place(None, None).url}{urls.sign_in()}.",
        highlight=False,
        soft_wrap=True,
    )


def list_tokens(*, is_json: bool) -> None:
    """Prints the tokens, without their secrets."""
    engine = db.ready()
    with db.session(engine) as session:
        found = tokens.list_tokens(session)
    if is_json:
        print(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    if not found:
        print("There are no tokens: `unitscope token create NAME --scope …` makes one.")
        return
    table = Table("name", "for", "made", show_edge=False)
    for each in found:
        table.add_row(each.name, ", ".join(each.scopes), format_moment(each.created_at))
    Console().print(table)


def revoke(name: str) -> None:
    """Takes a token back. Raises NotFound."""
    engine = db.ready()
    with db.session(engine) as session:
        tokens.revoke(session, name)
    print(f"The token {name!r} is taken back. What was written with it stays.")
