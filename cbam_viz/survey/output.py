"""The folder that a survey is written into, and what may go on in it."""

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from .. import __version__
from ..files import written_whole
from ..models.checkpoints import Checkpoint
from .pieces import Piece
from .rows import SCHEMA_VERSION

MANIFEST, ROWS, LOCK = "survey.json", "rows", ".lock"
#: Rows of one row group: what a reader of a column, or a writer, holds at a time.
GROUP = 256


@dataclass(frozen=True)
class Manifest:
    """What was surveyed with what: one that differs in anything is another survey.

    Attributes:
        schema: version of the columns, `SCHEMA_VERSION`.
        cbam_viz: version of the package.
        model, model_sha256, untrained: as in `ModelFacts`.
        classes: the model's.
        blocks: their strides by their names, from input to output.
        open_at: the block to look at first.
        view, top_k: as for `Explainer.explain`.
        input: how the model wants its photos, the fields of `Preprocessing`.
        sources: as they were given.
        pieces: number of them, and of the files of rows.
        digest: SHA-256 of the list of photos and shards.
    """

    schema: int
    cbam_viz: str
    model: str
    model_sha256: str | None
    untrained: str | None
    classes: list[str]
    blocks: dict[str, int]
    open_at: str
    view: str
    top_k: int
    input: dict
    sources: list[str]
    pieces: int
    digest: str

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        sources: Sequence[str],
        pieces: Sequence[Piece],
        view: str,
        top_k: int,
    ) -> "Manifest":
        digest = sha256()
        for piece in pieces:
            digest.update(repr(piece).encode("utf-8", "surrogateescape"))
        strides = checkpoint.model.strides()
        blocks = {name: strides[name] for name in checkpoint.model.blocks()}
        return cls(
            schema=SCHEMA_VERSION,
            cbam_viz=__version__,
            model=checkpoint.name,
            model_sha256=checkpoint.sha256,
            untrained=checkpoint.untrained,
            classes=list(checkpoint.classes),
            blocks=blocks,
            open_at=checkpoint.open_at or list(blocks)[-1],
            view=view,
            top_k=top_k,
            input={
                k: list(v) if isinstance(v, tuple) else v
                for k, v in asdict(checkpoint.preprocessing).items()
            },
            sources=list(sources),
            pieces=len(pieces),
            digest=digest.hexdigest(),
        )

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """That of a survey.

        Raises:
            ValueError: the folder holds no survey, or one of another version.
        """
        try:
            found = json.loads((folder / MANIFEST).read_text("utf-8"))
            if found["schema"] == SCHEMA_VERSION:
                return cls(**found)
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder} holds no survey: there is no {MANIFEST} in it; `survey PHOTOS --out "
                f"{folder}` makes one"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder / MANIFEST} is not that of a survey: {error}") from error
        raise ValueError(
            f"{folder} was written with columns of version {found['schema']}, this is version "
            f"{SCHEMA_VERSION}; read it with the cbam-viz {found.get('cbam_viz')} that wrote it"
        )

    def write(self, folder: Path) -> None:
        with written_whole(folder / MANIFEST) as file:
            file.write((json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode())

    def check_against(self, before: "Manifest", folder: Path) -> None:
        """Whether a survey that was begun can be gone on with.

        Raises:
            ValueError: says what differs.
        """
        for name, words in (
            ("cbam_viz", "the package's version"),
            ("model_sha256", "the model's weights (SHA-256)"),
            ("model", "the model's name"),
            ("classes", "the model's classes"),
            ("input", "how the model wants its photos"),
            ("view", "the view"),
            ("top_k", "top-k"),
            ("digest", "the list of photos, or their classes"),
        ):
            then, now = getattr(before, name), getattr(self, name)
            if then != now:
                told = f": {then!r} then, {now!r} now" if len(repr(then)) < 80 else ""
                raise ValueError(
                    f"{folder} holds a survey that differs in {words}{told}. What is there "
                    "stays; give the same again to go on with it, or another --out"
                )


def rows_file(folder: Path, number: int) -> Path:
    return folder / ROWS / f"rows-{number:07d}.parquet"


def check_free(folder: Path) -> None:
    """That a folder is there or can be.

    Raises:
        ValueError: there is a file of its name or of one above it.
    """
    near = next(place for place in (folder, *folder.parents) if place.exists())
    if not near.is_dir():
        raise ValueError(
            f"{near} is a file where a folder is wanted; move it, or give another --out"
        )


@contextmanager
def begun(folder: Path, manifest: Manifest) -> Iterator[None]:
    """The folder, ready to write into, for this process alone.

    Raises:
        ValueError: it holds another survey, another process writes into it, or it is in use for
            something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:  # the system lets go of it when the process ends, however that comes
        lock = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"another survey is being written into {folder}") from error
    with lock:
        if (folder / MANIFEST).exists():
            manifest.check_against(Manifest.read(folder), folder)
        elif (folder / ROWS).exists():
            raise ValueError(f"{folder} has a folder {ROWS}, but no {MANIFEST}; give another --out")
        else:
            manifest.write(folder)
        (folder / ROWS).mkdir(exist_ok=True)
        _without_parts(folder)
        yield
        _without_parts(folder)


def _without_parts(folder: Path) -> None:
    """Without what processes left that were killed: not every reader passes over it."""
    for part in (folder / ROWS).glob("*.part"):
        part.unlink(missing_ok=True)


def write_rows(path: Path, schema: pa.Schema, rows: Iterator[pa.RecordBatch]) -> tuple[int, int]:
    """Write the rows of one piece, whole or not at all; a group of them is held at a time.

    Returns:
        How many rows, and how many of them of errors.
    """
    count = errors = 0
    few = [name for name in ("class", "top_label") if name in schema.names]
    # Nobody else's: a worker that was thought to be gone may still be writing the same piece.
    mark = f".{os.getpid()}-{secrets.token_hex(4)}"
    with written_whole(path, mark) as file:
        options = {"compression": "zstd", "compression_level": 1, "use_dictionary": few}
        with pq.ParquetWriter(file, schema, **options) as writer:
            held: list[pa.RecordBatch] = []
            for batch in rows:
                held.append(batch)
                count += len(batch)
                errors += len(batch) - batch.column("error").null_count
                if sum(map(len, held)) >= GROUP:
                    writer.write_table(pa.Table.from_batches(held, schema))
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held, schema))
    return count, errors


def counted(folder: Path) -> dict[int, tuple[int, int]]:
    """Rows that are written, and how many of them of errors, by the number of their piece. Only
    footers are read; a file without one, as a power cut may leave, is none and will be replaced."""
    counts = {}
    for path in (folder / ROWS).glob("rows-*.parquet"):
        try:
            about = pq.read_metadata(path)
        except pa.ArrowInvalid:
            continue
        place = about.schema.to_arrow_schema().get_field_index("error")
        errors = 0
        for i in range(about.num_row_groups):
            group = about.row_group(i)
            if group.num_rows:
                errors += group.num_rows - group.column(place).statistics.null_count
        counts[int(path.stem.removeprefix("rows-"))] = (about.num_rows, errors)
    return counts
