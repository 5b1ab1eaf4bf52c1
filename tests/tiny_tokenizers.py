"""Small tokenizers, trained in a blink, of the two families that models use."""

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from workers.sources.tokenizers import TextTokenizer

BOS = "<|bos|>"
TEXT = [
    "def main():\n    return [value for value in values if value]\n",
    "The quick brown fox jumps over the lazy dog, again and again. Naïve café, Größe, 東京\n",
    "class Window:\n\tsize = 128\n\n\tdef cut(self, text):\n\t\treturn text[: self.size]\n",
] * 4


@cache
def byte_level() -> Tokenizer:
    """Byte-level BPE, as GPT-2 and Llama 3 have it: one character may be several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[BOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


@cache
def metaspace() -> Tokenizer:
    """BPE with `▁` for spaces and bytes as tokens, as SentencePiece makes it for Llama 2."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    plain = Tokenizer(models.BPE(unk_token="<unk>"))
    plain.normalizer = _marked_spaces()
    special = ["<unk>", BOS]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*special, *byte_tokens], show_progress=False
    )
    plain.train_from_iterator(TEXT, trainer)
    spec = plain.model.__getstate__().decode()
    return _with_bytes(spec, special)


@cache
def unigram() -> Tokenizer:
    """Unigram with NFKC before it, as SentencePiece makes it for T5: text changes on its way."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", BOS], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def text_tokenizer(tokenizer: Tokenizer) -> TextTokenizer:
    """`tokenizer` as our code takes it from a model."""
    return TextTokenizer(tokenizer, tokenizer.token_to_id(BOS))


def _marked_spaces() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _with_bytes(spec: str, special: list[str]) -> Tokenizer:
    import json

    parts = json.loads(spec)
    merges = [tuple(merge) for merge in parts["merges"]]
    model = models.BPE(parts["vocab"], merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _marked_spaces()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(special)
    return tokenizer
