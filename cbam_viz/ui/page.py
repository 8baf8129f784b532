"""The page: a photo in, every block's attention out. Gradio 6."""

import html
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import torch
from gradio.processing_utils import save_bytes_to_cache

from .. import __version__
from ..explain.anatomy import dissect
from ..explain.explainer import Explainer, Explanation
from ..explain.photo import PhotoError
from ..models.checkpoints import list_checkpoints
from ..models.layouts import WeightsError
from ..models.receptive_field import receptive_fields
from ..models.sources import DEFAULT, HUB_ID, SUFFIXES
from ..render.export import to_zip
from . import inside, viewer

TITLE = "CBAM Viz: see the Convolutional Block Attention Module pay attention"
HERE = Path(__file__).parent
# As with the weights: inside the installed package, beside it in a clone.
_INSTALLED = HERE.parent / "assets"
EXAMPLES = (_INSTALLED if _INSTALLED.is_dir() else HERE.parents[1] / "assets") / "examples"

#: Most models of the catalogue or the Hub kept in memory at once; a ResNet-50 takes about 230 MB
#: in both of its forms. A visitor's own weights are kept for that visitor alone.
MODELS_KEPT = 3
#: Most predictions that can be shown; all of them come from the one forward pass.
MOST_PREDICTIONS = 10
#: Largest upload: the weights of a ResNet-101-CBAM have 198 MB.
MAX_UPLOAD = "250mb"

HEADER = """
<header id="cv-header">
  <h1>CBAM Viz</h1>
  <p>See where, and through which channels, a ResNet with the
  <strong>Convolutional Block Attention Module</strong> looks at your photo.
  <span lang="zh">看看带有卷积块注意力模块的 ResNet 在关注照片的哪里。</span></p>
</header>
"""

FOOTER = f"""
<footer id="cv-footer">CBAM Viz {__version__} · the module: Woo, Park, Lee, Kweon,
<a href="https://arxiv.org/abs/1807.06521">CBAM, ECCV 2018</a> · photos and weights you upload
are deleted from this server within hours and are used for nothing else</footer>
"""


def photo_input(**options) -> gr.Image:
    """`gr.Image` that hands over the file as it came: decoding it is `photo.load`'s work.

    Gradio's own decoding turns 16-bit files white, drops transparency, and stops with errors of
    Pillow's at files that are no images.
    """
    image = gr.Image(image_mode=None, **options)
    # On the object: a subclass would have Gradio write a stub file beside this module.
    image.preprocess = lambda payload: payload.path if payload else None
    return image


class Explainers:
    """The opened models, by name; the last few of them are kept.

    Args:
        names: those that can be opened besides Hub ids. What a visitor types is never taken for a
            path of this machine.
    """

    def __init__(self, names: list[str]):
        self.names = names
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}
        self._opened: OrderedDict[str, Explainer] = OrderedDict()

    def get(self, name: str) -> Explainer:
        """An explainer of the named model; it is opened, and perhaps fetched, the first time.

        Raises:
            WeightsError: there is no such model, or it cannot be fetched or read.
        """
        if name not in self.names and (not HUB_ID.fullmatch(name) or Path(name).exists()):
            raise WeightsError(
                f"no model {name!r}; there are: {', '.join(self.names)}, and Hub ids (user/repo)"
            )
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:  # of one name at a time: others need not wait until this one is fetched
            explainer = self._opened.get(name) or Explainer.from_pretrained(name)
        with self._lock:
            self._opened[name] = explainer
            self._opened.move_to_end(name)
            if len(self._opened) > MODELS_KEPT:
                self._opened.popitem(last=False)
        return explainer

    @property
    def opened(self) -> list[str]:
        """Names of the models in memory, the last used one last."""
        return list(self._opened)


def _own_explainer(files: list[str]) -> Explainer:
    """An explainer of uploaded weights, and of the class names beside them.

    Raises:
        WeightsError: there is not one file of weights among them, or it cannot be opened.
    """
    weights = [f for f in files if f.lower().endswith(SUFFIXES)]
    texts = [f for f in files if f.lower().endswith(".txt")]
    if len(weights) != 1 or len(weights) + len(texts) != len(files) or len(texts) > 1:
        given = ", ".join(Path(f).name for f in files)
        raise WeightsError(
            f"expected is one file of weights ({', '.join(SUFFIXES)}) and perhaps a .txt with one "
            f"class name a line; given: {given}"
        )
    return Explainer.from_pretrained(weights[0], texts[0] if texts else None)


