"""Each order of a large source comes out of an index: a page costs the same wherever it is."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

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
