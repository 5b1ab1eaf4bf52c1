"""A byte-level BPE tokenizer for Python source, trained on the training modules alone.

What a reader sees on a unit's page is a row of tokens, so the pre-tokenizer is chosen for reading:
a line break is a token of its own, indentation is one token, a word keeps the space before it and
every digit stands alone. All 256 bytes are in the vocabulary, so any Unicode text survives a
round trip, and offsets are exact because nothing normalises the text.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from demo.config import CONTEXT_LENGTH, END_OF_TEXT, VOCABULARY_SIZE

_PIECE = Regex(
    r"[\r\n]+"  # line breaks
    r"| ?\p{L}+| ?\p{N}"  # a word, a digit
    r"| ?[^\s\p{L}\p{N}]+"  # punctuation
    r"|[^\S\r\n]+(?!\S)|[^\S\r\n]+"  # indentation, less the space that belongs to the next word
)


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train on `texts`. Deterministic: BPE breaks ties by pair, not by hash order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECE, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files from which `AutoTokenizer.from_pretrained(folder)` loads, offline."""
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
