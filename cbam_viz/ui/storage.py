"""What visitors may leave on the server's disk: how much, together and each, and for how long."""

import errno
import ipaddress
import shutil
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradio.utils import get_upload_folder

from .words import said

#: Most bytes of uploads kept at a time, and what is left free of the disk whatever comes.
QUOTA, SPARE = 4_000_000_000, 500_000_000
#: Most bytes that one address sends within `HOUR`; a class may well share one.
QUOTA_EACH = 1_500_000_000
HOUR = 3600
#: Seconds after which a file is deleted: of a visitor's; one made for download; a part of an upload
#: whose end this process did not see.
HELD, FETCHED, BROKEN_OFF = 4 * HOUR, 600, HOUR
#: The name of what is made for download ends so.
DOWNLOADS = ("-cbam-viz.zip", "-cbam-viz.html")


class NoRoom(Exception):
    """An upload cannot be kept; says so in both languages."""


class Storage:
    """Keeps account of the upload folder. One for a process."""

    def __init__(self):
        self._lock = threading.Lock()
        self._used = 0
        self._coming: dict[object, int] = {}
        self._sent: dict[str, deque[tuple[float, int]]] = {}

    @contextmanager
    def taking(self, length: int, address: str) -> Iterator[None]:
        """Room for an upload while it comes.

        Args:
            length: its bytes.
            address: where it comes from.

        Raises:
            NoRoom: it would be too much, of this visitor or of all together.
        """
        visitor, now, upload = _visitor(address), time.monotonic(), object()
        with self._lock:
            sent = self._sent.setdefault(visitor, deque())
            while sent and sent[0][0] < now - HOUR:
                sent.popleft()
            if sum(size for _, size in sent) + length > QUOTA_EACH:
                raise NoRoom(said("sentTooMuch", most=f"{QUOTA_EACH / 1e9:g}"))
            if self._used + length > QUOTA or is_full(length):
                raise NoRoom(said("noRoom"))
            sent.append((now, length))
            self._used += length
            self._coming[upload] = length
        try:
            yield
        finally:
            with self._lock:
                del self._coming[upload]

    def sweep(self, kept: Collection[str] = ()) -> None:
        """Delete what is older than it may be, and count what is there.

        Args:
            kept: paths that stay whatever their age.
        """
        used, now, folder = 0, time.time(), Path(get_upload_folder())
        for file in folder.rglob("*"):
            with suppress(OSError):  # gone in the meantime, or a folder that is not empty
                facts = file.stat()
                if file.is_dir():
                    if facts.st_mtime < now - BROKEN_OFF:
                        file.rmdir()
                    continue
                held = FETCHED if file.name.endswith(DOWNLOADS) else HELD
                if file.parent == folder:
                    held = BROKEN_OFF  # finished ones lie in folders of their own
                if facts.st_mtime < now - held and str(file) not in kept:
                    file.unlink()
                else:
                    used += facts.st_size
        with self._lock:
            self._used = used + sum(self._coming.values())
            for visitor, sent in list(self._sent.items()):
                if not sent or sent[-1][0] < time.monotonic() - HOUR:
                    del self._sent[visitor]


storage = Storage()


def is_full(length: int = 0) -> bool:
    """Whether so many bytes more would take what is to stay free of the disk."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free - length < SPARE


def is_of_full_disk(error: OSError) -> bool:
    """Whether it says that there is no more to be had of the disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _visitor(address: str) -> str:
    """An address; of the sixth version the network alone, in which a visitor has many."""
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        if parsed.version == 6 and not parsed.ipv4_mapped:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
