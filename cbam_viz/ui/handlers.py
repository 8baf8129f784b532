"""What the page does when its visitor does something. Every method is a handler of Gradio's."""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from ..explain.anatomy import dissect
from ..explain.decoder import UntrustedPhoto
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation
from ..explain.photo import Photo, PhotoError
from ..models.layouts import WeightsError
from ..models.receptive_field import receptive_fields
from ..models.sources import HUB_ID
from ..render.export import to_zip
from . import inside, pieces, viewer
from .examples import EXAMPLE_FILES, example_of
from .opened import Explainers, OwnModels
from .standalone import standalone_html
from .visit import Desk, Visit
from .visitors import Refused
from .words import both, words

#: Most predictions that can be shown; all of them come from the one forward pass.
MOST_PREDICTIONS = 10
#: Most px of a photo in the zip, which has it once for each block.
PACKED = 4_000_000
#: Predictions that are given where nobody says how many.
PREDICTIONS = 5
#: The tabs, as links name them; the first is open to begin with.
TABS = ("blocks", "inside")

#: The example that a first visit shows.
OPENING = "sneakers"


class Handlers:
    """The handlers of one page.

    Args:
        explainers: the models that can be opened.
        first: name of the one to start with; an example is explained with it.
    """

    def __init__(self, explainers: Explainers, first: str):
        self.explainers = explainers
        self.own = OwnModels()
        self.first = first
        name = OPENING if OPENING in EXAMPLE_FILES else next(iter(EXAMPLE_FILES))
        explainer = explainers.get(first)
        explanation = explainer.explain(EXAMPLE_FILES[name], MOST_PREDICTIONS)
        self.opening = Desk(Visit(explainer, explanation, example=name))

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
        if photo is None:
            raise Refused("No photo was given; send an image file.")
        for name, value in (("model", model), ("block", block)):
            if not isinstance(value, str | None):
                raise Refused(f"{name} must be a {name}'s name, or null, not {_said(value)}")
        if top_k is None:
            top_k = PREDICTIONS
        if isinstance(top_k, float) and top_k.is_integer():  # JSON has one kind of number
            top_k = int(top_k)
        if not isinstance(top_k, int) or isinstance(top_k, bool):
            raise Refused(f"top_k must be a whole number, or null, not {_said(top_k)}")
        try:
            explainer = self.explainers.get(model or self.first)
            explanation = explainer.explain(UntrustedPhoto(photo), top_k)
            name = str(block or explainer.open_at)
            explanation.block(name)
        except ValueError as error:
            raise Refused(str(error)) from error
        return explanation, name

    def take_photo(self, photo: str | None, desk: Desk, block: str, most: int):
        """Explain another photo with the same model. None, no photo, leaves what there is."""
        if photo is None:
            return self._unchanged(desk.visit)
        example = example_of(photo)

        def look(visit: Visit) -> Visit:
            explanation = _explain(visit.explainer, UntrustedPhoto(photo))
            return replace(visit, explanation=explanation, example=example)

        return self._looked(desk, look, block, most)

    def take_second(self, photo: str | None, desk: Desk, block: str, most: int):
        """Explain a photo to compare with; None takes it away."""

        def look(visit: Visit) -> Visit:
            return replace(visit, beside=photo and _explain(visit.explainer, UntrustedPhoto(photo)))

        return self._looked(desk, look, block, most)

    def take_model(self, name: str, desk: Desk, block: str, most: int):
        """Explain the same photos with another model."""
        return self.take_link("", name, desk, block, most)

    def take_weights(self, files: list[str] | None, desk: Desk, block: str, most: int):
        """Explain the same photos with a visitor's own model, for that visitor's session alone."""
        if not files:
            return self._unchanged(desk.visit)
        return self._looked(
            desk, lambda visit: _with_model(visit, self.own.get(tuple(files))), block, most
        )

    def _looked(self, desk: Desk, look: Callable[[Visit], Visit], block: str, most: int):
        """What is shown after a look; after one that failed, what was shown before it, and why."""
        before = desk.visit
        try:
            visit = desk.change(look)
        except (PhotoError, WeightsError) as error:
            return self._unchanged(before, pieces.fault(error))
        if visit is before:
            return self._unchanged(before)
        return self.shown(visit, block, most, before)

    def _unchanged(self, visit: Visit, notice: str = ""):
        return notice, *[gr.skip()] * 5, visit.explainer.facts.name, gr.skip()

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
        photo["photo"]["linked"] = visit.example is not None
        second = visit.beside and viewer.payload(visit.beside, fields, explainer.open_at)
        name = explainer.facts.name
        catalogued = name in self.explainers.names
        same = before is not None and before.explainer is explainer
        return (
            "",
            pieces.summary(explanation, self.explainers.opened, most),
            gr.skip() if same else pieces.classes(explainer),
            gr.HTML(photo, second=second),
            pieces.table(explanation),
            gr.Dropdown(visit.blocks, value=block if block in visit.blocks else explainer.open_at),
            name,
            {"photo": visit.example, "model": name if catalogued else None},
        )

    def look_inside(self, desk: Desk, block: str, wanted: bool):
        """The parts of one block, if its tab is the one in view."""
        if not wanted:
            return None, gr.skip()
        visit = desk.visit
        block = block if block in visit.blocks else visit.explainer.open_at
        anatomy = dissect(visit.explainer, visit.explanation, block)
        return inside.payload(anatomy, visit.explanation), block

    def features(self, desk: Desk, event: gr.EventData):
        """The feature maps that the viewer asks for."""
        visit = desk.visit
        said = event._data if isinstance(event._data, dict) else {}  # whatever a visitor sent
        block = said.get("block")
        if block not in visit.blocks:
            raise Refused(f"no block {block!r:.40}")
        return gr.HTML(features=viewer.features(dissect(visit.explainer, visit.explanation, block)))

    def summarise(self, desk: Desk, most: int) -> str:
        """What the network says, in so many lines."""
        explanation = desk.visit.explanation
        return pieces.summary(explanation, self.explainers.opened, most)

    def follow(self, link: dict, desk: Desk):
        """What a link names: example photo, model, tab; what it does not name stays."""
        keys = "photo", "model", "tab", "language"
        said = link if isinstance(link, dict) else {}
        photo, model, tab, language = (v if isinstance(v := said.get(k), str) else "" for k in keys)
        if model and model not in self.explainers.names and not HUB_ID.fullmatch(model):
            gr.Warning(both("noSuchModel"), title="")
            model = ""
        if photo == desk.visit.example or photo not in EXAMPLE_FILES:
            photo = ""
        tab = tab if tab in TABS else TABS[0]
        return (
            photo,
            model or gr.skip(),
            gr.Tabs(selected=tab),
            tab == "inside",
            *self.tab_names(language),
        )

    def take_link(self, example: str, name: str, desk: Desk, block: str, most: int):
        """Explain what a link names, in one go: an example's name, or none, and a model's."""

        def look(visit: Visit) -> Visit:
            if name != visit.explainer.facts.name:
                visit = _with_model(visit, self.explainers.get(name))
            if example in EXAMPLE_FILES and example != visit.example:
                explanation = _explain(visit.explainer, Photo(EXAMPLE_FILES[example]))
                visit = replace(visit, explanation=explanation, example=example)
            return visit

        return self._looked(desk, look, block, most)

    def tab_names(self, language: str):
        """The tabs of a language: their labels do not follow it as other components' do."""
        said = words().get(language, words()["en"])
        return [gr.Tab(said[key]) for key in ("everyBlock", "insideBlock")]

    def pack(self, desk: Desk) -> str:
        """Everything as one zip."""
        try:
            bounded = _bounded(desk.visit.explanation)
        except PhotoError as error:  # its file is cleared away by now
            raise Refused(str(error)) from error
        with tempfile.TemporaryDirectory() as folder:
            content = to_zip(bounded, Path(folder) / "all.zip").read_bytes()
        return _for_download(content, "cbam-viz.zip")

    def bind(self, desk: Desk, state: str) -> str:
        """The viewer as one file, as it is on screen.

        Args:
            desk: what is on screen.
            state: of the viewer, as JSON.
        """
        visit = desk.visit
        explainer, explanation = visit.explainer, visit.explanation
        anatomies = (dissect(explainer, explanation, name) for name in visit.blocks)
        fields = receptive_fields(explainer.model)
        page = standalone_html(explanation, fields, anatomies, _object(state), explainer.open_at)
        return _for_download(page.encode(), "cbam-viz.html")


def _explain(explainer: Explainer, photo: Photo) -> Explanation:
    return explainer.explain(photo, MOST_PREDICTIONS)


def _with_model(visit: Visit, explainer: Explainer) -> Visit:
    """The same photos, explained by another model."""
    return replace(
        visit,
        explainer=explainer,
        explanation=_explain(explainer, visit.explanation.photo),
        beside=visit.beside and _explain(explainer, visit.beside.photo),
    )


def _said(value: object) -> str:
    """What came, as it would be written in JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _bounded(explanation: Explanation) -> Explanation:
    """The same of the photo at `PACKED` px, where it has more."""
    width, height = explanation.photo.size
    shrink = min(1, math.sqrt(PACKED / (width * height)))
    size = max(1, int(width * shrink)), max(1, int(height * shrink))
    photo = Photo(explanation.photo.at_least(*size).resize(size))
    view = replace(explanation.view, photo_size=size)
    return replace(explanation, photo=photo, view=view)


def _for_download(content: bytes, name: str) -> str:
    """A file in the cache that Gradio keeps account of, and so clears away in time."""
    return save_bytes_to_cache(content, name, get_upload_folder())


def _object(text: str) -> dict:
    """A JSON object; an empty one for anything else."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
