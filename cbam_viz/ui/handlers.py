"""What the page does when its visitor does something. Every method is a handler of Gradio's."""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache, save_file_to_cache
from gradio.utils import get_upload_folder

from ..explain import decoder
from ..explain.anatomy import dissect
from ..explain.decoder import UntrustedPhoto
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation
from ..explain.interventions import what_if_told
from ..explain.photo import Photo
from ..explain.photo_errors import PhotoError
from ..explain.view import View
from ..models.errors import WeightsError
from ..models.receptive_field import receptive_fields
from ..models.sources import HUB_ID
from ..render.export import zipping
from . import course, experiments, inside, journal, pieces, viewer
from .boxed import decoded
from .examples import EXAMPLE_FILES, example_of, example_photo
from .opened import Key, Models
from .standalone import standalone_html, view_of
from .visit import Desk, Visit
from .visitors import Refused
from .words import both, words

T = TypeVar("T")

#: Networks at work at once. More calls than these are taken from the queue, so that one that waits
#: for a photo, for its model or for the Hub holds up nobody.
AT_ONCE = 2
#: Most predictions that can be shown; all of them come from the one forward pass.
MOST_PREDICTIONS = 10
#: Most px of a picture's longer side in the zip, which has one for each block.
PACKED = 1600
#: Predictions that are given where nobody says how many.
PREDICTIONS = 5
#: The tabs, as links name them; the first is open to begin with.
TABS = ("blocks", "inside", "course", "experiments", "survey")

#: The example that a first visit shows.
OPENING = "sneakers"


