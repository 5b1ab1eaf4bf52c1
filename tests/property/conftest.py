"""How Hypothesis runs here."""

from hypothesis import settings

# The first call of a compiled kernel compiles it, and machines are busy: no time limit a case.
settings.register_profile("unitscope", deadline=None)
settings.load_profile("unitscope")
