"""The body of an upload, watched while it comes: how many files, how large each."""

import asyncio
from contextlib import suppress

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive

from ..explain import untrusted
from ..models.class_names import TEXTS
from ..models.sources import SUFFIXES
from . import storage
from .words import said

#: Files of one upload: weights with all that may describe them.
MAX_FILES = 12
#: Most bytes of a file: of weights (a ResNet-101-CBAM has 198 MB); of what describes them.
MAX_WEIGHTS, MAX_TEXT = 250_000_000, 10_000_000
#: Most bytes of what is no file at all.
MAX_FIELD = 10_000
#: Seconds that an upload may stand still.
STILL = 60


def most_of(name: str) -> int:
    """Most bytes of a file of this name; what is no file of weights is taken for a photo."""
    name = name.lower()
    if name.endswith((*SUFFIXES, ".tar")):
        return MAX_WEIGHTS
    return MAX_TEXT if name.endswith((*TEXTS, ".json")) else untrusted.MAX_BYTES


class Watched:
    """The way of an upload's messages to Gradio, which deletes its parts when this ends it.

    Args:
        receive: the messages.
        content_type: of the upload, with the boundary.

    Attributes:
        left: whether its sender has gone.
    """

    def __init__(self, receive: Receive, content_type: str):
        self._receive = receive
        self.left = False
        self._files, self._size, self._most, self._header = 0, 0, 0, b""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        self._parser = None
        if boundary:  # else Gradio refuses it
            with suppress(FormParserError):
                self._parser = MultipartParser(
                    boundary,
                    {
                        "on_part_begin": self._begin,
                        "on_header_value": self._add_header,
                        "on_header_end": self._end_header,
                        "on_headers_finished": self._headed,
                        "on_part_data": self._add,
                    },
                )

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            MultiPartException: it is too much, or broken off; what came of it is deleted then.
        """
        try:
            message = await asyncio.wait_for(self._receive(), STILL)
        except TimeoutError:
            raise MultiPartException(f"the upload stood still for {STILL} s") from None
        if message["type"] == "http.disconnect":
            self.left = True
            raise MultiPartException("the upload was broken off")
        if storage.is_full():
            raise MultiPartException(said("noRoom"))
        if self._parser:
            with suppress(FormParserError):  # Gradio meets the same
                self._parser.write(message.get("body", b""))
        return message

    def _begin(self) -> None:
        self._files += 1
        self._size, self._header = 0, b""
        if self._files > MAX_FILES:
            raise MultiPartException(said("tooMany", most=MAX_FILES))

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _end_header(self) -> None:
        self._header += b";"

    def _headed(self) -> None:
        _, options = parse_options_header(self._header)
        name = options.get(b"filename")
        self._most = MAX_FIELD if name is None else most_of(name.decode(errors="replace"))

    def _add(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self._most:
            # Gradio tells by these words that it is 413.
            raise MultiPartException(
                f"{said('tooLarge', most=self._most // 10**6)} (maximum allowed size)"
            )
