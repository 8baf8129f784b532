"""What the page does when its visitor does something. Every method is a handler of Gradio's."""

import html
import json
import math
import tempfile
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
from .examples import example_of
from .opened import Explainers, OwnModels
from .standalone import standalone_html
from .visitors import Refused, without_folders
from .words import both, words

#: Most predictions that can be shown; all of them come from the one forward pass.
MOST_PREDICTIONS = 10
#: Most px of a photo in the zip, which has it once for each block.
PACKED = 4_000_000
#: Predictions that are given where nobody says how many.
PREDICTIONS = 5
#: The tabs, as links name them; the first is open to begin with.
TABS = ("blocks", "inside")

#: A model by its name, or a visitor's own by its files.
Model = str | tuple[str, ...]
#: What a photo gave, kept for its visitor; the model itself may go.
Result = tuple[Model, Explanation] | None


class Handlers:
    """The handlers of one page.

    Args:
        explainers: the models that can be opened.
        first: name of the one to start with.
    """

    def __init__(self, explainers: Explainers, first: str):
        self.explainers = explainers
        self.own = OwnModels()
        self.first = first

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
            block = block or explainer.open_at
            explanation.block(block)
        except ValueError as error:
            raise Refused(str(error)) from error
        return explanation, block

    def look_at(
        self,
        photo: str | None,
        second: str | None,
        model: str,
        own: tuple[str, ...] | None,
        block: str,
        most: int,
    ):
        """One forward pass for each photo, and all that is shown of them."""
        link = {"photo": photo and example_of(photo), "model": None if own else model}
        nothing = None, "", gr.HTML(None, second=None), "", gr.skip(), link
        if photo is None:
            return nothing
        try:
            explainer = self._opened(own or model)
            explanation = explainer.explain(UntrustedPhoto(photo), MOST_PREDICTIONS)
            beside = second and explainer.explain(UntrustedPhoto(second), MOST_PREDICTIONS)
        except (PhotoError, WeightsError) as error:
            _warn("notExplained", error)
            return nothing
        fields = receptive_fields(explainer.model)
        shown = viewer.payload(explanation, fields)
        shown["predictions"] = []  # the page shows them itself
        shown["photo"]["linked"] = bool(link["photo"])
        names = [b.name for b in explanation.blocks]
        return (
            (own or model, explanation),
            pieces.summary(explanation, self.explainers.opened, most),
            gr.HTML(shown, second=beside and viewer.payload(beside, fields)),
            pieces.table(explanation),
            gr.Dropdown(names, value=block if block in names else names[-1]),
            link,
        )

    def look_inside(self, result: Result, block: str, wanted: bool):
        """The parts of one block, if its tab is the one in view."""
        if result is None or not wanted:
            return None, gr.skip()
        explanation = result[1]
        names = [b.name for b in explanation.blocks]
        block = block if block in names else names[-1]
        anatomy = dissect(self._needed(result), explanation, block)
        return inside.payload(anatomy, explanation), block

    def features(self, result: Result, event: gr.EventData):
        """The feature maps that the viewer asks for."""
        if result is None:
            return gr.skip()
        block = getattr(event, "block", None)
        if block not in [b.name for b in result[1].blocks]:
            raise Refused(f"no block {block!r:.40}")
        anatomy = dissect(self._needed(result), result[1], block)
        return gr.HTML(features=viewer.features(anatomy))

    def summarise(self, result: Result, most: int) -> str:
        """What the network says, in another number of lines."""
        return pieces.summary(result and result[1], self.explainers.opened, most)

    def follow(self, link: dict):
        """What a link names: example photo, model, tab."""
        keys = "photo", "model", "tab", "language"
        said = link if isinstance(link, dict) else {}
        photo, model, tab, language = (v if isinstance(v := said.get(k), str) else "" for k in keys)
        if model and model not in self.explainers.names and not HUB_ID.fullmatch(model):
            gr.Warning(both("noSuchModel"), title="")
            model = None
        tab = tab if tab in TABS else TABS[0]
        names = self.tab_names(language)
        linked = photo or gr.skip(), model or gr.skip(), gr.Tabs(selected=tab)
        return *linked, tab == "inside", *names

    def tab_names(self, language: str):
        """The tabs of a language: their labels do not follow it as other components' do."""
        said = words().get(language, words()["en"])
        return [gr.Tab(said[key]) for key in ("everyBlock", "insideBlock")]

    def take_weights(self, files: list[str] | None) -> tuple[str, ...] | None:
        """A visitor's own model, for that visitor's session alone."""
        if not files:
            return None
        try:
            explainer = self.own.get(tuple(files))
        except WeightsError as error:
            _warn("notOpened", error)
            return None
        gr.Info(both("opened", name=explainer.facts.name), title="")
        return tuple(files)

    def pack(self, result: Result) -> str:
        """Everything as one zip."""
        self._needed(result)
        try:
            bounded = _bounded(result[1])
        except PhotoError as error:  # its file is cleared away by now
            raise Refused(str(error)) from error
        with tempfile.TemporaryDirectory() as folder:
            content = to_zip(bounded, Path(folder) / "all.zip").read_bytes()
        return _for_download(content, "cbam-viz.zip")

    def bind(self, result: Result, state: str) -> str:
        """The viewer as one file, as it is on screen.

        Args:
            result: what is on screen.
            state: of the viewer, as JSON.
        """
        explainer, explanation = self._needed(result), result[1]
        anatomies = (dissect(explainer, explanation, b.name) for b in explanation.blocks)
        fields = receptive_fields(explainer.model)
        page = standalone_html(explanation, fields, anatomies, _object(state))
        return _for_download(page.encode(), "cbam-viz.html")

    def _opened(self, model: Model) -> Explainer:
        return self.own.get(model) if isinstance(model, tuple) else self.explainers.get(model)

    def _needed(self, result: Result) -> Explainer:
        """The model of what is on screen, opened again if it had to go."""
        if result is None:
            raise Refused(both("nothingYet"), title="")
        try:
            return self._opened(result[0])
        except WeightsError as error:  # its upload is cleared away by now
            raise Refused(str(error)) from error


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


def _warn(key: str, error: Exception) -> None:
    gr.Warning(html.escape(without_folders(str(error))), title=both(key))
