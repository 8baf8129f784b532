"""One line of the log for each request: what, how long, how large, how it ended.

No photo, no name of a file or model, no address, no text that anybody wrote.
"""

import datetime
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary, finalize

import gradio as gr

from ..explain.decoder import Left

log = logging.getLogger(f"{__name__}.requests")

#: How requests end: as asked; with a sentence for the visitor; by a fault of the server's; because
#: nobody waits any more.
DONE, REFUSED, FAILED, LEFT = "done", "refused", "failed", "left"


class Entry:
    """A request that is at work.

    Attributes:
        what: the function's name, "upload" or "mcp".
        bytes: of the files that came with it.
        outcome: one of those above.
        goes_on: whether it is answered bit by bit, and more is to come.
    """

    def __init__(self, what: str, size: int = 0):
        self.what, self.bytes, self.outcome, self.goes_on = what, size, DONE, False
        self._began = time.perf_counter()

    def write(self) -> None:
        """Its line."""
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "what": self.what,
            "seconds": round(time.perf_counter() - self._began, 3),
            "bytes": self.bytes,
            "outcome": self.outcome,
        }
        log.info(json.dumps(line))

    def leave(self) -> None:
        """Its line, if the rest of it was never asked for."""
        if self.goes_on:
            self.outcome = LEFT
            self.write()


_entry: ContextVar[Entry | None] = ContextVar("entry", default=None)
_going_on: WeakKeyDictionary[object, Entry] = WeakKeyDictionary()


@contextmanager
def entry(what: str, size: int = 0, event: object = None) -> Iterator[Entry]:
    """Writes the line when the ``with`` block is left, however it is left.

    Args:
        what, size: as `Entry` has them.
        event: what stands for the request, if several such blocks may be of one: if the block
            leaves it with ``goes_on``, the line is written after the last one, or once nothing
            else has the event.
    """
    new = None if event is None else _going_on.pop(event, None)
    new = new or Entry(what, size)
    token = _entry.set(new)
    was_going_on, new.goes_on = new.goes_on, False
    try:
        yield new
    except Exception as error:
        cause = error.__cause__
        if isinstance(error, Left) or isinstance(cause, Left):
            new.outcome = LEFT
        elif new.outcome == DONE:
            new.outcome = REFUSED if isinstance(error, gr.Error) else FAILED
        raise
    except BaseException:  # cancelled
        new.outcome = LEFT
        raise
    finally:
        _entry.reset(token)
        if event is not None and new.goes_on:
            _going_on[event] = new
            if not was_going_on:
                finalize(event, new.leave)
        else:
            new.write()


def note_refusal() -> None:
    """The request at work ends with a sentence on the page, and without an exception."""
    if current := _entry.get():
        current.outcome = REFUSED


def to_standard_error() -> None:
    """Have the package's log written: requests as they are, all else with its level."""
    package = logging.getLogger(__name__.partition(".")[0])
    package.setLevel(logging.INFO)
    package.propagate = False
    for logger, form in ((log, "%(message)s"), (package, "%(levelname)s: %(message)s")):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(form))
        logger.handlers = [handler]
    log.propagate = False
