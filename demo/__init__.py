"""The small language model and dictionaries that ship, and the code that trained them.

`python -m demo.train` makes everything below this folder that is not code.
"""
