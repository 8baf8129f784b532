"""Where the photos of a survey come from: files, class folders, Parquet, WebDataset shards.

All that is opened is opened through fsspec where it is an address (``s3://``, ``https://``, ...),
and from this machine's disk where it is a path.
"""

import glob
import json
import os
import re
import tarfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..explain.photo import ADDRESS
from ..explain.photo_errors import MAX_BYTES
from ..explain.photo_files import files_below, find_photos, has_photo_suffix
from .classes import labels_for, readable

#: Photos that one worker takes at a time, and rows of one file of the output; a shard is one piece.
PIECE = 512
#: What a WebDataset sample's class is called, and how the table's columns may be.
CLASS_COLUMNS = ("class", "label", "cls", "fine_label", "class_name")
IMAGE_COLUMNS = ("image", "img", "photo", "jpg", "png", "webp", "bytes")


@dataclass(frozen=True)
class Item:
    """One photo of a piece.

    Attributes:
        photo: what its row calls it, and where it is found again.
        source: a path, or the file's contents.
        label: of its class: a name, or an index into the classes of the piece or the model.
        error: why there is no photo here; None if there is.
    """

    photo: str
    source: str | bytes = b""
    label: str | int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Files:
    """Photos in files of their own. ``labels``, one for each path, are as `Item.label`."""

    paths: tuple[str, ...]
    labels: tuple[str | int | None, ...]

    @property
    def photos(self) -> int:
        return len(self.paths)

    def items(self) -> Generator[Item]:
        for path, label in zip(self.paths, self.labels, strict=True):
            name = readable(path)
            if not ADDRESS.match(path):
                yield Item(name, path, label)
                continue
            try:
                with fsspec.open(path) as file:
                    yield Item(name, file.read(MAX_BYTES + 1), label)
            except FileNotFoundError:
                yield Item(name, label=label, error="there is no such file")


@dataclass(frozen=True)
class Tar:
    """A WebDataset shard: the members of a sample share their name up to its first dot."""

    path: str

    photos = None  # that can be told only by reading all of it

    def items(self) -> Generator[Item]:
        with fsspec.open(self.path) as file:
            try:
                with tarfile.open(fileobj=file, mode="r|*") as archive:
                    yield from self._samples(archive)
            except (tarfile.TarError, EOFError) as error:
                yield Item(
                    readable(self.path), error=f"the shard is damaged from here on ({error})"
                )

    def _samples(self, archive: tarfile.TarFile) -> Generator[Item]:
        key, photos, label = None, [], None
        try:
            for member in archive:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, kind = name.partition(".")
                if (folder, stem) != key:
                    yield from (Item(photo, contents, label) for photo, contents in photos)
                    key, photos, label = (folder, stem), [], None
                kind = kind.lower()
                if kind in ("cls", "cls.txt", "json"):
                    label = _label_of(_contents(archive, member), kind, label)
                elif has_photo_suffix(Path(name)):
                    photo = f"{readable(self.path)}#{readable(member.name)}"
                    photos.append((photo, _contents(archive, member)))
        except (tarfile.TarError, EOFError):
            yield from (Item(photo, contents, label) for photo, contents in photos)
            raise
        yield from (Item(photo, contents, label) for photo, contents in photos)


@dataclass(frozen=True)
class Table:
    """Row groups of a Parquet file with a column of photos' bytes, perhaps one of classes.

    Attributes:
        path: of the file.
        groups: row groups to read, following one another.
        first: number of their first row in the file.
        photos: rows in them.
        image: name of the column of photos: binary, or a struct with a binary field "bytes".
        label: name of the column of classes; None if there is none.
        names: what the column's whole numbers stand for, where the file says it.
    """

    path: str
    groups: tuple[int, ...]
    first: int
    photos: int
    image: str
    label: str | None
    names: tuple[str, ...] | None

    def items(self) -> Generator[Item]:
        columns = [self.image] + ([self.label] if self.label else [])
        row = self.first
        with fsspec.open(self.path) as file:
            table = pq.ParquetFile(file)
            # A group at a time: what is damaged in one says nothing of the next.
            for group in self.groups:
                end = row + table.metadata.row_group(group).num_rows
                try:
                    for batch in table.iter_batches(32, row_groups=[group], columns=columns):
                        for item in self._of(batch, row):
                            row += 1
                            yield item
                except (pa.ArrowException, OSError) as error:
                    if not _damaged(error):
                        raise
                    told = f"the table is damaged here ({error})"
                    yield from (Item(self._name(n), error=told) for n in range(row, end))
                row = end

    def _of(self, batch: pa.RecordBatch, first: int) -> Iterator[Item]:
        labels = batch.column(self.label).to_pylist() if self.label else [None] * len(batch)
        images = batch.column(self.image).to_pylist()
        for row, (image, label) in enumerate(zip(images, labels, strict=True), first):
            if isinstance(image, dict):
                image = image["bytes"]
            label = _known(label)
            if self.names and isinstance(label, int):
                label = self.names[label] if 0 <= label < len(self.names) else None
            if image is None:
                yield Item(self._name(row), label=label, error="there are no bytes in this row")
            else:
                yield Item(self._name(row), image, label)

    def _name(self, row: int) -> str:
        return f"{readable(self.path)}#{row}"


