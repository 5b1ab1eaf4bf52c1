"""Each order of a large source comes out of an index: a page costs the same wherever it is."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from app import partitions
from app.search.queries import search_units
from app.units.queries import list_units
from bench.reading import fill_source


@pytest.fixture(scope="module")
def large(module_engine: Engine) -> Iterator[Engine]:
    """20,000 units; `plans` collects what PostgreSQL does for each query that is asked."""
    with module_engine.begin() as connection:
        fill_source(connection, 20_000)
    with module_engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    yield module_engine


def _plan(engine: Engine, ask: Any) -> str:
    """The plan of the query over `unit_stats` that `ask` makes."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM unit_stats" in statement:
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        with Session(engine) as session:
            ask(session)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    (statement, parameters) = asked[-1]
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("sort", ["index", "density", "max", "mean", "std"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_page_of_every_order_comes_out_of_an_index(
    large: Engine, sort: Any, order: Any
) -> None:
    def second_page(session: Session) -> None:
        cursor = None
        for _ in range(2):
            page = list_units(session, "large", "sae", sort=sort, order=order, cursor=cursor)
            cursor = page.next
        assert cursor is not None

    plan = _plan(large, second_page)
    assert "Sort" not in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Index" in plan


def test_a_token_is_looked_up_and_not_searched_for(large: Engine) -> None:
    plan = _plan(large, lambda session: search_units(session, "large", token="word17"))
    assert "Seq Scan" not in plan, plan
    plan = _plan(large, lambda session: search_units(session, "large", logit="word17"))
    assert "Seq Scan" not in plan, plan
    plan = _plan(large, lambda session: list_units(session, "large", "sae", q="word17", sort="max"))
    assert "Seq Scan" not in plan, plan


LABELS = """INSERT INTO labels SELECT 1, 1, i, '{"class": "digit"}', 'the token word' || (i % 4096),
    random(), 1, 1, 1, i % 3 > 0 FROM generate_series(0, 19999) i"""
EXPLANATIONS = """INSERT INTO explanations (source_id, unit, author, text)
    SELECT 1, i * 3, 'ada', 'the token word' || i FROM generate_series(0, 1999) i"""


@pytest.fixture(scope="module")
def said(large: Engine) -> Engine:
    """`large`, with something said of most units."""
    with large.begin() as connection:
        partitions.create(connection, ("labels",), 1)
        connection.execute(text(LABELS))
        connection.execute(text(EXPLANATIONS))
    with large.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return large


@pytest.mark.parametrize("words", ["word17", "the token"])
def test_rare_and_common_words_come_out_of_an_index(said: Engine, words: str) -> None:
    def second_page(session: Session) -> None:
        page = search_units(session, "large", label=words, limit=2)
        assert page.next is not None
        search_units(session, "large", label=words, limit=2, cursor=page.next)

    for ask in (second_page, lambda session: search_units(session, "large", label=words)):
        plan = _plan(said, ask)
        assert "Seq Scan on labels" not in plan, plan
        assert "Seq Scan on unit" not in plan, plan
