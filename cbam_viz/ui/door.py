"""What reaches the server at all: which addresses, how large; and what goes out with it."""

import re
import shutil
import time
from pathlib import Path

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What the page, Gradio's clients and MCP ask for; everything else Gradio has does not exist here.
_NAME = r"[\w-]+"
OPEN = {
    "GET": (
        r"/|/config/?|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?",
        r"/(assets|static|svelte)/.*",
        r"/gradio_api/(info|openapi\.json|user|app_id|token|startup-events|theme\.css)/?",
        r"/(gradio_api/)?login_check/?",
        rf"/gradio_api/heartbeat/{_NAME}",
        r"/gradio_api/(queue/(data|status)|upload_progress)",
        rf"/gradio_api/call/(v2/)?{_NAME}/{_NAME}",
        # A file of an address would be fetched for the visitor.
        r"/gradio_api/file=(?!\w+:/).*",
        r"/gradio_api/mcp(/.*)?",
    ),
    "POST": (
        r"/gradio_api/(upload|queue/join|cancel|reset)/?",
        rf"/gradio_api/call/(v2/)?{_NAME}/?",
        r"/gradio_api/mcp(/.*)?",
    ),
    "DELETE": (r"/gradio_api/mcp(/.*)?",),  # ends an MCP session
}
_OPEN = {method: re.compile("|".join(paths)) for method, paths in OPEN.items()}
_OPEN["HEAD"] = _OPEN["GET"]


#: Most bytes of one request: of weights with class names, of a photo in base64, of anything else.
MAX_UPLOAD, MAX_TOOL_CALL, MAX_CALL = 260_000_000, 90_000_000, 4_000_000
#: Most bytes of uploads kept at a time, and what is left free of the disk whatever comes.
QUOTA, SPARE = 4_000_000_000, 500_000_000
#: A part of an upload that was broken off is deleted after this many seconds.
BROKEN_OFF = 3600

#: Gradio's page is made of scripts and styles in it, and draws from data and blob addresses.
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


#: Answers that come when they are ready.
STREAMS = re.compile(r"/gradio_api/(queue/data|call/.*)")


class Traffic:
    """What goes through the door of this process.

    Attributes:
        closing: whether nothing new is taken any more.
        streams: answers that somebody waits for.
    """

    def __init__(self):
        self.closing = False
        self.streams = 0


traffic = Traffic()


class Door:
    """ASGI middleware: what is not in `OPEN` is not found, what is too large is not read."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = None
        if traffic.closing and scope["method"] == "POST":
            refusal = "The server is being stopped; please try again soon.", 503
        elif not is_open(scope["method"], scope["path"]):
            refusal = "Not Found", 404
        elif scope["method"] == "POST":
            refusal = _too_large(scope["path"], Headers(scope=scope).get("content-length", ""))
        answer = PlainTextResponse(*refusal) if refusal else self.app
        waited_for = scope["method"] == "GET" and bool(STREAMS.fullmatch(scope["path"]))
        traffic.streams += waited_for
        try:
            await answer(scope, receive, send_on)
        finally:
            traffic.streams -= waited_for


def is_open(method: str, path: str) -> bool:
    """Whether visitors may call an address of the server."""
    # CORS asks with OPTIONS first; Gradio answers it without running anything.
    return method == "OPTIONS" or bool(method in _OPEN and _OPEN[method].fullmatch(path))


def _too_large(path: str, length: str) -> tuple[str, int] | None:
    """What to say to a request that is too large, with its status."""
    if not length.isascii() or not length.isdigit():
        return "A request has to say how long it is.", 411
    uploads = path.startswith("/gradio_api/upload")
    most = MAX_TOOL_CALL if path.startswith("/gradio_api/mcp") else MAX_CALL
    most = MAX_UPLOAD if uploads else most
    if int(length) > most:
        return f"{int(length):,} bytes were sent; at most {most:,} are taken.", 413
    if uploads and not _has_room(int(length)):
        return "The server has no room for uploads at the moment; please try later.", 503
    return None


def _has_room(length: int) -> bool:
    """Whether an upload fits; what was broken off long ago is deleted on the way."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    used, long_ago = 0, time.time() - BROKEN_OFF
    for file in folder.rglob("*"):
        try:
            facts = file.stat()
            # Finished ones lie in folders of their own; Gradio clears those away itself.
            if file.parent == folder and file.is_file() and facts.st_mtime < long_ago:
                file.unlink()
            else:
                used += facts.st_size
        except OSError:  # gone in the meantime
            continue
    return used + length <= QUOTA and shutil.disk_usage(folder).free - length >= SPARE
