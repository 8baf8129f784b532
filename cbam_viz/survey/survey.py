"""A survey: many photos in, a Parquet data set of their gates out."""

import os
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

from tqdm import tqdm

from ..explain.view import VIEWS
from ..models.checkpoints import Checkpoint, load_checkpoint
from .classes import labels_file
from .output import Manifest, begun, check_free, counted
from .pieces import Files, Piece, classes_of, find_pieces
from .surveyor import Surveyor, on_one_core

#: So many class folders are named in an error.
NAMED = 5


@dataclass(frozen=True)
class Survey:
    """What a survey came to.

    Attributes:
        folder: that it is in.
        photos: rows of it.
        errors: how many of them are of photos that could not be looked at.
        new: rows that this run wrote; the others were there.
        seconds: how long this run took.
    """

    folder: Path
    photos: int
    errors: int
    new: int
    seconds: float


def survey(
    sources: Sequence[str | Path],
    out: str | Path,
    model: str | Checkpoint | None = None,
    view: str = "whole",
    top_k: int = 5,
    workers: int | None = None,
    address: str | None = None,
) -> Survey:
    """Look at many photos, and keep what every block's gates were, a row each.

    The rows are the Parquet files of ``out/rows``; what columns they have the README says. A photo
    that cannot be read is a row with its error. A survey that was stopped, however, goes on where
    it was when the same is called again.

    In processes of this machine, which each decode photos and run the model on one core; or on a
    cluster of Ray, whose machines all see ``out`` and the photos under the same paths.

    Args:
        sources: files, folders, globs and addresses, as `find_pieces` takes them.
        out: the folder of the survey; it is made.
        model: as for `load_checkpoint`, or a checkpoint.
        view, top_k: as for `Explainer.explain`.
        workers: processes, here or in all of the cluster; as many as there are cores if None.
        address: of a Ray cluster that this machine is in, ``host:port``, or "auto" for whichever
            it is; "local" to start one here; None to do without Ray.

    Raises:
        ValueError: no photos; classes that disagree; a folder that holds another survey; a cluster
            that does not answer, or machines in it that lack the package, have another version of
            it or do not see the folder. Nothing is written then.
        WeightsError: the model cannot be opened.
        OSError: photos cannot be fetched, or rows not written. What is there stays, and the same
            call goes on.
    """
    began = time.perf_counter()
    if view not in VIEWS:
        raise ValueError(f"no view {view!r}; there are: {', '.join(VIEWS)}")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    checkpoint = model if isinstance(model, Checkpoint) else load_checkpoint(model)
    out, names = Path(os.path.abspath(out)), [str(source) for source in sources]
    check_free(out)
    pieces = find_pieces(names, out)
    _check_classes(pieces, checkpoint.classes)
    _check_shards(pieces)
    manifest = Manifest.of(checkpoint, names, pieces, view, top_k)
    settings = pickle.dumps((checkpoint, out, view, top_k))
    with _runner(address, out, pieces, workers) as run, begun(out, manifest):
        written = counted(out)
        before = sum(photos for photos, _ in written.values())
        left = [(i, piece) for i, piece in enumerate(pieces) if i not in written]
        counts = [piece.photos for piece in pieces]
        total = sum(c for c in counts if c is not None) if None not in counts else None
        if left:
            results = run(settings, left)
            # The bar goes to standard error, and only where somebody is looking.
            with (
                closing(results),
                tqdm(total=total, initial=before, unit="photo", disable=None, smoothing=0) as bar,
            ):
                for photos, _ in results:
                    bar.update(photos)
        photos, errors = map(sum, zip(*counted(out).values(), strict=True))
    return Survey(out, photos, errors, photos - before, time.perf_counter() - began)


@contextmanager
def _runner(
    address: str | None, out: Path, pieces: Sequence[Piece], workers: int | None
) -> Iterator[Callable[[bytes, Sequence[tuple[int, Piece]]], Generator[tuple[int, int]]]]:
    """What does the pieces, here or on a cluster that is found fit to."""
    if address is None:
        yield lambda settings, left: _in_processes(settings, left, workers or cores())
        return
    from .cluster import check_nodes, connected, on_cluster

    with connected(address):
        check_nodes(out, pieces)
        yield lambda settings, left: on_cluster(settings, left, workers)


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # systems that have no such thing
        return os.cpu_count() or 1


def _check_shards(pieces: Sequence[Piece]) -> None:
    """That there is a photo in a shard, if all there is are shards; what can be read is found."""
    error = None
    for piece in pieces:
        if isinstance(piece, Files):
            return
        with closing(piece.items()) as items:
            for item in items:
                if item.error is None:
                    return
                error = error or f"{item.photo}: {item.error}"
    raise ValueError(f"no shard has a photo that can be read: {error or 'all are empty'}")


def _check_classes(pieces: Sequence[Piece], classes: Sequence[str]) -> None:
    """That the photos' classes are the model's, or are all others; and indices are the model's."""
    for piece in pieces:
        if isinstance(piece, Files):
            for path, label in zip(piece.paths, piece.labels, strict=True):
                if isinstance(label, int) and label >= len(classes):
                    raise ValueError(
                        f"{labels_file(os.path.dirname(path))} gives class {label} to "
                        f"{os.path.basename(path)!r}; the model has {len(classes)}, 0 to "
                        f"{len(classes) - 1}. Take the model that the labels are of, or a glob of "
                        "the photos (DIR/*), which takes them without classes"
                    )
    given = classes_of(pieces)
    strange = sorted(given - set(classes))
    if strange and len(strange) < len(given):
        some = ", ".join(strange[:NAMED]) + (", ..." if len(strange) > NAMED else "")
        raise ValueError(
            f"{len(strange)} of the {len(given)} classes of the photos are none of the model's "
            f"{len(classes)}: {some}. The names have to be the model's, as {classes[0]!r}, or all "
            "others; a glob of the photos (DIR/*/*) takes them without classes"
        )


_surveyor: Surveyor


def _begin(settings: bytes) -> None:
    """Makes a worker of a process, which ends when the process that it works for does."""
    global _surveyor

    def follow() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)  # killed, it could not say so, and two would write then

    threading.Thread(target=follow, daemon=True).start()
    on_one_core()
    _surveyor = Surveyor(*pickle.loads(settings))


def _survey(number: int, piece: Piece) -> tuple[int, int]:
    return _surveyor.survey(number, piece)


def _in_processes(
    settings: bytes, left: Sequence[tuple[int, Piece]], workers: int
) -> Generator[tuple[int, int]]:
    """Each piece in one of some processes; yields the rows and errors of each as it is done."""
    workers = min(workers, len(left))
    waiting = iter(left)
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(settings,)
    )
    try:
        running = {pool.submit(_survey, *one) for one in islice(waiting, workers + 2)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                yield one.result()
                running |= {pool.submit(_survey, *more) for more in islice(waiting, 1)}
    except BrokenProcessPool as error:
        raise OSError(
            "a process was killed, perhaps for want of memory; the same command goes on where "
            "this one was, with --workers fewer of them"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
