"""Photos of strangers, decoded in a process of their own that may be lost.

Decoders are C code that was written for files that mean well. Each photo has `SECONDS` of
processor time and `MEMORY` bytes; a process that wants more is ended, and another takes its place.
It is started ahead and imports no more than Pillow, so that an ordinary photo hardly waits for it.
"""

import atexit
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

from PIL import Image

from . import untrusted
from .photo import Photo, decode
from .photo_errors import PhotoError, Refused, explained
from .photo_formats import identify
from .photo_pixels import upright_size

#: Of processor time for one request, and of memory above what the idle process has.
SECONDS = 2.0
MEMORY = 400 * 2**20
#: A process that hangs without computing is ended after this long.
PATIENCE = 30.0
#: Processes: more than one, so that a photo that takes its whole time does not hold up the others.
PROCESSES = 2
#: Photos of more px than this are decoded one at a time.
LARGE = 12_000_000
#: The long side in px of the copy that is shown.
SHOWN = 1024
#: Bytes of decoded copies that are kept, of all photos together: some twenty photos' of late.
COPIES = 64_000_000
#: Seconds between two looks at whether anybody still waits for a photo.
LOOK_UP = 0.1

#: Whether somebody still waits for what this thread or task does; whoever serves visitors sets it.
wanted: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=lambda: True)


