"""What a worker does, wherever it runs: the photos of a piece to a file of rows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from ..explain.batches import by_shape
from ..explain.explainer import Explainer
from ..explain.photo_errors import PhotoError
from ..explain.view import ModelInput, View
from ..models.checkpoints import Checkpoint
from .output import rows_file, write_rows
from .pieces import Item, Piece
from .rows import row_of_error, rows_of, schema_of

#: Most photos in a forward pass, and most that wait for others of their shape.
BATCH, WAITING = 16, 96


def on_one_core() -> None:
    """Make this process one of many that survey: one thread, and little memory beside the model.

    oneDNN compiles a kernel for every layer and shape of input and keeps 1,024 of them; photos of
    many shapes fill that with hundreds of MB. To compile a few again costs no time that shows.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")  # read at the first forward pass
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Prepared:
    """A photo that is ready for a batch."""

    name: str
    label: str | None
    view: View
    tensor: torch.Tensor


class Surveyor:
    """Looks at pieces of a survey with one model, one after the other.

    Args:
        checkpoint: of the model.
        out: the survey's folder.
        view, top_k: as for `Explainer.explain`.
    """

    def __init__(self, checkpoint: Checkpoint, out: Path, view: str, top_k: int):
        self.explainer = Explainer.from_checkpoint(checkpoint)
        self.out, self.view, self.top_k = out, view, top_k
        self.schema = schema_of(list(checkpoint.model.blocks()))

    def survey(self, number: int, piece: Piece) -> tuple[int, int]:
        """Write the rows of a piece, whole or not at all.

        Returns:
            How many rows, and how many of them of errors.

        Raises:
            OSError: photos cannot be fetched from their address, or rows not written.
        """
        return write_rows(rows_file(self.out, number), self.schema, self._rows(piece))

    def _rows(self, piece: Piece) -> Iterator[pa.RecordBatch]:
        failed: list[pa.RecordBatch] = []
        ready = self.prepared(piece, failed)
        for batch in by_shape(ready, lambda one: one.tensor.shape, BATCH, WAITING):
            _, probabilities, gates = self.explainer.forward(
                torch.cat([one.tensor for one in batch])
            )
            yield rows_of(
                self.schema,
                [one.name for one in batch],
                [one.label for one in batch],
                [one.view for one in batch],
                probabilities,
                gates,
                self.explainer.classes,
                self.top_k,
            )
            yield from failed
            failed.clear()
        yield from failed

    def prepared(self, piece: Piece, failed: list[pa.RecordBatch]) -> Iterator[Prepared]:
        """Decoded photos. The rows of those that cannot be are left in ``failed``."""
        for item in piece.items():
            label = self._class(item)
            try:
                if item.error:
                    raise PhotoError(item.error)
                found = ModelInput.of(item.source, self.explainer.preprocessing, self.view)
            except PhotoError as error:
                failed.append(row_of_error(self.schema, item.photo, label, str(error)))
            else:
                yield Prepared(item.photo, label, found.view, found.tensor)

    def _class(self, item: Item) -> str | None:
        if isinstance(item.label, int):
            known = 0 <= item.label < len(self.explainer.classes)
            return self.explainer.classes[item.label] if known else str(item.label)
        return item.label
