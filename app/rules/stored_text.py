"""Reading the text of a scan's atlas from the database, once for all who ask in this process.

What is kept is named by the hashes of the corpus and of the sampled windows, so scans that sampled
the same windows share it, and one that was made anew is read anew.
"""

from collections.abc import Iterator
from threading import Lock

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.atlas.errors import AtlasMissing, AtlasUnusable
from app.atlas.recent import Recent
from app.models import Corpus, Scan, Token, Tokenizer, TokenWindow
from app.rules.atlas_text import AtlasText, WindowParts, build
from app.rules.vocabulary import Vocabulary

MAX_TEXTS = 4
MAX_VOCABULARIES = 4
WINDOWS_AT_ONCE = 2048

_texts: Recent[tuple[str, str], AtlasText] = Recent(MAX_TEXTS)
_vocabularies: Recent[str, Vocabulary] = Recent(MAX_VOCABULARIES)
_lock = Lock()


def open_text(session: Session, scan_id: int) -> AtlasText:
    """The text of a scan's atlas; its positions are those of the atlases of the scan's sources.

    Raises AtlasMissing for a scan from before atlases were kept, AtlasUnusable where the database
    lacks some of its windows.
    """
    key = session.execute(
        select(Corpus.hash, func.encode(func.sha256(Scan.atlas_windows), "hex"))
        .join(Scan, Scan.corpus_id == Corpus.id)
        .where(Scan.id == scan_id)
    ).one_or_none()
    if key is None or key[1] is None:
        raise AtlasMissing(
            "The scan was made before atlases were kept, so there is no text to hold a rule "
            "against. Index the source again."
        )
    with _lock:
        found = _texts.get((key[0], key[1]))
        if found is None:
            found = _read(session, scan_id)
            _texts.put((key[0], key[1]), found)
        return found


def _read(session: Session, scan_id: int) -> AtlasText:
    corpus_id, tokenizer_id, slug, packed = session.execute(
        select(Corpus.id, Corpus.tokenizer_id, Corpus.slug, Scan.atlas_windows)
        .join(Scan, Scan.corpus_id == Corpus.id)
        .where(Scan.id == scan_id)
    ).one()
    indices = np.frombuffer(packed or b"", dtype="<i4").tolist()
    windows = list(_windows(session, corpus_id, indices))
    if len(windows) != len(indices):
        raise AtlasUnusable(
            f"The database holds {len(windows):,} of the {len(indices):,} windows that were "
            f"sampled from {slug}. Index the corpus again."
        )
    return build(_vocabulary(session, tokenizer_id), windows)


def _windows(session: Session, corpus_id: int, indices: list[int]) -> Iterator[WindowParts]:
    for at in range(0, len(indices), WINDOWS_AT_ONCE):
        query = (
            select(
                TokenWindow.document_index,
                TokenWindow.token_ids,
                TokenWindow.starts,
                TokenWindow.text,
                TokenWindow.uncounted,
            )
            .where(
                TokenWindow.corpus_id == corpus_id,
                TokenWindow.index == func.any(indices[at : at + WINDOWS_AT_ONCE]),
            )
            .order_by(TokenWindow.index)
        )
        for row in session.execute(query):
            yield WindowParts(*row)


def _vocabulary(session: Session, tokenizer_id: int) -> Vocabulary:
    """Ids that the tokenizer does not have are `<id>`, as pages show them, and special."""
    name = session.execute(select(Tokenizer.hash).where(Tokenizer.id == tokenizer_id)).scalar_one()
    found = _vocabularies.get(name)
    if found is None:
        query = select(Token.token_id, Token.text, Token.is_special)
        rows = session.execute(query.where(Token.tokenizer_id == tokenizer_id)).all()
        n_tokens = 1 + max((token_id for token_id, _, _ in rows), default=-1)
        texts = [f"<{token_id}>" for token_id in range(n_tokens)]
        is_special = np.ones(n_tokens, dtype=bool)
        for token_id, text, special in rows:
            texts[token_id], is_special[token_id] = text, special
        found = Vocabulary(texts, is_special)
        _vocabularies.put(name, found)
    return found
