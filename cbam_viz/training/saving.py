"""Files that a run goes on from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch

from ..files import written_whole


@contextmanager
def saved_whole(path: Path) -> Iterator[BinaryIO]:
    """`written_whole`, once all of it is on the disk.

    Raises:
        OSError: it cannot be written (the disk is full, say); what was there before still is.
    """
    try:
        with written_whole(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"{path} cannot be saved ({error}); what was saved before is whole. Make room and run "
            "the same command again to go on from there"
        ) from error


def save_whole(state: dict, path: Path) -> None:
    """`torch.save` that writes all of a file or nothing, and raises as `saved_whole` does."""
    with saved_whole(path) as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # what torch's writer makes of a full disk
            raise OSError(str(error)) from error
