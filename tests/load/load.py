"""Visitors on a server: how fast they are answered, whether rightly, and what memory it takes.

    python tests/load/load.py                             1, 5, 20 and 50 visitors for 20 s each
    python tests/load/load.py --clients 500 --requests 5000   its memory meanwhile

A server is started for it with ``python app.py``, unless ``--url`` names one. Ratios of figures of
one run mean something, seconds alone do not.
"""

import argparse
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "assets" / "examples").glob("*.jpg"))


@contextmanager
def served(**environment: str) -> Iterator[tuple[str, int]]:
    """A server of its own: its address, and the id of its process."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    names = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"} | environment
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | names,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise RuntimeError("the server did not start")
            try:
                httpx.get(f"{url}/health", timeout=5, trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


@dataclass
class Told:
    """What visitors were told together."""

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: int = 0
    refused: int = 0

    @property
    def mean(self) -> float:
        """Seconds that an answer took on average."""
        return statistics.mean(self.seconds)

    @property
    def p95(self) -> float:
        """Seconds within which 95 of 100 answers came."""
        return sorted(self.seconds)[int(0.95 * (len(self.seconds) - 1))]


class Visitor:
    """A client with a session of its own, which asks as programs and as the page does, in turn.

    Args:
        url: of the server.
        right: by photo, what it says of it when nobody else asks.
    """

    def __init__(self, url: str, right: dict[Path, str]):
        self.http = httpx.Client(base_url=url, timeout=300, trust_env=False)
        self.right = right
        self.session = uuid.uuid4().hex
        functions = self.http.get("/config").json()["dependencies"]
        self.take_photo = next(f["id"] for f in functions if f["api_name"] == "take_photo")
        self.turns = itertools.cycle((self.by_name, self.as_page))

    def ask(self, photo: Path, told: Told) -> None:
        """Upload a photo and have it explained."""
        began = time.perf_counter()
        try:
            files = {"files": (photo.name, photo.read_bytes())}
            (path,) = self.http.post("/gradio_api/upload", files=files).json()
            label = next(self.turns)({"path": path, "meta": {"_type": "gradio.FileData"}})
        except (httpx.HTTPError, ValueError, KeyError, StopIteration):
            told.lost += 1
            return
        told.seconds.append(time.perf_counter() - began)
        told.refused += label is None
        told.wrong += label not in (None, self.right.get(photo, label))

    def by_name(self, photo: dict) -> str | None:
        """The first prediction's label by the HTTP API; None if the queue is full."""
        call = self.http.post("/gradio_api/call/explain", json={"data": [photo, "", 1]})
        if call.status_code != 200:
            return None
        answer = self.http.get(f"/gradio_api/call/explain/{call.json()['event_id']}").text
        # Heartbeats come before it where it takes long.
        said = answer.partition("event: complete\ndata: ")[2]
        return json.loads(said)[0]["predictions"][0]["label"]

    def as_page(self, photo: dict) -> str | None:
        """The same as a browser asks."""
        body = {"data": [photo, None, "layer4.1", 1], "fn_index": self.take_photo}
        joined = self.http.post(
            "/gradio_api/queue/join", json=body | {"session_hash": self.session}
        )
        if joined.status_code != 200:
            return None
        said = self.http.get(f"/gradio_api/queue/data?session_hash={self.session}").text
        messages = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
        done = next(m for m in messages if m["msg"] == "process_completed")
        return done["output"]["data"][3]["value"]["predictions"][0]["label"]


def rights(url: str) -> dict[Path, str]:
    """What the server says of each photo when nobody else asks; both ways say the same."""
    visitor, right = Visitor(url, {}), {}
    for photo in PHOTOS:
        files = {"files": (photo.name, photo.read_bytes())}
        (path,) = visitor.http.post("/gradio_api/upload", files=files).json()
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        right[photo] = visitor.by_name(file)
        assert visitor.as_page(file) == right[photo]
    return right


def crowd(url: str, visitors: int, seconds: float, right: dict[Path, str]) -> tuple[Told, float]:
    """So many visitors for so long, each asking again as soon as it is answered.

    Returns:
        What they were told, and answers a second.
    """
    told, end = Told(), time.perf_counter() + seconds
    crowd = [Visitor(url, right) for _ in range(visitors)]

    def visit(number: int, visitor: Visitor) -> None:
        for i in itertools.count(number):
            if time.perf_counter() > end and i > number:
                return
            visitor.ask(PHOTOS[i % len(PHOTOS)], told)

    threads = [threading.Thread(target=visit, args=pair) for pair in enumerate(crowd)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told, len(told.seconds) / (time.perf_counter() - began)


def resident(process: int) -> float:
    """MB of a process and its children that are in memory now."""
    pids, total = [process], 0.0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += map(int, (task / "children").read_text().split())
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e3
    return total


def memory(url: str, process: int, clients: int, requests: int) -> Iterator[tuple[int, float]]:
    """So many requests of so many clients, each a session of its own, one after the other.

    Yields:
        (requests so far, MB in memory), eleven times.
    """
    told = Told()
    yield 0, resident(process)
    visitors = [Visitor(url, {}) for _ in range(clients)]
    for i in range(requests):
        visitors[i % clients].ask(PHOTOS[i % len(PHOTOS)], told)
        if (i + 1) % max(1, requests // 10) == 0:
            yield i + 1, resident(process)
    assert not told.lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 5, 20, 50])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--url", help="of a server that runs already")
    options = parser.parse_args()
    if options.clients:
        with served() as (url, process):
            for done, mb in memory(url, process, options.clients, options.requests):
                print(f"{done:6} requests {mb:8.0f} MB", flush=True)
        return
    with served() if not options.url else _there(options.url) as (url, _):
        right = rights(url)
        print("visitors  answers/s    mean s     p95 s   p95/mean  wrong  lost  refused")
        for visitors in options.visitors:
            told, rate = crowd(url, visitors, options.seconds, right)
            print(
                f"{visitors:8}{rate:11.2f}{told.mean:10.2f}{told.p95:10.2f}"
                f"{told.p95 / told.mean:11.2f}"
                f"{told.wrong:7}{told.lost:6}{told.refused:9}",
                flush=True,
            )


@contextmanager
def _there(url: str) -> Iterator[tuple[str, int]]:
    yield url, 0


if __name__ == "__main__":
    main()