class Handlers:
    """The handlers of one page.

    Args:
        models: those that can be looked at with.
        first: name of the one to start with; an example is explained with it.
    """

    def __init__(self, models: Models, first: str):
        self.models = models
        self.first = first
        self._turns = threading.Semaphore(AT_ONCE)
        name = OPENING if OPENING in EXAMPLE_FILES else next(iter(EXAMPLE_FILES))
        explanation = models.get(first).explain(EXAMPLE_FILES[name], MOST_PREDICTIONS)
        self.opening = Desk(Visit(models, first, explanation, example=name, name=name))

    def explain(self, photo: str, model: str | None = None, top_k: int | None = None) -> dict:
        """Explain a photo: the predictions, and every block's channel and spatial attention.

        Args:
            photo: an image file.
            model: name of a model of the catalogue, or a Hub id; the default model if null or "".
            top_k: number of predictions, at least 1; 5 if null.

        Returns:
            model, activation ("softmax" or "sigmoid"), image_size [width, height], predictions
            (label, probability, index; most likely first) and blocks from input to output (name,
            stride in input px, channel: C gate values, spatial: rows of gate values), gates in
            (0, 1), to four decimals.
        """
        return self.explained(photo, model, top_k)[0].to_dict()

    def explained(
        self, photo: str | None, model: object = None, top_k: object = None, block: object = None
    ) -> tuple[Explanation, str]:
        """An explanation for clients that may send anything, and the block to show of it.

        Raises:
            Refused: an argument is not what it has to be; says what it is and what was expected.
        """
        if not isinstance(block, str | None):
            raise Refused(f"block must be a block's name, or null, not {_said(block)}")
        explainer, explanation = self._asked(photo, model, top_k)
        try:
            name = str(block or explainer.open_at)
            explanation.block(name)
        except ValueError as error:
            raise Refused(str(error)) from error
        return explanation, name

    def what_if(
        self,
        photo: str,
        gates: dict | None = None,
        model: str | None = None,
        top_k: int | None = None,
    ) -> dict:
        """What some gates set by hand change on a photo; without any, which of them matters.

        Args:
            photo: an image file.
            gates: by name ("layer3.1.spatial"), "open" (1), "shut" (0), "half" (0.5), "mean" (its
                own), "shuffled", "inverted"; a number that it is multiplied by; or its values in
                0..1. Null or {}: each is set to its mean, alone.
            model, top_k: as for explain.

        Returns:
            model; with gates classes (label, index; probability and logit before and after) and
            blocks (name; how far both gates moved); without, label, logit and effects (change).
        """
        explainer, explanation = self._asked(photo, model, top_k)
        try:
            with self._turns:
                return what_if_told(explainer, explanation, gates, len(explanation.predictions))
        except ValueError as error:
            raise Refused(str(error)) from error

    def _asked(
        self, photo: str | None, model: object, top_k: object
    ) -> tuple[Explainer, Explanation]:
        """The model and the explanation that a client asks for, who may send anything."""
        if photo is None:
            raise Refused("No photo was given; send an image file.")
        if not isinstance(model, str | None):
            raise Refused(f"model must be a model's name, or null, not {_said(model)}")
        if top_k is None:
            top_k = PREDICTIONS
        if isinstance(top_k, float) and top_k.is_integer():  # JSON has one kind of number
            top_k = int(top_k)
        if not isinstance(top_k, int) or isinstance(top_k, bool):
            raise Refused(f"top_k must be a whole number, or null, not {_said(top_k)}")
        try:
            explainer = self.models.get(model or self.first)
            return explainer, self._look(explainer, UntrustedPhoto(photo), top_k)
        except ValueError as error:
            raise Refused(str(error)) from error

    def take_photo(self, photo: str | None, desk: Desk, block: str, most: int):
        """Explain another photo with the same model. None, no photo, leaves what there is.

        Returns:
            What is shown, and the decoded picture, as of `decoded`.
        """
        before = desk.visit
        if photo is None:
            return *self._unchanged(before), gr.skip()
        example = example_of(photo)

        def look(visit: Visit) -> Visit:
            explanation = self._explain(visit.model, UntrustedPhoto(photo))
            return replace(visit, explanation=explanation, example=example, name=Path(photo).stem)

        shown = self._looked(desk, look, block, most)
        return *shown, decoded(photo, None if desk.visit is before else desk.visit.explanation)

    def take_second(self, photo: str | None, desk: Desk, block: str, most: int):
        """Explain a photo to compare with; None takes it away. Returns what `take_photo` does."""
        before = desk.visit
        example = photo and example_of(photo)

        def look(visit: Visit) -> Visit:
            beside = photo and self._explain(visit.model, UntrustedPhoto(photo))
            return replace(visit, beside=beside, second=example)

        shown = self._looked(desk, look, block, most)
        return *shown, decoded(photo, None if desk.visit is before else desk.visit.beside)

    def take_model(self, name: str, desk: Desk, block: str, most: int):
        """Explain the same photos with another model."""
        return self._looked(desk, lambda visit: self._with_named(visit, name), block, most)

    def take_weights(self, files: list[str] | None, desk: Desk, block: str, most: int):
        """Explain the same photos with a visitor's own model, for that visitor's session alone."""
        if not files:
            return self._unchanged(desk.visit)
        return self._looked(desk, lambda visit: self._with_model(visit, tuple(files)), block, most)

    def _looked(self, desk: Desk, look: Callable[[Visit], Visit], block: str, most: int):
        """What is shown after a look; after one that failed, what was shown before it, and why."""
        before = desk.visit
        try:
            visit = desk.change(look)
        except (PhotoError, WeightsError) as error:
            journal.note_refusal()
            return self._unchanged(before, pieces.fault(error))
        if visit is before:
            return self._unchanged(before)
        return self.shown(visit, block, most, before)

    def _unchanged(self, visit: Visit, notice: str = ""):
        return notice, *[gr.skip()] * 5, visit.explanation.model.name, gr.skip()

    def shown(self, visit: Visit, block: str, most: int, before: Visit | None = None):
        """What is shown of a visit, in the order of the page's outputs.

        Args:
            visit: what to show.
            block: name of the block that was in view.
            most: number of predictions.
            before: what was shown before; what is the same is not sent again.
        """
        explainer, explanation = visit.explainer, visit.explanation
        fields = receptive_fields(explainer.model)
        photo = viewer.payload(explanation, fields, explainer.open_at)
        photo["photo"] |= {"name": visit.example, "linked": visit.example is not None}
        second = None
        if visit.beside:
            second = viewer.payload(visit.beside, fields, explainer.open_at)
            second["photo"]["name"] = visit.second
        same = before is not None and before.model == visit.model
        return (
            "",
            pieces.summary(explanation, self.models.named.opened, most),
            gr.skip() if same else pieces.classes(explainer),
            gr.HTML(photo, second=second),
            pieces.table(explanation),
            gr.Dropdown(visit.blocks, value=block if block in visit.blocks else explainer.open_at),
            explainer.facts.name,
            self._link(visit),
        )

    def _link(self, visit: Visit) -> dict:
        """What of a visit a link names; None for a visitor's own photo or model."""
        name = visit.explanation.model.name
        return {
            "photo": visit.example,
            "second": visit.second,
            "model": name if name in self.models.named.names else None,
        }

    def look_inside(self, desk: Desk, block: str, wanted: bool):
        """The parts of one block, if its tab is the one in view."""
        if not wanted:
            return None, gr.skip()
        visit = desk.visit
        with _still_there(), self._turns:
            block = block if block in visit.blocks else visit.explainer.open_at
            second = visit.beside and dissect(visit.explainer, visit.beside, block)
            return gr.HTML(
                inside.payload(visit.anatomy(block), visit.explanation),
                second=second and inside.payload(second, visit.beside),
            ), block

    def features(self, desk: Desk, event: gr.EventData):
        """The feature maps that the viewer asks for."""
        visit = desk.visit
        said = event._data if isinstance(event._data, dict) else {}  # whatever a visitor sent
        block = said.get("block")
        if block not in visit.blocks:
            raise Refused(f"no block {block!r:.40}")
        with _still_there(), self._turns:
            return gr.HTML(features=viewer.features(visit.anatomy(block)))

    def study(self, desk: Desk, event: gr.EventData):
        """What the course asks for."""
        with _still_there(), self._turns:
            return gr.HTML(answer=course.answered(desk.visit, event._data))

    def experiment(self, desk: Desk, event: gr.EventData):
        """What the experiments ask for."""
        return gr.HTML(**experiments.answered(desk, event._data, self._turns))

    def experiment_steps(self, desk: Desk, event: gr.EventData):
        """What the experiments ask for that comes bit by bit."""
        for answer in self._in_turns(experiments.steps(desk, event._data)):
            yield gr.HTML(**answer)

    def summarise(self, desk: Desk, most: int) -> str:
        """What the network says, in so many lines."""
        explanation = desk.visit.explanation
        return pieces.summary(explanation, self.models.named.opened, most)

    def follow(self, link: dict):
        """What a link names: example photos, model, tab; what it does not name stays.

        First comes its number: by it the browser knows which of its links an answer is to. What is
        shown does not count: an answer that is on its way may change it first.
        """
        keys = "photo", "second", "model", "tab", "language"
        said = link if isinstance(link, dict) else {}
        photo, second, model, tab, language = (
            v if isinstance(v := said.get(k), str) else "" for k in keys
        )
        if model and model not in self.models.named.names and not HUB_ID.fullmatch(model):
            gr.Warning(both("noSuchModel"), title="")
            model = ""
        number = said.get("number")
        return (
            number if isinstance(number, int) and 0 <= number < 2**31 else None,
            photo if photo in EXAMPLE_FILES else "",
            second if second in EXAMPLE_FILES else "",
            model,
            gr.Tabs(selected=tab) if tab in TABS else gr.skip(),
            tab == "inside" if tab in TABS else gr.skip(),
            *self.tab_names(language),
        )

    def take_link(
        self,
        number: int | None,
        example: str,
        second: str,
        name: str,
        desk: Desk,
        block: str,
        most: int,
    ):
        """Explain what a link names, in one go: examples' names and a model's, or none.

        Where the model cannot be opened the photos are followed all the same, as their boxes are.
        """
        faults: list[WeightsError] = []

        def look(visit: Visit) -> Visit:
            try:
                visit = self._with_named(visit, name) if name else visit
            except WeightsError as error:
                faults.append(error)
            if example in EXAMPLE_FILES and example != visit.example:
                explanation = self._explain(visit.model, example_photo(example))
                visit = replace(visit, explanation=explanation, example=example, name=example)
            if second in EXAMPLE_FILES and second != visit.second:
                beside = self._explain(visit.model, example_photo(second))
                visit = replace(visit, beside=beside, second=second)
            elif not second and visit.second:  # a view from before there was one
                visit = replace(visit, beside=None, second=None)
            return visit

        before = desk.visit
        *shown, _ = self._looked(desk, look, block, most)
        if faults:
            journal.note_refusal()
            shown[0] = pieces.fault(faults[0])
        elif desk.visit is before and not shown[0]:
            shown[0] = gr.skip()  # what was said of a file that was given meanwhile
        return *shown, self._link(desk.visit) | {"number": number}

    def second_box(self, example: str, photo: str | None) -> str | None:
        """What a link puts into the second photo's box; what was uploaded into it stays there."""
        if example in EXAMPLE_FILES:
            return EXAMPLE_FILES[example]
        return None if photo and example_of(photo) else photo

    def _with_named(self, visit: Visit, name: str) -> Visit:
        """The same photos, explained by the model of a name."""
        if name in (visit.model, visit.explanation.model.name):
            return visit
        return self._with_model(visit, name)

    def tab_names(self, language: str):
        """The tabs of a language: their labels do not follow it as other components' do."""
        said = words().get(language, words()["en"])
        keys = "everyBlock", "insideBlock", "course", "experiments", "survey"
        return [gr.Tab(said[key]) for key in keys]

    def pack(self, desk: Desk, whole: bool) -> Iterator[tuple]:
        """Everything as one zip, and how far it has got.

        Args:
            desk: what is on screen.
            whole: whether the pictures are to have the photo's size.
        """
        yield pieces.progress(0), gr.skip()
        visit = desk.visit
        side = max(visit.explanation.photo.size) if whole is True else PACKED
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{visit.name}-cbam-viz.zip"
            with _still_there():
                for share in zipping(visit.explanation, path, side=side):
                    yield pieces.progress(share), gr.skip()
            yield "", save_file_to_cache(path, get_upload_folder())

    def bind(self, desk: Desk, state: str) -> str:
        """The viewer as one file, as it is on screen.

        Args:
            desk: what is on screen.
            state: of the viewer, as JSON.
        """
        visit = desk.visit
        with _still_there():
            explainer, explanation = visit.explainer, visit.explanation
            anatomies = self._in_turns(dissect(explainer, explanation, b) for b in visit.blocks)
            fields = receptive_fields(explainer.model)
            page = standalone_html(
                explanation, fields, anatomies, view_of(state), explainer.open_at
            )
        content = page.encode()
        # In the cache that Gradio keeps account of, and so clears away in time.
        return save_bytes_to_cache(content, f"{visit.name}-cbam-viz.html", get_upload_folder())

    def _explain(self, model: Key, photo: Photo) -> Explanation:
        return self._look(self.models.get(model), photo, MOST_PREDICTIONS)

    def _look(self, explainer: Explainer, photo: Photo, top_k: int) -> Explanation:
        # Decoded before it is its turn: that is other processes' work.
        photo.resized(*View.whole(photo.size, explainer.preprocessing).resized)
        with self._turns:
            if not decoder.wanted.get()():
                raise decoder.Left("nobody waits for this photo any more")
            return explainer.explain(photo, top_k)

    def _with_model(self, visit: Visit, model: Key) -> Visit:
        """The same photos, explained by another model."""
        return replace(
            visit,
            model=model,
            explanation=self._explain(model, visit.explanation.photo),
            beside=visit.beside and self._explain(model, visit.beside.photo),
        )

    def _in_turns(self, made: Iterator[T]) -> Iterator[T]:
        """The same things, each made in a turn of its own: others come in between."""
        while True:
            with self._turns:
                try:
                    one = next(made)
                except StopIteration:
                    return
            yield one


@contextmanager
def _still_there() -> Iterator[None]:
    """Around what looks again at a photo and a model, whose files may be cleared away by now."""
    try:
        yield
    except (PhotoError, WeightsError) as error:
        raise Refused(str(error)) from error


def _said(value: object) -> str:
    """What came, as it would be written in JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
