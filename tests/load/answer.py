"""What one visitor waits for `/explain` beside `explain` in the package, and the server's memory.

    PYTHONPATH=. OMP_NUM_THREADS=1 python tests/load/answer.py [rounds]

Both take the same photos in turn; the server is one that is started for it. Its peak, and that of
its children, stands beside that of a Python that imports torch and Gradio and nothing else.
"""

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from load import PHOTOS, Visitor, served

from cbam_viz import Explainer

IMPORTS = "import torch, gradio; print(open('/proc/self/status').read())"


def peak(status: str) -> float:
    """MB of a process at its peak."""
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e3


def peaks(process: int) -> list[float]:
    """MB of a process and each of its children at their peaks."""
    pids, found = [process], []
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += map(int, (task / "children").read_text().split())
        found.append(peak(Path(f"/proc/{pid}/status").read_text()))
    return found


def main(rounds: int = 30) -> None:
    alone = peak(subprocess.check_output([sys.executable, "-c", IMPORTS], text=True))
    with served() as (url, process):
        own, *children = peaks(process)
        print(
            f"server after start: {own:.0f} MB and {len(children)} children of "
            f"{sum(children):.0f} MB; torch and gradio alone {alone:.0f} MB: {own / alone:.2f} x, "
            f"{(own + sum(children)) / alone:.2f} x with its children",
            flush=True,
        )
        visitor, explainer = Visitor(url, {}), Explainer.from_pretrained()
        asked, package = [], []
        for i in range(rounds + 3):
            photo = PHOTOS[i % len(PHOTOS)]
            began = time.perf_counter()
            files = {"files": (photo.name, photo.read_bytes())}
            (path,) = visitor.http.post("/gradio_api/upload", files=files).json()
            visitor.by_name({"path": path, "meta": {"_type": "gradio.FileData"}})
            between = time.perf_counter()
            explainer.explain(photo.read_bytes()).to_dict()
            asked.append(between - began)
            package.append(time.perf_counter() - between)
        asked, package = asked[3:], package[3:]  # the first warm up
        ratio = statistics.median(a / p for a, p in zip(asked, package, strict=True))
        print(
            f"/explain, upload and all: {1e3 * statistics.median(asked):.0f} ms; in the package "
            f"{1e3 * statistics.median(package):.0f} ms; {ratio:.2f} x (median in turn)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
