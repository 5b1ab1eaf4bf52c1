"""Positions that speak against a rule, as token windows with the unit's stored activations."""

import numpy as np
from jaxtyping import Bool, Float32, Int64
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.atlas.opened import OpenAtlas
from app.corpora.queries import with_document
from app.corpora.windows import read_windows
from app.models import Scan, TokenWindow
from app.rule_search import one_unit, schemas
from app.rule_search.figures import Matched
from app.rules.atlas_text import AtlasText
from app.sources.queries import CurrentScan


def find_counter_examples(
    session: Session,
    scan: CurrentScan,
    atlas: OpenAtlas,
    unit: int,
    matched: Matched,
    text: AtlasText,
    threshold: float,
) -> schemas.CounterExamples:
    """A few of each kind: it fires without the rule, and the rule holds without it."""
    found = one_unit.counter_examples(atlas, unit, matched, text.window_of, threshold)
    chosen = [*found.fires_without.tolist(), *found.silent_despite.tolist()]
    shown = _Windows(session, scan, text, atlas.of_unit(unit), matched).at(chosen)
    return schemas.CounterExamples(
        n_fires_without=found.n_fires_without,
        fires_without=shown[: len(found.fires_without)],
        n_silent_despite=found.n_silent_despite,
        silent_despite=shown[len(found.fires_without) :],
    )


class _Windows:
    """Windows of the atlas as examples of one unit."""

    def __init__(
        self,
        session: Session,
        scan: CurrentScan,
        text: AtlasText,
        entries: tuple[np.ndarray, Float32[np.ndarray, " entries"]],
        matched: Matched,
    ) -> None:
        self.session, self.scan, self.text = session, scan, text
        self.activations = np.zeros(text.n_positions, np.float32)
        self.activations[entries[0]] = entries[1]
        self.is_matched: Bool[np.ndarray, " positions"] = np.zeros(text.n_positions, bool)
        self.is_matched[matched] = True

    def at(self, positions: list[int]) -> list[schemas.CounterExample]:
        """The windows of these positions, in their order; read together."""
        if not positions:
            return []
        text, corpus = self.text, self.scan.corpus
        tokens, slots = text.counted[positions], text.window_of[positions]
        indices = self._sampled()[slots]
        query = with_document(corpus.id).where(TokenWindow.index.in_(indices.tolist()))
        rows = {window.index: (window, name) for window, name in self.session.execute(query)}
        windows = [rows[index] for index in indices.tolist()]
        read = read_windows(self.session, corpus.tokenizer_id, [window for window, _ in windows])
        places = (tokens - text.window_starts[slots]).tolist()
        found = []
        for slot, place, (window, document), shown in zip(
            slots.tolist(), places, windows, read, strict=True
        ):
            activations, matched = self._of_window(slot)
            values = [-np.inf if a is None else a for a in activations]
            at_most = int(np.argmax(values))
            found.append(
                schemas.CounterExample(
                    corpus=corpus.slug,
                    window=window.index,
                    document=document,
                    char_start=window.char_start,
                    text=shown.text,
                    token_ids=shown.token_ids,
                    tokens=shown.tokens,
                    activations=activations,
                    max_activation=values[at_most],
                    max_position=at_most,
                    position=place,
                    activation=values[place],
                    interval=None,
                    matched=matched,
                )
            )
        return found

    def _sampled(self) -> Int64[np.ndarray, " slots"]:
        query = select(Scan.atlas_windows).where(Scan.id == self.scan.scan.id)
        packed = self.session.execute(query).scalar_one() or b""
        return np.frombuffer(packed, "<i4").astype(np.int64)

    def _of_window(self, slot: int) -> tuple[list[float | None], list[int]]:
        """The activation at each token, None where it does not count; where the rule holds."""
        first, last = self.text.window_starts[slot : slot + 2]
        low, high = np.searchsorted(self.text.counted, [first, last])
        places = self.text.counted[low:high] - first
        activations: list[float | None] = [None] * int(last - first)
        for place, value in zip(places.tolist(), self.activations[low:high], strict=True):
            activations[place] = float(str(value))  # as few digits as tell a float32
        matched: list[int] = places[self.is_matched[low:high]].tolist()
        return activations, matched
