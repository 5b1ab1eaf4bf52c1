"""Strategies: texts that break what was only tried on English."""

from hypothesis import strategies as st

AWKWARD = [
    "👩‍👩‍👧‍👦",  # one character to a reader, seven code points
    "👍🏽",
    "🇨🇭",
    "e\u0301",  # a combining accent
    "Z\u0351\u036f\u0321\u032d",
    "東京都",
    "한국어",
    "שלום",
    "مرحبا",
    "\u202e\u202c",  # direction marks
    "\0",
    "\ufeff",
    "\ufffd",
    "\u00a0",
    "ﷺ",  # NFKC makes eighteen characters of it
    "ﬁ",
    "𝔘𝔫𝔦",
    "\U0010ffff",
    "\r\n",
    "\t",
    "    ",
    "</script>",
    "<|bos|>",
    "<0x41>",
    "▁",
    "Ġ",
    "the quick brown fox",
    "def main():\n    return",
]

characters = st.characters(exclude_categories=["Cs"])  # lone surrogates are refused on reading
texts = st.lists(st.one_of(st.sampled_from(AWKWARD), st.text(characters, max_size=8)), max_size=12)
texts = texts.map("".join)
