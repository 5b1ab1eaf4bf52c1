"""The library of rules of one text, as kernels read it: for every position, the rules that hold.

Made once for a text and kept for the next who asks: about 2 ms a rule and a million positions, and
two bytes for every rule that holds at a position (some twenty do).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Int64, UInt16

from app.atlas.recent import Recent
from app.rules.atlas_text import AtlasText
from app.rules.language import AnyRule
from app.rules.library import LibraryRule, library

MAX_LIBRARIES = 2

_libraries: "Recent[AtlasText, Library]" = Recent(MAX_LIBRARIES)
_lock = Lock()


@dataclass(frozen=True, eq=False)
class Library:
    """At position i the rules [starts[i], starts[i + 1]) of `holding` hold, by their places in
    `rules`, ascending.

    n_matched  positions where each rule holds
    """

    rules: tuple[AnyRule, ...]
    n_matched: Int64[np.ndarray, " rules"]
    starts: Int64[np.ndarray, " positions_and_one"]
    holding: UInt16[np.ndarray, " holding"]

    @property
    def n_positions(self) -> int:
        return len(self.starts) - 1


def open_library(text: AtlasText) -> Library:
    """The library of a text, made at its first use in this process."""
    with _lock:
        found = _libraries.get(text)
        if found is None:
            found = turned(list(library(text)), text.n_positions)
            _libraries.put(text, found)
        return found


def turned(rules: Sequence[LibraryRule], n_positions: int) -> Library:
    """Rules with their positions, turned into positions with their rules."""
    counts = np.zeros(n_positions, np.int64)
    for each in rules:
        counts[each.matched] += 1
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    holding, places = np.empty(int(starts[-1]), np.uint16), starts[:-1].copy()
    for number, each in enumerate(rules):
        holding[places[each.matched]] = number
        places[each.matched] += 1
    n_matched = np.array([len(each.matched) for each in rules], np.int64)
    return Library(tuple(each.rule for each in rules), n_matched, starts, holding)