Piece = Files | Tar | Table


def find_pieces(sources: Sequence[str], out: Path) -> list[Piece]:
    """All photos of some sources, in pieces of work; always the same for the same photos.

    Args:
        sources: files, folders (with all below them), globs, and addresses of any of these that
            fsspec knows. A folder whose photos all lie in folders of their own is a tree of
            classes, and so is one that holds such trees as ``train``, ``val`` or ``test``; where
            a `LABELS_FILE` lies beside photos, that says their classes instead. What
            ends in ``.tar`` (also ``.tar.gz``, ``.tgz``) is a WebDataset shard, in ``.parquet`` a
            table.
        out: where the rows go; nothing below it is a photo to look at.

    Raises:
        ValueError: no photos, an address that does not answer, a table without photos, a file of
            labels that is none.
    """
    paths: dict[str, str | int | None] = {}
    shards: dict[str, None] = {}
    for source in sources:
        found = _at_address(source) if ADDRESS.match(source) else _on_disk(source, out)
        photos = [path for path in found if not _is_shard(path)]
        shards |= dict.fromkeys(path for path in found if _is_shard(path))
        labels = labels_for(source, photos)
        for path, label in zip(photos, labels, strict=True):
            paths.setdefault(path, label)
    if not paths and not shards:
        raise ValueError(f"no photos in {', '.join(sources)}")
    files, labels = tuple(paths), tuple(paths.values())
    pieces: list[Piece] = [
        Files(files[i : i + PIECE], labels[i : i + PIECE]) for i in range(0, len(files), PIECE)
    ]
    for path in shards:
        pieces += [Tar(path)] if not path.lower().endswith(".parquet") else _tables(path)
    return pieces


def classes_of(pieces: Sequence[Piece]) -> set[str]:
    """Names of the classes that are known before the photos are read."""
    names: set[str] = set()
    for piece in pieces:
        if isinstance(piece, Files):
            names.update(label for label in piece.labels if isinstance(label, str))
        elif isinstance(piece, Table):
            names.update(piece.names or ())
    return names


def read_photo(photo: str) -> str | bytes:
    """What `Item.source` was, for the name that a row has for a photo.

    Raises:
        OSError, ValueError: it is not there any more.
    """
    shard, hash_, inside = photo.rpartition("#")
    if hash_ and shard.lower().endswith(".parquet"):
        row = int(inside)
        for piece in _tables(shard):
            if piece.first <= row < piece.first + piece.photos:
                return next(i.source for i in piece.items() if i.photo == photo)
    if hash_ and _is_shard(shard):
        for item in Tar(shard).items():
            if item.photo == photo:
                return item.source
        raise ValueError(f"{photo} is not in its shard any more")
    if ADDRESS.match(photo):
        with fsspec.open(photo) as file:
            return file.read(MAX_BYTES + 1)
    return photo


def _is_shard(path: str) -> bool:
    return path.lower().endswith((".parquet", ".tar", ".tar.gz", ".tgz"))


def _on_disk(source: str, out: Path) -> list[str]:
    """Photos and shards by their absolute paths."""
    path, written = Path(source), out.resolve()
    if path.is_dir():
        if written in (real := path.resolve(), *real.parents):
            raise ValueError(
                f"the photos of {source} lie in {out}, where the survey is written: nothing there "
                "is a photo to look at; give another --out"
            )
        files = files_below(path)
    else:
        files = [path] if path.exists() else sorted(map(Path, glob.glob(source, recursive=True)))
        if not files:
            raise ValueError(f"there is no {source}: no file, no folder, and no glob that matches")
    # Of what was named, files in folders; a file named by itself is looked at wherever it lies.
    named = {path} if path.is_file() else set()
    shards = [f for f in files if _is_shard(f.name) and f.is_file()]
    photos = [f for f in find_photos([source]) if not _is_shard(f.name)]
    return [
        os.path.abspath(f)
        for f in photos + shards
        if f in named or written not in (f.parent.resolve() / f.name).parents
    ]


