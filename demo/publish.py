"""Replace shipped files without a reader ever seeing half of one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READABLE_BY_ALL = 0o644


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Give a scratch folder; what is in it at the end replaces the files of the same name.

    Each file is replaced by one rename. The folder itself is never missing, and an error inside
    the block leaves it as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        yield Path(scratch)
        for path in sorted(Path(scratch).iterdir()):
            path.chmod(READABLE_BY_ALL)
            path.replace(folder / path.name)
