"""Serving the page."""

import os
import signal
import socket
import threading
import time

import gradio as gr
from starlette.middleware import Middleware

from . import bundle, door
from .examples import EXAMPLES
from .page import build
from .words import translations

#: Largest upload: the weights of a ResNet-101-CBAM have 198 MB.
MAX_UPLOAD = "250mb"
#: Seconds that what runs has to finish when the server is stopped.
PATIENCE = 60
#: Most sessions that anything is kept of.
SESSIONS = 500


def launch(
    model: str | None = None, server_name: str | None = None, server_port: int | None = None
) -> None:
    """Build the page and serve it until stopped; what runs then is finished.

    Args:
        model: as for `build`.
        server_name: address to listen on; GRADIO_SERVER_NAME or 127.0.0.1 if not given.
        server_port: GRADIO_SERVER_PORT or 7860 if not given.

    Raises:
        ValueError: the port is taken, or no port.
    """
    name = server_name or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    port = _free_port(name, server_port or os.environ.get("GRADIO_SERVER_PORT") or 7860)
    # The server asks itself whether it is there: no proxy can know.
    for key in ("NO_PROXY", "no_proxy"):
        exempt = [*filter(None, [os.environ.get(key)]), "localhost", "127.0.0.1", "::1", name]
        os.environ[key] = ",".join(dict.fromkeys(exempt))
    stopped = threading.Event()

    def stop(*_) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who is impatient need not wait

    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, stop)
    page = build(model)
    page.launch(**launch_options(), server_name=name, server_port=port, prevent_thread_lock=True)
    while not stopped.wait(1):
        pass
    door.traffic.closing = True
    time.sleep(1)  # who has been told that it is taken comes for the answer
    patience = time.monotonic() + PATIENCE
    while door.traffic.streams and time.monotonic() < patience:
        time.sleep(0.1)
    page.close()


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
        "max_file_size": MAX_UPLOAD,
        "state_session_capacity": SESSIONS,
        "mcp_server": True,
        "app_kwargs": {"middleware": [Middleware(door.Door)]},
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api", "gradio"],
        "allowed_paths": [str(EXAMPLES)],
    }
