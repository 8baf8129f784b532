"""What is on a visitor's screen, kept for that visitor."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ..explain.anatomy import Anatomy, dissect
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation
from .opened import Key, Models

#: Most insides of blocks that are kept. One has up to 20 MB.
INSIDES = 6


@dataclass(frozen=True, eq=False)
class Visit:
    """One look at one photo, or two: the gates. Model and pixels are looked up again when needed.

    Attributes:
        models: where the model is looked up.
        model: that looked; they know it by this.
        explanation: of the photo.
        beside: of the second photo, if there is one.
        example, second: names of the examples that the photos are, if they are.
        name: of the photo's file, without its suffix.
    """

    models: Models
    model: Key
    explanation: Explanation
    beside: Explanation | None = None
    example: str | None = None
    second: str | None = None
    name: str = "photo"

    @property
    def explainer(self) -> Explainer:
        """The model, opened again where it had to make room for others.

        Raises:
            WeightsError: it cannot be; a visitor's own is cleared away by now.
        """
        return self.models.get(self.model)

    @property
    def blocks(self) -> list[str]:
        return [b.name for b in self.explanation.blocks]

    def anatomy(self, block: str) -> Anatomy:
        """The inside of one of the blocks."""
        return anatomy(self, block)


@lru_cache(INSIDES)
def anatomy(visit: Visit, block: str) -> Anatomy:
    """The inside of a block; of what was asked for last, of all visits together, it is kept."""
    return dissect(visit.explainer, visit.explanation, block)


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