class UntrustedPhoto(Photo):
    """A stranger's photo: pixels come from a decoder process, in the sizes that are needed.

    It holds no pixels: reduced copies are kept of all photos together (`COPIES`), and others are
    decoded again, so the file has to stay where it is. A decoding that nobody waits for any more
    (`wanted`) is ended.

    Args:
        path: of the file. Whether the stranger may have it read is not checked here.

    Raises:
        PhotoError: as from `load`, and for what `untrusted` does not read or a decoder does not
            finish within its bounds.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = os.fspath(path)
        with suppress(OSError):  # gone: that is said below
            self._file = self._path, os.stat(path).st_mtime_ns
        self.size, _ = _ask(self._path)

    @property
    def image(self) -> Image.Image:
        """The photo in full, mode "RGB"; decoded each time."""
        return self._decoded([self.size])[0]

    def resized(self, width: int, height: int) -> Image.Image:
        """The photo at this very size, as a network is shown it."""
        size = width, height
        if (kept := _copies.get((self._file, size))) is not None:
            return kept
        shrink = min(1, SHOWN / max(self.size))
        shown = tuple(max(1, round(side * shrink)) for side in self.size)
        sizes = [s for s in {size, shown} if s == size or (self._file, s) not in _copies]
        decoded = dict(zip(sizes, self._decoded(sizes), strict=True))  # both of one decoding
        for s, copy in decoded.items():
            if s[0] * s[1] <= SHOWN**2:
                _copies.keep((self._file, s), copy)
        return decoded[size]

    def at_least(self, width: int, height: int) -> Image.Image:
        """The photo to show at this size, resized to it; in full where it is smaller."""
        return self.resized(min(width, self.size[0]), min(height, self.size[1]))

    def _decoded(self, sizes: Iterable[tuple[int, int]]) -> list[Image.Image]:
        copies = [(self.enough(*size), *size) for size in sizes]
        with _one_large if self.size[0] * self.size[1] > LARGE else _any_number:
            _, images = _ask(self._path, copies)
        return images


#: A file, by its path and the time of its last change; and one of its copies, by its size.
_File = tuple[str, int]
_Copy = tuple[_File, tuple[int, int]]


class _Copies:
    """Decoded copies: those used last, in `COPIES` bytes."""

    def __init__(self):
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Copy, Image.Image] = OrderedDict()

    def __contains__(self, key: _Copy) -> bool:
        return key in self._kept

    def get(self, key: _Copy) -> Image.Image | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: _Copy, copy: Image.Image) -> None:
        with self._lock:
            self._kept[key] = copy
            while self.size > COPIES:
                self._kept.popitem(last=False)

    def drop_gone(self) -> None:
        """Let go of the copies whose file is deleted: no photo is kept for longer."""
        with self._lock:
            for key in [key for key in self._kept if not os.path.exists(key[0][0])]:
                del self._kept[key]

    @property
    def size(self) -> int:
        """Bytes of the copies."""
        return sum(3 * copy.width * copy.height for copy in self._kept.values())


_copies = _Copies()
drop_gone = _copies.drop_gone


class Left(PhotoError):
    """Nobody waits for the photo any more."""


class _Decoder:
    """A process that decodes, and is started again when it was ended."""

    def __init__(self):
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        if self._process and self._process.poll() is None:
            return
        # The package may lie anywhere: a clone that is not installed, a zip of somebody's.
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})"
        code += f"; from {__name__} import serve; serve({SECONDS}, {MEMORY})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"MALLOC_ARENA_MAX": "1"},
        )

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, question: dict) -> tuple[dict, list[Image.Image]]:
        """The answer and its images.

        Raises:
            EOFError: the process was ended over it.
            Left: nobody waits for it any more; the process was ended.
        """
        self.start()
        process = self._process
        over, ending, is_wanted = threading.Event(), threading.Lock(), wanted.get()

        def watch() -> None:
            overdue = time.monotonic() + PATIENCE
            while not over.wait(LOOK_UP):
                if time.monotonic() > overdue or not is_wanted():
                    with ending:  # or the next photo is at work by now
                        if not over.is_set():
                            process.kill()
                    return

        threading.Thread(target=watch, daemon=True).start()
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or b"null")
            if answer is None:
                raise EOFError
            images = []
            for width, height in answer.get("images", ()):
                pixels = process.stdout.read(3 * width * height)
                images.append(Image.frombytes("RGB", (width, height), pixels))
            return answer, images
        except (OSError, ValueError, EOFError) as error:  # ended in the midst of it
            self.stop()
            if not is_wanted():
                raise Left("nobody waits for this photo any more") from error
            raise EOFError from error
        finally:
            with ending:
                over.set()


_free = threading.Semaphore(PROCESSES)
_decoders = [_Decoder() for _ in range(PROCESSES)]  # used from the end
_one_large = threading.Lock()
_any_number = threading.Semaphore(PROCESSES)


def warm_up() -> None:
    """Start the processes, so that the first photo need not wait for it."""
    for decoder in _decoders:
        decoder.start()


@atexit.register
def _stop() -> None:
    for decoder in _decoders:
        decoder.stop()


def _ask(
    path: str, copies: Iterable[tuple[int, int, int]] = ()
) -> tuple[tuple[int, int], list[Image.Image]]:
    """(width, height) of a photo and copies of it, each as (enough, width, height)."""
    with _free:
        if not wanted.get()():  # gone while waiting
            raise Left("nobody waits for this photo any more")
        decoder = _decoders.pop()
        try:
            answer, images = decoder.ask({"path": path, "copies": list(copies)})
        except EOFError:
            with explained(path, untrusted.ACCEPTED):
                raise untrusted.Excessive(
                    f"decoding it takes more than {SECONDS:g} s or {MEMORY >> 20} MB"
                ) from None
        finally:
            _decoders.append(decoder)
    if "refused" in answer:
        raise PhotoError(answer["refused"])
    return tuple(answer["size"]), images


def serve(seconds: float, memory: int) -> None:
    """The decoder's side: answer what comes on standard input until it ends.

    Args:
        seconds, memory: as `SECONDS` and `MEMORY`.
    """
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    Image.init()
    begin = _bounds(seconds, memory)
    for line in questions:
        begin()
        question = json.loads(line)
        try:
            size, images = _answer(question["path"], question["copies"])
            answer = {"size": size, "images": [image.size for image in images]}
        except PhotoError as error:
            answer, images = {"refused": str(error)}, []
        answers.write(json.dumps(answer).encode() + b"\n")
        for image in images:
            answers.write(image.tobytes())
        answers.flush()


def _bounds(seconds: float, memory: int) -> Callable[[], object]:
    """Bound this process's memory and files; returns what gives it its time anew."""
    if sys.platform == "win32":  # has neither; there is `PATIENCE`
        return lambda: None
    import resource
    import signal

    with suppress(OSError, ValueError):  # what the system has of it
        with open("/proc/self/statm") as f:
            pages = f.read().split()
        # The one is what is counted, but not every kernel tells it; the other is less.
        idle = max(int(pages[5]), int(pages[1])) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (idle + memory,) * 2)
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):  # it has nothing to write
        resource.setrlimit(kind, (0, 0))
    # The signal's own action is taken, so it ends the process in the midst of a decoder too.
    return lambda: signal.setitimer(signal.ITIMER_PROF, seconds)


def _answer(path: str, wanted: list) -> tuple[tuple[int, int], list[Image.Image]]:
    with explained(path, untrusted.ACCEPTED) as what:
        try:
            with open(path, "rb") as f:
                contents = f.read(untrusted.MAX_BYTES + 1)
        except OSError as error:
            raise Refused("it is not here any more; upload it again") from error
        what.append(f"({len(contents):,} bytes)")
        untrusted.check(contents)
        file = io.BytesIO(contents)
        image = identify(file, untrusted.FORMATS)
        kind = "JPEG" if image.format == "MPO" else image.format
        untrusted.check_size(kind, image.size, image.mode)
        if image.format == "PNG" and not untrusted.turned_late(contents):
            image.info.setdefault("exif", b"")  # or Pillow decodes it all to look
        size = upright_size(image)
        if not wanted:
            return size, []
        found = decode(file, [enough for enough, _, _ in wanted], untrusted.FORMATS)
    return size, [
        image if image.size == (w, h) else image.resize((w, h), Image.Resampling.BILINEAR)
        for image, (_, w, h) in zip(found, wanted, strict=True)
    ]
