"""Serving the page."""

import asyncio
import ctypes
import io
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import gradio as gr
from gradio import http_server
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.middleware import Middleware

from ..explain import decoder
from ..render import lettering
from . import bundle, door, journal, later, sessions, storage, upload, visit, without_proxies
from .examples import EXAMPLES
from .page import build
from .words import translations

log = logging.getLogger(__name__)

#: Seconds that what runs has to finish when the server is stopped.
PATIENCE = 60
#: Seconds between two rounds of `_housekeeping`.
ROUND = 60


def launch(
    model: str | None = None, server_name: str | None = None, server_port: int | None = None
) -> None:
    """Build the page and serve it until stopped; what runs then is finished.

    Args:
        model: as for `build`.
        server_name: address to listen on; GRADIO_SERVER_NAME or 127.0.0.1 if not given.
        server_port: GRADIO_SERVER_PORT or 7860 if not given.

    Raises:
        ValueError: the port is taken, or no port; or there is nowhere to keep uploads.
    """
    name = (server_name or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1").strip("[]")
    port = _free_port(name, server_port or os.environ.get("GRADIO_SERVER_PORT") or 7860)
    # The server asks itself whether it is there: no proxy can know.
    for key in ("NO_PROXY", "no_proxy"):
        exempt = [*filter(None, [os.environ.get(key)]), "localhost", "127.0.0.1", "::1", name]
        os.environ[key] = ",".join(dict.fromkeys(exempt))
    if "SPACE_ID" in os.environ:  # who comes is known to the proxy of Spaces alone
        os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")
    stopped = threading.Event()

    def stop(*_) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who is impatient need not wait

    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, stop)
    for stream in (sys.stdout, sys.stderr):  # Gradio prints signs that cp1252 and ascii have not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    journal.to_standard_error()
    _check_cache()
    page = build(model)
    for sentence in missing():
        log.warning(sentence)
    os.environ.pop("GRADIO_DEBUG", None)  # Gradio would wait in `launch`, where nothing stops it
    host = name
    if ":" in name:
        host = f"[{name}]"  # as in an address: so Gradio wants IPv6
        # It tries the port at GRADIO_SERVER_NAME first, with a socket of the fourth version.
        http_server.LOCALHOST_NAME = "127.0.0.1"
    page.launch(**launch_options(), server_name=host, server_port=port, prevent_thread_lock=True)
    while not stopped.wait(1):
        pass
    door.traffic.closing = True
    time.sleep(1)  # who has been told that it is taken comes for the answer
    patience = time.monotonic() + PATIENCE
    while door.traffic.streams and time.monotonic() < patience:
        time.sleep(0.1)
    page.close()


def _check_cache() -> None:
    folder = Path(get_upload_folder())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"uploads cannot be kept in {folder} ({error.strerror}); set GRADIO_TEMP_DIR to a "
            "folder that can be written into"
        ) from error


def missing() -> list[str]:
    """What this machine lacks, and what the page does without it; a sentence each."""
    said = list(without_proxies)
    if "HEIF" not in Image.OPEN:
        said.append("pillow-heif is not installed (`.[heic]`): HEIC photos are refused.")
    if storage.is_full():
        said.append(
            f"less than {storage.SPARE / 1e6:.0f} MB of the disk of {get_upload_folder()} are "
            "free: uploads are refused."
        )
    if sys.platform == "win32":
        said.append("this system bounds neither memory nor time of the processes that decode.")
    if not lettering.has_chinese():
        said.append("no font of this system has Chinese: charts number such classes.")
    return said


@asynccontextmanager
async def _housekeeping(app) -> AsyncIterator[None]:
    """While the server runs: let go of what is old, again and again."""

    def clear() -> None:
        page = app.get_blocks()
        kept = set().union(*(getattr(b, "keep_in_cache", ()) for b in page.blocks.values()))
        storage.storage.sweep(kept)
        sessions.end_idle(app.state_holder)
        decoder.drop_gone()
        visit.anatomy.cache_clear()
        _give_back()

    async def rounds() -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(clear)
            except Exception:  # the next round may do better
                log.exception("what is old could not be cleared away")
            await asyncio.sleep(ROUND)

    task = asyncio.create_task(rounds())
    yield
    task.cancel()


def _give_back() -> None:
    """Memory that is free goes back to the system. glibc keeps it, for each thread, in pieces."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _free_port(name: str, port: int | str) -> int:
    """The port as a number, if it can be listened on."""
    try:
        port = int(port)
        family = socket.AF_INET6 if ":" in name else socket.AF_INET
        with socket.socket(family) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((name, port))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{port!r} is no port; expected is a number up to 65535") from error
    except OSError as error:
        raise ValueError(
            f"port {port} of {name} cannot be listened on ({error.strerror}); choose another with "
            "GRADIO_SERVER_PORT or `cbam-viz serve --port`"
        ) from error
    return port


def launch_options() -> dict:
    """What the page needs from ``gr.Blocks.launch``, for all who start it."""
    theme = gr.themes.Default(
        primary_hue="violet",
        neutral_hue="slate",
        radius_size="md",
        # The system's own fonts: nothing is fetched, and Chinese looks as it does elsewhere.
        font=("system-ui", "Segoe UI", "PingFang SC", "Noto Sans CJK SC", "sans-serif"),
        font_mono=("ui-monospace", "Consolas", "monospace"),
    ).set(body_text_color_subdued="*neutral_600")  # Gradio's is too pale to be read by all
    return {
        "theme": theme,
        "head": f"{bundle.head()}<script>window.CbamPage = CbamViz.startPage();</script>",
        "i18n": translations(),
        "max_file_size": upload.MAX_WEIGHTS,
        "state_session_capacity": sessions.SESSIONS,
        "mcp_server": True,
        "app_kwargs": {
            "middleware": [Middleware(door.Door)],
            "routes": later.routes(),
            "lifespan": _housekeeping,
        },
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api", "gradio"],
        "allowed_paths": [str(EXAMPLES)],
    }
