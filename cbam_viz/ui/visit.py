"""What is on a visitor's screen, kept for that visitor."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..explain.explainer import Explainer
from ..explain.explanation import Explanation


@dataclass(frozen=True, eq=False)
class Visit:
    """One look at one photo, or two. It holds the photos too, whatever becomes of their files.

    Attributes:
        explainer: the model.
        explanation: of the photo.
        beside: of the second photo, if there is one.
        example: name of the example that the photo is, if it is one.
    """

    explainer: Explainer
    explanation: Explanation
    beside: Explanation | None = None
    example: str | None = None

    @property
    def blocks(self) -> list[str]:
        return [b.name for b in self.explanation.blocks]


class Desk:
    """A visitor's: the visit that is on screen, and one change of it at a time.

    It is a state of Gradio's, which makes each session's of a copy: that is a desk of its own.
    """

    def __init__(self, visit: Visit):
        self.visit = visit
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict) -> "Desk":
        return Desk(self.visit)

    def change(self, look: Callable[[Visit], Visit]) -> Visit:
        """Put another visit in the place of the present one; if the look fails, it stays."""
        with self._lock:
            self.visit = look(self.visit)
            return self.visit
