"""The state of a source's listing as its form sends it: an empty field is one not filled in."""

from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import BeforeValidator, Field

from app.sources.service import Listing
from app.units.listing import Order, SortKey

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Empty = BeforeValidator(lambda value: None if value == "" else value)


def read_listing(
    corpus: Annotated[str | None, Empty, Query()] = None,
    sort: Annotated[SortKey | None, Empty, Query()] = None,
    order: Annotated[Order | None, Empty, Query()] = None,
    alive: Annotated[bool | None, Empty, Query(description="false: the dead alone.")] = None,
    dense: Annotated[Literal["false"] | None, Empty, Query(description="false: none.")] = None,
    min_density: Annotated[Share | None, Empty, Query()] = None,
    max_density: Annotated[Share | None, Empty, Query()] = None,
    min_r2: Annotated[Share | None, Empty, Query()] = None,
    max_r2: Annotated[Share | None, Empty, Query()] = None,
    q: Annotated[str | None, Empty, Query()] = None,
    cursor: Annotated[str | None, Empty, Query()] = None,
) -> Listing:
    """The listing that the address asks for."""
    return Listing(
        corpus=corpus,
        sort=sort or "name",
        order=order,
        alive=alive,
        dense=False if dense else None,
        min_density=min_density,
        max_density=max_density,
        min_r2=min_r2,
        max_r2=max_r2,
        q=q,
        cursor=cursor,
    )


ListingQuery = Annotated[Listing, Depends(read_listing)]