def _table(explanation: Explanation | None) -> str:
    """The figures of every block's two gates, as an HTML table."""
    if explanation is None:
        return ""
    rows = []
    for b in explanation.blocks:
        height, width = b.spatial.shape
        cells = [b.name, f"{width} × {height}", b.stride]
        for f in (b.spatial_figures, b.channel_figures):
            cells += [f"{v:.3f}" for v in (f.min, f.mean, f.max, f.deviation)]
        gates = (("spatial", b.spatial_figures), ("channel", b.channel_figures))
        constant = " and ".join(kind for kind, f in gates if f.nearly_constant)
        cells.append(f"{constant} nearly constant" if constant else "")
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    figures = "<th>min</th><th>mean</th><th>max</th><th>dev.</th>"
    return (
        '<div class="cv-table" tabindex="0"><table><thead><tr><th rowspan="2">block</th>'
        '<th rowspan="2">map</th><th rowspan="2">stride</th><th colspan="4">spatial gate</th>'
        '<th colspan="4">channel gate</th><th rowspan="2">note</th></tr>'
        f"<tr>{figures * 2}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _status(explanation: Explanation, opened: list[str]) -> str:
    """Which model, how long, on what."""
    (w, h), (iw, ih) = explanation.photo.size, explanation.view.size
    threads = torch.get_num_threads()
    words = [
        f"<b>{html.escape(explanation.model.name)}</b>",
        f"{1000 * explanation.seconds:.0f} ms on {threads} CPU thread{'s' * (threads > 1)}",
        f"photo {w} × {h}, seen at {iw} × {ih} px",
    ]
    if len(opened) > 1:
        words.append(f"in memory: {html.escape(', '.join(opened))}")
    return f"<p class='cv-status'>{' · '.join(words)}</p>"


def build(model: str | None = None) -> gr.Blocks:
    """The page as a Gradio app, not yet started.

    Args:
        model: the model to start with: anything that `load_checkpoint` takes; the default if None.

    Raises:
        WeightsError: the model cannot be opened. Nothing is served then.
    """
    first = model or DEFAULT
    explainers = Explainers(list(dict.fromkeys([first, *list_checkpoints()])))
    explainers.get(first)

    def explain(photo: str, model: str = "", top_k: int = 5) -> dict:
        """Explain a photo: the predictions, and every block's channel and spatial attention.

        Args:
            photo: an image file.
            model: name of a model of the catalogue, or a Hub id; the default model if empty.
            top_k: number of predictions, at least 1.

        Returns:
            model, image_size [width, height], predictions (label, probability, index; most likely
            first) and blocks from input to output (name, stride in input px, channel: C gate
            values, spatial: rows of gate values), gates in (0, 1), to four decimals.
        """
        if photo is None:
            raise gr.Error("No photo was given; send an image file.", print_exception=False)
        try:
            return explainers.get(model or first).explain(photo, int(top_k)).to_dict()
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def look_at(photo: str | None, model: str, own: Explainer | None, block: str):
        """One forward pass, and all that is shown of it."""
        nothing = None, "", None, None, "", gr.skip()
        if photo is None:
            return nothing
        try:
            explainer = own or explainers.get(model)
            explanation = explainer.explain(photo, MOST_PREDICTIONS)
        except (PhotoError, WeightsError) as error:
            gr.Warning(html.escape(str(error)), title="This cannot be explained")
            return nothing
        names = [b.name for b in explanation.blocks]
        # The page shows predictions and the model's name itself.
        shown = viewer.payload(explanation, receptive_fields(explainer.model))
        return (
            (explainer, explanation),
            _status(explanation, explainers.opened),
            {p.label: p.probability for p in explanation.predictions},
            shown | {"predictions": []},
            _table(explanation),
            gr.Dropdown(names, value=block if block in names else names[-1]),
        )

    def look_inside(result, block: str, wanted: bool):
        """The parts of one block, if its tab is the one in view."""
        if result is None or not wanted:
            return None
        return inside.payload(dissect(*result, block), result[1])

    def take_weights(files: list[str] | None):
        """A visitor's own model, for that visitor's session alone."""
        if not files:
            return None
        try:
            explainer = _own_explainer(files)
        except WeightsError as error:
            gr.Warning(html.escape(str(error)), title="These weights cannot be opened")
            return None
        gr.Info(f"{explainer.facts.name} is open, for you alone and until you leave.")
        return explainer

    def for_download(result, name: str, contents: Callable[[Explainer, Explanation], bytes]) -> str:
        """A file in the cache that Gradio keeps account of, and so clears away in time."""
        if result is None:
            raise gr.Error(
                "There is nothing to download yet: give a photo first.", print_exception=False
            )
        return save_bytes_to_cache(contents(*result), name, file.GRADIO_CACHE)

    def pack(result):
        def contents(_: Explainer, explanation: Explanation) -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                return to_zip(explanation, Path(folder) / "all.zip").read_bytes()

        return for_download(result, "cbam-viz.zip", contents)

    def bind(result):
        def contents(explainer: Explainer, explanation: Explanation) -> bytes:
            fields = receptive_fields(explainer.model)
            return viewer.standalone_html(explanation, fields).encode()

        return for_download(result, "cbam-viz.html", contents)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3 * 3600)) as page:
        gr.HTML(HEADER)
        result = gr.State()  # (Explainer, Explanation)
        inside_wanted = gr.State(False)
        own = gr.State()  # the visitor's own Explainer
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=280):
                photo = photo_input(
                    label="Photo",
                    sources=["upload", "webcam", "clipboard"],
                    height=280,
                    elem_id="cv-photo",
                )
                status = gr.HTML()
                predictions = gr.Label(label="Predictions", num_top_classes=5)
                top_k = gr.Slider(1, MOST_PREDICTIONS, 5, step=1, label="How many predictions")
                gr.Examples(
                    [[str(f)] for f in sorted(EXAMPLES.glob("*.jpg"))],
                    [photo],
                    label="Example photos",
                    examples_per_page=12,
                    api_visibility="private",
                )
                with gr.Accordion("Another model", open=False):
                    chosen = gr.Dropdown(
                        explainers.names,
                        value=first,
                        allow_custom_value=True,
                        label="Model",
                        info="of the catalogue, or a Hugging Face Hub id: user/repo[@revision]",
                        elem_id="cv-model",
                    )
                    weights = gr.File(
                        label="Or your own ResNet-CBAM: weights, and class names as .txt",
                        file_count="multiple",
                        file_types=[*SUFFIXES[:3], ".tar", ".txt"],
                        height=120,
                        elem_id="cv-weights",
                    )
            with gr.Column(scale=9, min_width=280), gr.Tabs():
                with gr.Tab("Every block") as outside_tab:
                    attention = viewer.component(elem_id="cv-viewer")
                    with gr.Row():
                        zip_button = gr.Button("Download everything (zip)", size="sm")
                        html_button = gr.Button("Download as one HTML file", size="sm")
                        file = gr.DownloadButton(visible="hidden", elem_id="cv-file")
                    with gr.Accordion("Figures of every block", open=False):
                        table = gr.HTML()
                with gr.Tab("Inside a block") as inside_tab:
                    names = list(explainers.get(first).model.blocks())
                    block = gr.Dropdown(names, value=names[-1], label="Block")
                    parts = inside.component(elem_id="cv-inside")
        gr.HTML(FOOTER)

        looking = {
            "fn": look_at,
            "inputs": [photo, chosen, own, block],
            "outputs": [result, status, predictions, attention, table, block],
            "api_visibility": "private",
            "show_progress": "minimal",
            "show_progress_on": [photo],
            "trigger_mode": "always_last",
        }
        looking_inside = {
            "fn": look_inside,
            "inputs": [result, block, inside_wanted],
            "outputs": [parts],
            "api_visibility": "private",
            "show_progress": "minimal",
            "trigger_mode": "always_last",
        }
        gr.on([photo.change, chosen.change], **looking).then(**looking_inside)
        taken = weights.change(take_weights, weights, own, **private)
        taken.success(**looking).then(**looking_inside)
        outside_tab.select(lambda: False, None, inside_wanted, **private)
        inside_tab.select(lambda: True, None, inside_wanted, **private).then(**looking_inside)
        block.input(**looking_inside)
        top_k.change(lambda k: gr.Label(num_top_classes=k), top_k, predictions, **private)
        for button, make in ((zip_button, pack), (html_button, bind)):
            button.click(make, result, file, api_visibility="private").success(
                None, None, None, js="() => document.querySelector('#cv-file').click()", **private
            )

        # The public function, for gradio_client, plain HTTP and MCP. It has components of its
        # own so that a file arrives here as it was sent.
        with gr.Row(visible=False):
            api = (photo_input(label="photo"), gr.Textbox(first), gr.Number(5))
            answer = gr.JSON()
            gr.Button().click(explain, list(api), answer, api_name="explain")
    page.queue(max_size=64, default_concurrency_limit=2)
    return page


def launch(model: str | None = None, **options) -> None:
    """Build the page and serve it until stopped.

    Args:
        model: as for `build`.
        options: more of ``gr.Blocks.launch``'s, the address for example.
    """
    build(model).launch(**launch_options(), **options)


def launch_options() -> dict:
    """What the page needs from ``gr.Blocks.launch``, for all who start it."""
    theme = gr.themes.Default(
        primary_hue="violet",
        neutral_hue="slate",
        radius_size="md",
        # The system's own fonts: nothing is fetched, and Chinese looks as it does elsewhere.
        font=("system-ui", "Segoe UI", "PingFang SC", "Noto Sans CJK SC", "sans-serif"),
        font_mono=("ui-monospace", "Consolas", "monospace"),
    )
    return {
        "theme": theme,
        "css_paths": [str(HERE / "page.css")],
        "max_file_size": MAX_UPLOAD,
        "mcp_server": True,
        "footer_links": ["api", "gradio"],
        "allowed_paths": [str(EXAMPLES)],
    }
