"""Models of the Hugging Face Hub for visitors: fetched beside the queue, within a quota."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir

from ..explain import decoder
from ..models.errors import WeightsError
from ..models.sources import fetched_before, from_hub, weights_file
from . import storage
from .words import said

#: Most bytes that visitors' models take of the disk; those used longest ago go first.
QUOTA = 3_000_000_000
#: Repositories fetched at a time, and seconds that a visitor waits for one in a place of the queue.
FETCHES, PATIENCE = 2, 20
#: Most visitors that wait so at a time.
WAITING = 4


class Fetching(WeightsError):
    """A model goes on being fetched, and a visitor who asks again finds it."""


class Hub:
    """Repositories by their ids, in a cache of their own: the host's is never cleared away."""

    def __init__(self):
        self._lock = threading.Lock()
        self._fetches: dict[str, Future[Path]] = {}
        self._waiting = threading.Semaphore(WAITING)
        self._workers = ThreadPoolExecutor(FETCHES, "hub")
        self._cache: Path | None = None

    def folder(self, name: str) -> Path:
        """Where a repository lies; it is fetched if it has to be.

        Raises:
            Fetching: it cannot be had yet.
            WeightsError: it cannot be had.
        """
        with self._lock:
            fetch = self._fetches.get(name)
            if fetch is None:
                if len(self._fetches) >= FETCHES:
                    raise Fetching(said("fetchingOthers"))
                fetch = self._fetches[name] = self._workers.submit(self._fetch, name)
        if self._waiting.acquire(blocking=False):
            try:
                return _wait(fetch)
            except Late:
                pass
            finally:
                self._waiting.release()
        raise Fetching(said("fetching", name=name))

    def _fetch(self, name: str) -> Path:
        try:
            try:
                return from_hub(name, self.cache, self._make_room).path
            except WeightsError:
                # The host may have fetched it before, for a place without a network.
                if found := _of_host(name):
                    return found
                raise
        finally:
            with self._lock:
                del self._fetches[name]

    @property
    def cache(self) -> Path:
        """A folder beside the Hub's own cache; a temporary one where that cannot be written."""
        if self._cache is None:
            beside = Path(constants.HF_HOME) / "cbam-viz-visitors"
            try:
                beside.mkdir(parents=True, exist_ok=True)
                writable = os.access(beside, os.W_OK)
            except OSError:
                writable = False
            self._cache = beside if writable else Path(tempfile.mkdtemp(prefix="cbam-viz-hub-"))
        return self._cache

    def _make_room(self, size: int) -> None:
        """Delete what was used longest ago, until so many bytes more are within the quota.

        Raises:
            WeightsError: there is no room on the disk.
        """
        found = scan_cache_dir(self.cache)
        used, spare = found.size_on_disk, storage.SPARE
        for repo in sorted(found.repos, key=lambda repo: repo.last_accessed):
            free = shutil.disk_usage(self.cache).free
            if used + size <= QUOTA and free - size >= spare:
                break
            with self._lock:
                busy = any(name.partition("@")[0] == repo.repo_id for name in self._fetches)
            if not busy:
                # Of it alone: copies of a repository have their commits in common.
                alone = replace(found, repos=frozenset([repo]))
                hashes = [revision.commit_hash for revision in repo.revisions]
                alone.delete_revisions(*hashes).execute()
                used -= repo.size_on_disk
        if used + size > QUOTA or shutil.disk_usage(self.cache).free - size < spare:
            raise WeightsError(said("noRoom"))


def _wait(fetch: Future[Path]) -> Path:
    """A fetch's answer, as long as somebody waits for it."""
    is_wanted: Callable[[], bool] = decoder.wanted.get()
    for _ in range(PATIENCE):
        try:
            return fetch.result(1)
        except Late:
            if fetch.done() or not is_wanted():
                raise
    raise Late


def _of_host(name: str) -> Path | None:
    """A repository in the Hub's ordinary cache, nothing being fetched."""
    repo, _, revision = name.partition("@")
    try:
        folder = fetched_before(repo, revision or None)
        weights_file(folder)
    except (OSError, WeightsError):
        return None
    return folder