def _at_address(source: str) -> list[str]:
    """Photos and shards by their addresses."""
    try:
        system, path = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:  # a protocol there is not, or has no library here
        raise ValueError(f"{source} cannot be opened: {error}") from error
    except Exception as error:  # of as many kinds as there are libraries below fsspec
        raise ValueError(f"{source} does not answer: {error!r:.300}") from error
    try:
        if glob.has_magic(path):
            found = sorted(system.glob(path))
        elif system.isdir(path):
            found = sorted(system.find(path))
        else:
            found = [path] if system.exists(path) else []
    except Exception as error:
        raise ValueError(f"{source} does not answer: {error!r:.300}") from error
    if found == [path]:
        return [source]
    if not found:
        raise ValueError(f"there is nothing at {source}")
    wanted = [f for f in found if _is_shard(f) or has_photo_suffix(Path(f))]
    return [system.unstrip_protocol(f) for f in wanted]


def _damaged(error: Exception) -> bool:
    """Whether the bytes are wrong, and not the way to them: Arrow's own have no number."""
    return isinstance(error, pa.ArrowInvalid) or (type(error) is OSError and error.errno is None)


def _known(label: object) -> str | int | None:
    """A class as a table has it: pandas makes floats of whole numbers where some are missing."""
    if isinstance(label, float):
        return None if isnan(label) else int(label) if label.is_integer() else str(label)
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    return label if label is None or isinstance(label, str | int) else str(label)


def _tables(path: str) -> list[Table]:
    """The pieces of a Parquet file: as many row groups as make `PIECE` rows."""
    try:
        with fsspec.open(path) as file:
            about = pq.ParquetFile(file)
            schema, groups = about.schema_arrow, about.metadata
            rows = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
    except FileNotFoundError as error:
        raise ValueError(f"there is no {path}") from error
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} is no Parquet file that can be read: {error}") from error
    image = _image_column(path, schema)
    label = next((name for name in CLASS_COLUMNS if name in schema.names), None)
    names = _names_in(schema, label)
    pieces, first, start = [], 0, 0
    for i in range(len(rows)):
        count = sum(rows[start : i + 1])
        if count >= PIECE or i == len(rows) - 1:
            groups = tuple(range(start, i + 1))
            pieces.append(Table(path, groups, first, count, image, label, names))
            first, start = first + count, i + 1
    return pieces


def _image_column(path: str, schema: pa.Schema) -> str:
    def holds_bytes(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            index = kind.get_field_index("bytes")
            return index >= 0 and holds_bytes(kind.field(index).type)
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    named = [f.name for f in schema if holds_bytes(f.type)]
    for name in (*IMAGE_COLUMNS, *named):
        if name in named:
            return name
    raise ValueError(
        f"{path} has no column of photos' bytes; it has: {', '.join(schema.names)}. Expected is a "
        f"binary column, or a struct with a binary field bytes, named {', '.join(IMAGE_COLUMNS)} "
        "or otherwise"
    )


def _names_in(schema: pa.Schema, label: str | None) -> tuple[str, ...] | None:
    """Class names that Hugging Face's datasets writes beside a table."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(map(str, about["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return None


def _contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Of a photo too large, more than is read, so that it is refused."""
    file = archive.extractfile(member)
    contents = file.read(MAX_BYTES + 1) if file else b""
    if len(contents) < min(member.size, MAX_BYTES + 1):  # tarfile ends there without a word
        raise tarfile.ReadError(f"{member.name} is cut off")
    return contents


def _label_of(contents: bytes, kind: str, before: str | int | None) -> str | int | None:
    """The class that a member of a sample tells, or what was known before it."""
    text = contents.decode("utf-8", "replace").strip()
    if kind != "json":
        return int(text) if re.fullmatch(r"\d+", text) else text or before
    try:
        about = json.loads(text)
        found = next(about[name] for name in CLASS_COLUMNS if name in about)
    except (ValueError, TypeError, StopIteration):
        return before
    return found if isinstance(found, int | str) and before is None else before
