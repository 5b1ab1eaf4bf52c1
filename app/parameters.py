"""Parameters that API calls share, and the refusal of those that a call does not have."""

import difflib
from typing import Annotated

from fastapi import Path, Query, Request, params
from fastapi.dependencies.utils import get_flat_params

from app.cursors import MAX_LIMIT
from app.errors import InvalidInput
from app.rules.text import MAX_TEXT

ModelSlug = Annotated[str, Path(description="A model's slug.")]
SourceSlug = Annotated[str, Path(description="A source's slug, such as `mlp-2`.")]
UnitIndex = Annotated[int, Path(description="The unit's index in its source, from 0 on.")]
CorpusSlug = Annotated[
    str | None, Query(description="A corpus's slug; by default the largest that was scanned.")
]
RuleText = Annotated[
    str, Query(min_length=1, max_length=MAX_TEXT, description="In one line, or as JSON.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[
    str | None, Query(description="The `next` of the part before; none for the first part.")
]
Density = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]


def only_known(request: Request) -> None:
    """Raises InvalidInput for a query parameter that the call does not have: a filter that is
    silently ignored would answer another question than was asked."""
    fields = get_flat_params(request.scope["route"].dependant)
    known = sorted(each.alias for each in fields if isinstance(each.field_info, params.Query))
    for name in request.query_params:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise InvalidInput(f"This call has no parameter {name[:80]!r}: {takes}.{meant}")
