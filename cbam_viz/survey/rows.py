"""The rows of a survey: what is kept of each photo, as Arrow's columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..explain.recorder import Gates
from ..explain.view import View

#: Of these columns and their meaning; another number is another survey.
SCHEMA_VERSION = 1

FIGURES = ("min", "mean", "max", "deviation")
KINDS = ("channel", "spatial")


def column(block: str, what: str) -> str:
    """A block's column: ``layer4_1_channel_mean``. Dots would need quotes everywhere."""
    return f"{block.replace('.', '_')}_{what}"


def schema_of(blocks: Sequence[str]) -> pa.Schema:
    """The columns of a network with these blocks. In a row of an error all but four are null."""
    fields = [
        pa.field("photo", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("class", pa.string()),
        pa.field("right", pa.bool_()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("input_width", pa.int32()),
        pa.field("input_height", pa.int32()),
        pa.field("top_index", pa.list_(pa.int32())),
        pa.field("top_label", pa.list_(pa.string())),
        pa.field("top_probability", pa.list_(pa.float32())),
    ]
    for block in blocks:
        fields += [
            pa.field(column(block, f"{kind}_{figure}"), pa.float32())
            for kind in KINDS
            for figure in FIGURES
        ]
        fields += [
            pa.field(column(block, "channel"), pa.list_(pa.float16())),
            pa.field(column(block, "spatial"), pa.list_(pa.float16())),
            pa.field(column(block, "spatial_rows"), pa.int16()),
            pa.field(column(block, "spatial_columns"), pa.int16()),
        ]
    return pa.schema(fields)


def rows_of(
    schema: pa.Schema,
    photos: Sequence[str],
    labels: Sequence[str | None],
    views: Sequence[View],
    probabilities: Tensor,
    gates: dict[str, Gates],
    classes: Sequence[str],
    top_k: int,
) -> pa.RecordBatch:
    """The rows of one batch.

    Args:
        schema: of `schema_of`.
        photos, labels, views: of each photo; ``labels`` are names of classes or None.
        probabilities: float32 [N, classes].
        gates: of all blocks.
        classes: the model's.
        top_k: how many predictions are kept.
    """
    count = len(photos)
    likely = probabilities.topk(min(top_k, len(classes)))
    indices = likely.indices.numpy()
    known = set(classes)
    right = [
        label == classes[i] if label in known else None
        for label, i in zip(labels, indices[:, 0], strict=True)
    ]
    columns: dict[str, pa.Array] = {
        "photo": pa.array(photos, pa.string()),
        "error": pa.nulls(count, pa.string()),
        "class": pa.array(labels, pa.string()),
        "right": pa.array(right, pa.bool_()),
        "width": pa.array([v.photo_size[0] for v in views], pa.int32()),
        "height": pa.array([v.photo_size[1] for v in views], pa.int32()),
        "input_width": pa.array([v.size[0] for v in views], pa.int32()),
        "input_height": pa.array([v.size[1] for v in views], pa.int32()),
        "top_index": _lists(indices.astype(np.int32)),
        "top_label": _lists(np.array(classes, object)[indices]),
        "top_probability": _lists(likely.values.numpy()),
    }
    for block, found in gates.items():
        rows, cells = found.spatial.shape[-2:]
        for kind in KINDS:
            values = getattr(found, kind).flatten(1)
            deviation, mean = torch.std_mean(values, 1, correction=0)
            figures = (values.amin(1), mean, values.amax(1), deviation)
            for name, figure in zip(FIGURES, figures, strict=True):
                columns[column(block, f"{kind}_{name}")] = pa.array(figure.numpy())
            columns[column(block, kind)] = _lists(values.half().numpy())
        columns[column(block, "spatial_rows")] = pa.array([rows] * count, pa.int16())
        columns[column(block, "spatial_columns")] = pa.array([cells] * count, pa.int16())
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def row_of_error(schema: pa.Schema, photo: str, label: str | None, error: str) -> pa.RecordBatch:
    """The row of a photo that cannot be looked at."""
    known = {"photo": photo, "class": label, "error": error}
    return pa.RecordBatch.from_arrays(
        [pa.array([known.get(field.name)], field.type) for field in schema], schema=schema
    )


def _lists(values: np.ndarray) -> pa.Array:
    """[N, k] as N lists."""
    count, long = values.shape
    offsets = np.arange(0, (count + 1) * long, long, dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))
