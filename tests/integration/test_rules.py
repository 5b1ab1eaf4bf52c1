"""The text of a scan's atlas, as the database holds it, and rules over it."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from app.atlas.errors import AtlasMissing, AtlasUnusable
from app.models import Atlas, Corpus, LanguageModel, Scan, TokenWindow
from app.rules import stored_text
from app.rules.atlas_text import AtlasText
from app.rules.evaluation import evaluate
from app.rules.library import library
from app.rules.stored_text import open_text
from app.rules.text import parse
from tests.integration.seed import BOS, SCRIPT, Seeded, TinyCorpus, seed


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    return seed(module_engine)


@pytest.fixture
def session(
    module_engine: Engine, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    """What a test does to the database is undone at its end; nothing is kept from before."""
    monkeypatch.setattr(stored_text, "_texts", type(stored_text._texts)(4))
    monkeypatch.setattr(stored_text, "_vocabularies", type(stored_text._vocabularies)(4))
    with Session(module_engine) as session:
        yield session
        session.rollback()


def scan_id(session: Session, model: str, corpus: str) -> int:
    query = select(Scan.id).join(Corpus, Corpus.id == Scan.corpus_id)
    query = query.join(LanguageModel, LanguageModel.id == Scan.language_model_id)
    found: int = session.scalars(
        query.where(LanguageModel.slug == model, Corpus.slug == corpus)
    ).one()
    return found


def positions(corpus: TinyCorpus, step: int) -> list[tuple[int, int, str]]:
    """(token id, document, the character of the document that it starts at) of each position."""
    return [
        (token_id, window.document, corpus.documents[window.document][window.char_start + start])
        for window in corpus.windows[::step]
        for token_id, start in zip(window.token_ids[1:], window.starts[1:], strict=True)
    ]


@pytest.mark.parametrize(
    ("model", "corpus", "step"),
    [("tiny-a", "code", 1), ("tiny-a", "other-text", 1), ("tiny-b", "code", 2)],
)
def test_the_text_has_the_atlas_positions_in_their_order(
    session: Session, seeded: Seeded, model: str, corpus: str, step: int
) -> None:
    scan = scan_id(session, model, corpus)
    text = open_text(session, scan)
    expected = positions(seeded.corpora[corpus], step)
    assert text.token_ids[text.counted].tolist() == [token_id for token_id, _, _ in expected]
    assert text.documents.tolist() == [document for _, document, _ in expected]
    assert set(text.token_ids[~text.is_counted].tolist()) == {BOS}
    n_positions = session.scalars(select(Atlas.n_positions).where(Atlas.scan_id == scan)).all()
    assert set(n_positions) == {text.n_positions}
    firsts = [bytes(text.text[low:high]).decode()[0] for low, high in _spans(text)]
    assert firsts == [char for _, _, char in expected]


def _spans(text: AtlasText) -> list[tuple[int, int]]:
    return list(zip(text.begins.tolist(), text.ends.tolist(), strict=True))


def test_rules_hold_where_the_seeded_texts_say(session: Session, seeded: Seeded) -> None:
    text = open_text(session, scan_id(session, "tiny-a", "code"))
    expected = positions(seeded.corpora["code"], 1)
    ids = seeded.tokenizer.ids
    script = [i for i, found in enumerate(expected) if found[0] == ids[SCRIPT.encode()]]
    assert script and evaluate(parse('"</script>"'), text).tolist() == script
    assert evaluate(parse(r"/<\/script>/"), text).tolist() == script
    emoji = [i for i, (_, _, char) in enumerate(expected) if char == "🙂"]
    assert len(emoji) == 4 and evaluate(parse("/🙂/"), text).tolist() == emoji
    nul = [i for i, found in enumerate(expected) if found[0] == ids[b"\0"]]
    assert nul and evaluate(parse(r"/\x00/"), text).tolist() == nul
    assert evaluate(parse(r'"\\x00"'), text).tolist() == nul
    after_bos = evaluate(parse('previous("<|endoftext|>")'), text)
    assert len(after_bos) == len(seeded.corpora["code"].windows)
    assert len(list(library(text, n_least=3))) > 20


def test_scans_of_the_same_windows_share_one_text(session: Session, seeded: Seeded) -> None:
    scan = scan_id(session, "tiny-a", "code")
    text = open_text(session, scan)
    assert open_text(session, scan) is text
    other = open_text(session, scan_id(session, "tiny-b", "code"))
    assert other is not text and other.vocabulary is text.vocabulary
    session.execute(update(Corpus).where(Corpus.slug == "code").values(hash="made anew"))
    again = open_text(session, scan)
    assert again is not text and np.array_equal(again.token_ids, text.token_ids)


def test_a_scan_without_an_atlas_and_windows_that_are_gone_are_told(
    session: Session, seeded: Seeded
) -> None:
    scan = scan_id(session, "tiny-b", "code")
    corpus_id = seeded.corpora["code"].id
    session.execute(
        delete(TokenWindow).where(TokenWindow.corpus_id == corpus_id, TokenWindow.index == 2)
    )
    with pytest.raises(AtlasUnusable, match=r"holds \d+ of the \d+ windows that were sampled"):
        open_text(session, scan)
    session.execute(update(Scan).where(Scan.id == scan).values(atlas_windows=None))
    with pytest.raises(AtlasMissing, match="Index the source again"):
        open_text(session, scan)
