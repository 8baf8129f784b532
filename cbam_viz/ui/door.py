"""What reaches the server at all: which addresses, how large; and what goes out with it."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import journal, storage, upload
from .words import said

#: What the page, Gradio's clients and MCP ask for; everything else Gradio has does not exist here.
_NAME = r"[\w-]+"
OPEN = {
    "GET": (
        r"/|/config/?|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?",
        r"/(assets|static|svelte|course|experiments)/.*",
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


#: Most bytes of one request: of an upload, of a photo in base64, of anything else.
MAX_UPLOAD, MAX_TOOL_CALL, MAX_CALL = 260_000_000, 90_000_000, 4_000_000

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


#: For whoever watches over servers; what visitors do is in the log, see `journal`.
HEALTH = "/health"
UPLOAD = re.compile(r"/gradio_api/upload/?")
#: Calls whose arguments have names.
BY_NAME = re.compile(rf"/gradio_api/call/v2/{_NAME}/?")
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

        waited_for = scope["method"] == "GET" and bool(STREAMS.fullmatch(scope["path"]))
        traffic.streams += waited_for
        try:
            await self._let_in(scope, receive, send_on)
        finally:
            traffic.streams -= waited_for

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH:
            status = "stopping" if traffic.closing else "ok"
            answer = JSONResponse({"status": status}, 503 if traffic.closing else 200)
            await answer(scope, receive, send)
        elif refusal := _refusal(scope):
            await PlainTextResponse(*refusal)(scope, receive, send)
        elif scope["method"] == "POST" and UPLOAD.fullmatch(scope["path"]):
            await self._take(scope, receive, send)
        elif scope["method"] == "POST" and BY_NAME.fullmatch(scope["path"]):
            try:
                await self.app(scope, receive, send)
            except TypeError as error:  # Gradio's, of a name that is wrong or missing
                await JSONResponse({"detail": str(error)}, 422)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An upload, if there is room for it."""
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else ""
        length = int(headers["content-length"])
        watched = upload.Watched(receive, headers.get("content-type", ""))
        with journal.entry("upload", length) as entry:

            async def send_on(message: Message) -> None:
                if message["type"] == "http.response.start" and message["status"] >= 400:
                    entry.outcome = journal.LEFT if watched.left else journal.REFUSED
                await send(message)

            try:
                with storage.storage.taking(length, address):
                    await self.app(scope, watched, send_on)
            except storage.NoRoom as error:
                await PlainTextResponse(str(error), 503)(scope, receive, send_on)
            except OSError as error:
                if not storage.is_of_full_disk(error):
                    raise
                await PlainTextResponse(said("diskFull"), 503)(scope, receive, send_on)


def _refusal(scope: Scope) -> tuple[str, int] | None:
    """What to say to a request that is not let in, with its status."""
    method, path = scope["method"], scope["path"]
    if traffic.closing and method == "POST":
        return said("stopping"), 503
    if not is_open(method, path):
        return "Not Found", 404
    if method != "POST":
        return None
    length = Headers(scope=scope).get("content-length", "")
    if not length.isascii() or not length.isdigit():
        return said("noLength"), 411
    most = MAX_TOOL_CALL if path.startswith("/gradio_api/mcp") else MAX_CALL
    most = MAX_UPLOAD if UPLOAD.fullmatch(path) else most
    if int(length) > most:
        return said("requestTooLarge", bytes=f"{int(length):,}", most=f"{most:,}"), 413
    return None


def is_open(method: str, path: str) -> bool:
    """Whether visitors may call an address of the server."""
    # CORS asks with OPTIONS first; Gradio answers it without running anything.
    return method == "OPTIONS" or bool(method in _OPEN and _OPEN[method].fullmatch(path))
