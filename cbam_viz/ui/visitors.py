"""What visitors may ask for: the one place where it is checked, before anything is opened or run.

Whoever can reach the server can call every function of the page, with any arguments: a browser
needs them all. So what arrives is held for hostile, by whichever way it came (the page's queue,
the HTTP API, MCP). Gradio checks the paths of what calls itself a file of its own; a path that
does not is handed on as it is.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import unquote

import gradio as gr
from gradio.utils import get_upload_folder

from ..explain import decoder
from . import journal, sessions, storage
from .words import said

log = logging.getLogger(__name__)

#: Where the server gives out uploaded files; such an address, of any host, names an upload.
OWN_FILES = re.compile(r".*/gradio_api/file=")

#: The folders before a file's name. A Hub id or an address has none that begins like this.
FOLDERS = re.compile(r"(?<![\w:/.<])(?:[A-Za-z]:)?[\\/](?:[^\s'\"\\/:;,()<>]+[\\/])+")


def without_folders(message: str) -> str:
    """A message that names files by their names alone: where they lie is nobody's business."""
    return FOLDERS.sub("", message)


class Refused(gr.Error):
    """A visitor's fault, in a sentence: nothing to log."""

    def __init__(self, message: str, title: str = "Error"):
        # What was sent is quoted in it, and may be no text that can be sent back.
        words = without_folders(message).encode("utf-8", "replace").decode()
        super().__init__(words, title=title, print_exception=False)


class Page(gr.Blocks):
    """`gr.Blocks` that takes nothing from visitors unchecked, and answers every fault in words.

    Attributes:
        on_mcp_server: called with Gradio's MCP server once it is made, before it is launched.
    """

    on_mcp_server: Callable[[object], None] | None = None

    @property
    def state_holder(self):
        return self._state_holder

    @state_holder.setter
    def state_holder(self, holder) -> None:
        sessions.bound(holder)
        self._state_holder = holder

    @property
    def mcp_server_obj(self):
        return self._mcp_server

    @mcp_server_obj.setter
    def mcp_server_obj(self, server) -> None:
        self._mcp_server = server
        if server is not None and self.on_mcp_server:
            self.on_mcp_server(server)

    async def process_api(self, block_fn, inputs, *args, event_id: str | None = None, **kwargs):
        event = self._queue.event_ids_to_events.get(event_id or "")
        if event:  # its client may leave
            decoder.wanted.set(lambda: event.alive)
        what = re.sub(r"_\d+$", "", str(block_fn.api_name))
        with journal.entry(what, event=event) as entry:
            try:
                answer = await super().process_api(
                    block_fn, inputs, *args, event_id=event_id, **kwargs
                )
                entry.goes_on = bool(answer.get("is_generating"))
                return answer
            except gr.Error:
                raise
            except Exception as error:
                if isinstance(error, OSError) and storage.is_of_full_disk(error):
                    raise Refused(said("diskFull")) from error
                log.exception("a call failed")
                entry.outcome = journal.FAILED
                raise Refused("this could not be done; the fault is the server's") from error
            finally:
                entry.bytes = max(entry.bytes, size_of(inputs))

    async def preprocess_data(self, block_fn, inputs, *args, **kwargs):
        if isinstance(inputs, list) and block_fn.api_visibility == "public":
            inputs = inputs + [None] * (len(block_fn.inputs) - len(inputs))  # null: the default
        public = block_fn.api_visibility == "public"
        if (
            not isinstance(inputs, list)
            or len(inputs) < len(block_fn.inputs)
            or (public and len(inputs) > len(block_fn.inputs))
        ):
            raise Refused(f"expected are {len(block_fn.inputs)} arguments, as a list")
        check_files(inputs)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:
            raise Refused(error.message, error.title) from error
        except Exception as error:  # of whatever class: a component took it for what it is not
            names = ", ".join(str(getattr(c, "label", None) or "?") for c in block_fn.inputs)
            raise Refused(
                f"an argument is not of the kind that is expected here ({names}); a file is an "
                'object: {"path": what an upload answered}'
            ) from error


def check_files(arguments: list) -> None:
    """Check every file that is named anywhere in what a visitor sent.

    Args:
        arguments: plain values, as they came out of JSON. An address of an upload is replaced by
            the upload's path, in place.

    Raises:
        Refused: one is not an upload.
    """
    for value in _objects(arguments):
        meta = value.get("meta", {})
        if not isinstance(meta, dict):
            raise Refused("the meta of a file must be an object")
        if value.get("path") is not None:
            value["path"] = uploaded(value["path"])
        elif "url" in value:
            raise Refused(NOT_FETCHED)


def size_of(arguments: list) -> int:
    """Bytes of the files that are named in what a visitor sent, once they are checked."""
    total = 0
    for value in _objects(arguments):
        if isinstance(path := value.get("path"), str):
            with suppress(OSError, ValueError):
                total += os.path.getsize(path)
    return total


def _objects(arguments: list) -> Iterator[dict]:
    """Every object anywhere in what a visitor sent."""
    left = [arguments]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            yield value


NOT_FETCHED = "an address is not fetched; download the file and upload it"


def uploaded(path: object) -> str:
    """The path of an uploaded file, if it is one.

    Args:
        path: as it came: a path of this machine, or the address under which the server gives an
            upload out.

    Raises:
        Refused: it is anything else. Whether such a file exists is not told.
    """
    if not isinstance(path, str):
        raise Refused(f"the path of a file must be text, not {type(path).__name__}")
    if own := OWN_FILES.match(path):
        path = unquote(path[own.end() :].partition("?")[0])
    elif re.match(r"[a-z][a-z0-9+.-]*:", path, re.IGNORECASE) and not os.path.isabs(path):
        raise Refused(NOT_FETCHED)
    folder = os.path.realpath(get_upload_folder())
    try:
        real = os.path.realpath(path)
        inside = os.path.commonpath([folder, real]) == folder
        if inside and os.path.isfile(real):
            return path
    except (OSError, ValueError):  # too long, or with a NUL in it
        pass
    raise Refused("this file was not uploaded here, or is cleared away by now; upload it (again)")
