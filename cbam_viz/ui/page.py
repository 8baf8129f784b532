"""The page: a photo in, every block's attention out. Gradio 6."""

import html
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import gradio as gr
import torch

from .. import __version__
from ..explain.explainer import BlockAttention, Explainer, Explanation
from ..explain.photo import PhotoError
from ..models.checkpoints import list_checkpoints
from ..models.layouts import WeightsError
from ..models.sources import DEFAULT
from ..render.charts import channel_chart
from ..render.export import to_zip
from ..render.overlay import COLOURS, MODES, Look, overlay
from ..render.sheets import figure

TITLE = "CBAM Viz: see the Convolutional Block Attention Module pay attention"
HERE = Path(__file__).parent
# As with the weights: inside the installed package, beside it in a clone.
_INSTALLED = HERE.parent / "assets"
EXAMPLES = (_INSTALLED if _INSTALLED.is_dir() else HERE.parents[1] / "assets") / "examples"

#: Most models kept in memory at once: a ResNet-50 takes about 230 MB in both of its forms.
MODELS_KEPT = 3
#: Most predictions that can be shown; all of them come from the one forward pass.
MOST_PREDICTIONS = 10
#: Long sides in px of the pictures on the page.
LARGE, SMALL = 1024, 288

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
<a href="https://arxiv.org/abs/1807.06521">CBAM, ECCV 2018</a> · photos are deleted from this
server within hours and are used for nothing else</footer>
"""

EMPTY = '<p class="cv-empty">Give a photo, or take one of the examples.</p>'


def photo_input(**options) -> gr.Image:
    """`gr.Image` that hands over the file as it came: decoding it is `photo.load`'s work.

    Gradio's own decoding turns 16-bit files white, drops transparency, and stops with errors of
    Pillow's at files that are no images.
    """
    image = gr.Image(**options)
    # On the object: a subclass would have Gradio write a stub file beside this module.
    image.preprocess = lambda payload: payload.path if payload else None
    return image


class Explainers:
    """The opened models, the last few of them kept."""

    def __init__(self):
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, Explainer] = OrderedDict()

    def get(self, name: str) -> Explainer:
        """An explainer of a model of the catalogue.

        Raises:
            WeightsError: there is no such model, or its file cannot be read.
        """
        with self._lock:
            if name not in self._opened:
                self._opened[name] = Explainer.from_pretrained(name)
                if len(self._opened) > MODELS_KEPT:
                    self._opened.popitem(last=False)
            self._opened.move_to_end(name)
            return self._opened[name]


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """A size of the same ratio whose long side is ``side``.

    Small photos are enlarged: the map over them has more to show than their pixels.
    """
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _caption(block: BlockAttention) -> str:
    height, width = block.spatial.shape
    figures = block.spatial_figures
    words = f"{block.name} · {width} × {height} · {figures.min:.2f} to {figures.max:.2f}"
    return words + (" · nearly constant" if figures.nearly_constant else "")


def _gallery(explanation: Explanation | None, look: Look) -> list:
    if explanation is None:
        return []
    size = _fit(explanation.photo.size, SMALL)
    return [(overlay(explanation, b.name, look, size), _caption(b)) for b in explanation.blocks]


def _large(explanation: Explanation | None, name: str, look: Look):
    if explanation is None:
        return None
    return figure(explanation, name, look, _fit(explanation.photo.size, LARGE))


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
        '<div class="cv-table"><table><thead><tr><th rowspan="2">block</th>'
        '<th rowspan="2">map</th><th rowspan="2">stride</th><th colspan="4">spatial gate</th>'
        '<th colspan="4">channel gate</th><th rowspan="2"></th></tr>'
        f"<tr>{figures * 2}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _status(explanation: Explanation) -> str:
    """Which model, how long, on what; and whatever has to be said about this photo."""
    (w, h), (iw, ih) = explanation.photo.size, explanation.view.size
    threads = torch.get_num_threads()
    words = [
        f"<b>{html.escape(explanation.model.name)}</b>",
        f"{1000 * explanation.seconds:.0f} ms on {threads} CPU thread{'s' * (threads > 1)}",
        f"photo {w} × {h}, seen at {iw} × {ih} px",
    ]
    notes = []
    if explanation.view.squeezed:
        notes.append("The photo is so long that the network sees it squeezed.")
    if explanation.model.untrained:
        notes.append(f"Untrained gates, the maps mean nothing: {explanation.model.untrained}.")
    text = f"<p class='cv-status'>{' · '.join(words)}</p>"
    return text + "".join(f"<p class='cv-note'>{html.escape(n)}</p>" for n in notes)


def build(model: str | None = None) -> gr.Blocks:
    """The page as a Gradio app, not yet started.

    Args:
        model: the model to start with: catalogue name, folder or file; the default if None.

    Raises:
        WeightsError: the model cannot be opened. Nothing is served then.
    """
    explainers = Explainers()
    first = model or DEFAULT
    names = list(dict.fromkeys([first, *list_checkpoints()]))
    blocks = [b for b in explainers.get(first).model.blocks()]

    def explain(photo: str, model: str = "", top_k: int = 5) -> dict:
        """Explain a photo: the predictions, and every block's channel and spatial attention.

        Args:
            photo: an image file.
            model: name of a model of the catalogue; the default model if empty.
            top_k: number of predictions, at least 1.

        Returns:
            model, image_size [width, height], predictions (label, probability, index; most likely
            first) and blocks from input to output (name, stride in input px, channel: C gate
            values, spatial: rows of gate values), gates in (0, 1), to four decimals.
        """
        if photo is None:
            raise gr.Error("No photo was given; send an image file.", print_exception=False)
        try:
            if model and model not in names:
                raise WeightsError(f"no model {model!r}; there are: {', '.join(names)}")
            return explainers.get(model or first).explain(photo, int(top_k)).to_dict()
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def look_at(photo: str | None, model: str, *controls):
        """One forward pass, and everything that is drawn of it."""
        if photo is None:
            return None, EMPTY, None, *redraw(None, blocks[-1], *controls)
        try:
            explainer = explainers.get(model)
            explanation = explainer.explain(photo, MOST_PREDICTIONS)
        except (PhotoError, WeightsError) as error:
            gr.Warning(str(error), title="This photo cannot be explained")
            return None, EMPTY, None, *redraw(None, blocks[-1], *controls)
        names = [b.name for b in explanation.blocks]
        block = controls[0] if controls[0] in names else names[-1]
        drawn = redraw(explanation, block, *controls[1:])
        return explanation, _status(explanation), gr.Dropdown(names, value=block), *drawn

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3 * 3600)) as page:
        gr.HTML(HEADER)
        explanation = gr.State()
        dark = gr.Checkbox(visible=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                photo = photo_input(
                    label="Photo",
                    sources=["upload", "webcam", "clipboard"],
                    image_mode=None,
                    height=300,
                    elem_id="cv-photo",
                )
                status = gr.HTML(EMPTY)
                predictions = gr.Label(label="Predictions", num_top_classes=5)
                top_k = gr.Slider(1, MOST_PREDICTIONS, 5, step=1, label="How many predictions")
                chosen = gr.Dropdown(names, value=first, label="Model", visible=len(names) > 1)
                gr.Examples(
                    [[str(f)] for f in sorted(EXAMPLES.glob("*.jpg"))],
                    [photo],
                    label="Example photos",
                    examples_per_page=12,
                    api_visibility="private",
                )
            with gr.Column(scale=8, min_width=320):
                gr.HTML("<h2>Spatial attention of every block, from input to output</h2>")
                gallery = gr.Gallery(
                    show_label=False,
                    columns=4,
                    format="png",
                    height="auto",
                    allow_preview=False,
                    object_fit="contain",
                    interactive=False,
                    buttons=[],
                    elem_id="cv-gallery",
                )
                with gr.Row(equal_height=False):
                    with gr.Column(scale=5, min_width=320):
                        large = gr.Image(
                            show_label=False,
                            format="png",
                            interactive=False,
                            buttons=["download", "fullscreen"],
                            elem_id="cv-large",
                        )
                    with gr.Column(scale=3, min_width=240):
                        block = gr.Dropdown(blocks, value=blocks[-1], label="Block")
                        mode = gr.Radio(list(MODES), value="heat", label="Mode")
                        colours = gr.Dropdown(list(COLOURS), value="magma", label="Colours")
                        opacity = gr.Slider(0, 1, Look.opacity, step=0.05, label="Opacity")
                        scale = gr.Radio(
                            [("0 to 1", "absolute"), ("stretched to the map's range", "stretched")],
                            value="absolute",
                            label="Scale",
                        )
                        keep = gr.Slider(
                            0.05, 0.95, Look.keep, step=0.05, visible=False,
                            label="Share of the attention inside the contour",
                        )  # fmt: skip
                        order = gr.Radio(
                            [("by channel", "channel"), ("sorted", "sorted")],
                            value="sorted",
                            label="Channel weights",
                        )
                        zip_button = gr.Button("Download everything as a zip")
                        zip_file = gr.DownloadButton(visible="hidden", elem_id="cv-zip")
                chart = gr.Image(
                    show_label=False,
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="cv-chart",
                )
                with gr.Accordion("Figures of every block", open=False):
                    table = gr.HTML()
        gr.HTML(FOOTER)

        look_controls = [mode, colours, opacity, scale, keep]

        def redraw(explanation, block, mode, colours, opacity, scale, keep, order, dark):
            """All pictures of an explanation. The model is not run."""
            look = Look(mode, colours, opacity, scale, keep)
            return (
                _predictions(explanation),
                _gallery(explanation, look),
                _large(explanation, block, look),
                _chart(explanation, block, order, dark),
                _table(explanation),
            )

        def _predictions(explanation):
            if explanation is None:
                return None
            return {p.label: p.probability for p in explanation.predictions}

        def _chart(explanation, block, order, dark):
            if explanation is None:
                return None
            return channel_chart(explanation.block(block), order, dark=dark)

        pictures = [predictions, gallery, large, chart, table]
        private = {"api_visibility": "private", "show_progress": "hidden"}
        latest = private | {"trigger_mode": "always_last"}
        controls = [block, *look_controls, order, dark]

        page.load(None, None, dark, js="() => document.body.classList.contains('dark')", **private)
        gr.on(
            [photo.change, chosen.change],
            look_at,
            [photo, chosen, *controls],
            [explanation, status, block, *pictures],
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=[large],
            trigger_mode="always_last",
        )
        gr.on(
            [mode.input, colours.input, opacity.release, scale.input, keep.release],
            lambda e, name, *look: (_gallery(e, Look(*look)), _large(e, name, Look(*look))),
            [explanation, block, *look_controls],
            [gallery, large],
            **latest,
        )
        mode.change(lambda m: gr.Slider(visible=m == "contour"), mode, keep, **private)
        block.change(
            lambda e, name, order, dark, *look: (
                _large(e, name, Look(*look)),
                _chart(e, name, order, dark),
            ),
            [explanation, block, order, dark, *look_controls],
            [large, chart],
            **latest,
        )
        order.input(_chart, [explanation, block, order, dark], chart, **latest)
        top_k.change(lambda k: gr.Label(num_top_classes=k), top_k, predictions, **latest)

        def pick(explanation: Explanation | None, event: gr.SelectData):
            return explanation.blocks[event.index].name if explanation else gr.skip()

        gallery.select(pick, explanation, block, **private)

        def pack(explanation: Explanation | None, *look):
            if explanation is None:
                raise gr.Error("There is nothing to download yet: give a photo first.",
                               print_exception=False)  # fmt: skip
            folder = Path(tempfile.mkdtemp(dir=gr.utils.get_upload_folder()))
            return str(to_zip(explanation, folder / "cbam-viz.zip", Look(*look)))

        zip_button.click(
            pack, [explanation, *look_controls], zip_file, api_visibility="private"
        ).success(None, None, None, js="() => document.querySelector('#cv-zip').click()", **private)

        # The public function, for gradio_client, plain HTTP and MCP. It has components of its
        # own so that a file arrives here as it was sent.
        with gr.Row(visible=False):
            api = (photo_input(label="photo", image_mode=None), gr.Textbox(), gr.Number(5))
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
        "max_file_size": "40mb",
        "mcp_server": True,
        "footer_links": ["api", "gradio"],
        "allowed_paths": [str(EXAMPLES)],
    }
