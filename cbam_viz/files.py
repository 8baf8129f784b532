"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: Path, mark: str = "") -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path`` when all went well, and else is gone.

    What a killed process leaves half written lies beside it as ``<name><mark>.part``, which the
    next one overwrites. Two that write one path at once need marks that differ.
    """
    part = path.with_name(f"{path.name}{mark}.part")  # beside it: replacing must not copy
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
