"""The page: a photo in, every block's attention out. Gradio 6."""

import filecmp
import html
import json
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr
import torch
from gradio.processing_utils import save_bytes_to_cache
from starlette.middleware import Middleware

from .. import __version__
from ..explain.anatomy import dissect
from ..explain.explainer import Explainer, Explanation, Prediction
from ..explain.photo import PhotoError
from ..models.checkpoints import list_checkpoints
from ..models.layouts import WeightsError
from ..models.receptive_field import receptive_fields
from ..models.sources import DEFAULT, HUB_ID, SUFFIXES
from ..render.export import to_zip
from . import inside, viewer
from .visitors import Door, Page, Refused
from .words import both, in_each, translations, words

HERE = Path(__file__).parent
# As with the weights: inside the installed package, beside it in a clone.
_INSTALLED = HERE.parent / "assets"
EXAMPLES = (_INSTALLED if _INSTALLED.is_dir() else HERE.parents[1] / "assets") / "examples"
#: Their files by name, as links call them.
EXAMPLE_FILES = {f.stem: str(f) for f in sorted(EXAMPLES.glob("*.jpg"))}

#: Most models of the catalogue or the Hub kept in memory at once; a ResNet-50 takes about 230 MB
#: in both of its forms. A visitor's own weights are kept for that visitor alone.
MODELS_KEPT = 3
#: Most predictions that can be shown; all of them come from the one forward pass.
MOST_PREDICTIONS = 10
#: The tabs, as links name them; the first is open to begin with.
TABS = ("blocks", "inside")
#: Largest upload: the weights of a ResNet-101-CBAM have 198 MB.
MAX_UPLOAD = "250mb"


def _switch() -> str:
    """A button for each language that the page is not in."""

    def button(lang: str) -> str:
        name = words()[lang]["language"]
        return f'<button type="button" lang="{lang}">{name}</button>'

    return in_each({lang: "".join(button(k) for k in words() if k != lang) for lang in words()})


HEADER = f"""
<header id="cv-header">
  <div><h1>CBAM Viz</h1><p>{both("lead")}</p></div>
  <nav>{_switch()}</nav>
</header>
"""

FOOTER = f'<footer id="cv-footer">CBAM Viz {__version__} · {both("credits")}</footer>'


def photo_input(**options) -> gr.Image:
    """`gr.Image` that hands over the file as it came: decoding it is `photo.load`'s work.

    Gradio's own decoding turns 16-bit files white, drops transparency, and stops with errors of
    Pillow's at files that are no images.
    """
    image = gr.Image(image_mode=None, **options)
    # On the object: a subclass would have Gradio write a stub file beside this module. So no
    # event may update more than the value, as gr.Examples does: Gradio makes a new object then.
    image.preprocess = lambda payload: payload.path if payload else None  # checked: `visitors`
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
        if not isinstance(name, str):
            raise WeightsError(f"the name of a model is text, not {type(name).__name__}")
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


def _example(photo: str) -> str | None:
    """The name of the example that a file is, if it is one."""
    same = (name for name, f in EXAMPLE_FILES.items() if filecmp.cmp(f, photo, shallow=False))
    return next(same, None)


def _summary(explanation: Explanation | None, opened: list[str], most: int) -> str:
    """Which model, how long, on what, and what it says, as HTML."""
    if explanation is None:
        return ""
    return _status(explanation, opened) + _predictions(explanation.predictions[:most])


def _predictions(predictions: Sequence[Prediction]) -> str:
    """Classes with their probabilities."""
    items = []
    for p in predictions:
        label = html.escape(p.label)
        if p.label_zh:
            label = in_each({"en": label, "zh": html.escape(p.label_zh)})
        items.append(
            f'<li style="--share:{p.probability:.4f}"><span>{label}</span>'
            f"<b>{100 * p.probability:.1f} %</b></li>"
        )
    return f'<h2 class="cv-heading">{both("predictions")}</h2><ol>{"".join(items)}</ol>'


def _table(explanation: Explanation) -> str:
    """The figures of every block's two gates, as an HTML table."""
    rows = []
    for b in explanation.blocks:
        height, width = b.spatial.shape
        gates = {"spatialGate": b.spatial_figures, "channelGate": b.channel_figures}
        cells = [f"{width} × {height}", b.stride]
        for f in gates.values():
            cells += [f"{v:.3f}" for v in (f.min, f.mean, f.max, f.deviation)]
        constant = [f"{both(k)}: {both('constant')}" for k, f in gates.items() if f.nearly_constant]
        cells.append("<br>".join(constant))
        body = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{b.name}</th>{body}</tr>')

    def head(key: str, more: str = "") -> str:
        return f'<th scope="col"{more}>{both(key)}</th>'

    figures = "".join(head(key) for key in ("min", "mean", "max", "deviation"))
    tall, wide = ' rowspan="2"', ' colspan="4"'
    return (
        '<div class="cv-table" tabindex="0"><table><thead><tr>'
        + "".join(head(key, tall) for key in ("block", "map", "stride"))
        + head("spatialGate", wide)
        + head("channelGate", wide)
        + head("note", tall)
        + f"</tr><tr>{figures * 2}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _status(explanation: Explanation, opened: list[str]) -> str:
    """Which model, how long, on what."""
    (w, h), (iw, ih) = explanation.photo.size, explanation.view.size
    parts = [
        f"<b>{html.escape(explanation.model.name)}</b>",
        both("time", ms=f"{1000 * explanation.seconds:.0f}", threads=torch.get_num_threads()),
        both("sizes", width=w, height=h, seenWidth=iw, seenHeight=ih),
    ]
    if len(opened) > 1:
        parts.append(both("inMemory", names=", ".join(opened)))
    return f"<p class='cv-status'>{' · '.join(parts)}</p>"


def _warn(key: str, error: Exception) -> None:
    gr.Warning(html.escape(str(error)), title=both(key))


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
            raise Refused("No photo was given; send an image file.")
        try:
            return explainers.get(model or first).explain(photo, int(top_k)).to_dict()
        except (ValueError, OverflowError) as error:
            raise Refused(str(error)) from error

    def look_at(
        photo: str | None,
        second: str | None,
        model: str,
        own: Explainer | None,
        block: str,
        most: int,
    ):
        """One forward pass for each photo, and all that is shown of them."""
        link = {"photo": photo and _example(photo), "model": None if own else model}
        nothing = None, "", gr.HTML(None, second=None), "", gr.skip(), link
        if photo is None:
            return nothing
        try:
            explainer = own or explainers.get(model)
            explanation = explainer.explain(photo, MOST_PREDICTIONS)
            beside = explainer.explain(second, MOST_PREDICTIONS) if second else None
        except (PhotoError, WeightsError) as error:
            _warn("notExplained", error)
            return nothing
        fields = receptive_fields(explainer.model)
        shown = viewer.payload(explanation, fields)
        shown["predictions"] = []  # the page shows them itself
        shown["photo"]["linked"] = bool(link["photo"])
        names = [b.name for b in explanation.blocks]
        return (
            (explainer, explanation),
            _summary(explanation, explainers.opened, most),
            gr.HTML(shown, second=beside and viewer.payload(beside, fields)),
            _table(explanation),
            gr.Dropdown(names, value=block if block in names else names[-1]),
            link,
        )

    def look_inside(result, block: str, wanted: bool):
        """The parts of one block, if its tab is the one in view."""
        if result is None or not wanted:
            return None, gr.skip()
        explainer, explanation = result
        names = [b.name for b in explanation.blocks]
        block = block if block in names else names[-1]
        return inside.payload(dissect(explainer, explanation, block), explanation), block

    def features(result, event: gr.EventData):
        """The feature maps that the viewer asks for."""
        if result is None:
            return gr.skip()
        block = getattr(event, "block", None)
        if block not in [b.name for b in result[1].blocks]:
            raise Refused(f"no block {block!r:.40}")
        return gr.HTML(features=viewer.features(dissect(*result, block)))

    def follow(link: dict):
        """What a link names: example photo, model, tab."""
        keys = "photo", "model", "tab", "language"
        said = link if isinstance(link, dict) else {}
        photo, model, tab, language = (v if isinstance(v := said.get(k), str) else "" for k in keys)
        if model and model not in explainers.names and not HUB_ID.fullmatch(model):
            gr.Warning(both("noSuchModel"), title="")
            model = None
        tab = tab if tab in TABS else TABS[0]
        names = tab_names(language)
        linked = photo or gr.skip(), model or gr.skip(), gr.Tabs(selected=tab)
        return *linked, tab == "inside", *names

    def tab_names(language: str):
        """The tabs of a language: their labels do not follow it as other components' do."""
        said = words().get(language, words()["en"])
        return [gr.Tab(said[key]) for key in ("everyBlock", "insideBlock")]

    def take_weights(files: list[str] | None):
        """A visitor's own model, for that visitor's session alone."""
        if not files:
            return None
        try:
            explainer = _own_explainer(files)
        except WeightsError as error:
            _warn("notOpened", error)
            return None
        gr.Info(both("opened", name=explainer.facts.name), title="")
        return explainer

    def for_download(result, name: str, contents: Callable[[Explainer, Explanation], bytes]) -> str:
        """A file in the cache that Gradio keeps account of, and so clears away in time."""
        if result is None:
            raise Refused(both("nothingYet"), title="")
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

    t = translations()
    private = {"api_visibility": "private", "show_progress": "hidden"}
    title = words()["en"]["title"]
    with Page(title=title, analytics_enabled=False, delete_cache=(3600, 3 * 3600)) as page:
        turn = "element.querySelector('nav').addEventListener('click', () => trigger('select'))"
        header = gr.HTML(HEADER, js_on_load=turn)
        result = gr.State()  # (Explainer, Explanation)
        inside_wanted = gr.State(False)
        own = gr.State()  # the visitor's own Explainer
        link = gr.JSON(visible=False)
        in_view = gr.Textbox(visible=False)  # name of the viewer's block, as the browser says it
        language = gr.Textbox(visible=False)
        linked_photo = gr.Textbox(visible=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=280):
                photo = photo_input(
                    label=t("photo"),
                    placeholder=t("drop"),
                    sources=["upload", "webcam", "clipboard"],
                    height=280,
                    elem_id="cv-photo",
                )
                summary = gr.HTML(elem_id="cv-summary")
                most = gr.Slider(1, MOST_PREDICTIONS, 5, step=1, label=t("howMany"))
                examples = gr.Dataset(
                    components=[photo],
                    samples=[[f] for f in EXAMPLE_FILES.values()],
                    label=t("examples"),
                    samples_per_page=12,
                    elem_id="cv-examples",
                )
                with gr.Accordion(t("secondPhoto"), open=False):
                    second = photo_input(
                        show_label=False,
                        label=t("secondPhoto"),
                        placeholder=t("drop"),
                        sources=["upload", "clipboard"],
                        height=200,
                        elem_id="cv-second",
                    )
                with gr.Accordion(t("anotherModel"), open=False):
                    chosen = gr.Dropdown(
                        explainers.names,
                        value=first,
                        allow_custom_value=True,
                        label=t("model"),
                        info=t("modelInfo"),
                        elem_id="cv-model",
                    )
                    weights = gr.File(
                        label=t("weights"),
                        file_count="multiple",
                        file_types=[*SUFFIXES[:3], ".tar", ".txt"],
                        height=120,
                        elem_id="cv-weights",
                    )
            with gr.Column(scale=9, min_width=280), gr.Tabs() as tabs:
                with gr.Tab(t("everyBlock"), id=TABS[0]) as outside_tab:
                    attention = viewer.component(elem_id="cv-viewer")
                    with gr.Row():
                        zip_button = gr.Button(t("zip"), size="sm")
                        html_button = gr.Button(t("html"), size="sm")
                        file = gr.DownloadButton(visible="hidden", elem_id="cv-file")
                    with gr.Accordion(t("figures"), open=False):
                        table = gr.HTML()
                with gr.Tab(t("insideBlock"), id=TABS[1]) as inside_tab:
                    names = list(explainers.get(first).model.blocks())
                    block = gr.Dropdown(names, value=names[-1], label=t("block"))
                    parts = inside.component(elem_id="cv-inside")
        gr.HTML(FOOTER)

        looking = {
            "fn": look_at,
            "inputs": [photo, second, chosen, own, block, most],
            "outputs": [result, summary, attention, table, block, link],
            "api_visibility": "private",
            "show_progress": "minimal",
            "show_progress_on": [photo],
            "trigger_mode": "always_last",
        }
        looking_inside = {
            "fn": look_inside,
            "outputs": [parts, block],
            "api_visibility": "private",
            "show_progress": "minimal",
            "trigger_mode": "always_last",
        }
        # Both tabs show one block: the viewer's leads, the list over the inside changes it.
        viewers_block = {
            "inputs": [result, in_view, inside_wanted],
            "js": "(result, _, wanted) => [result, CbamPage.block(), wanted]",
        }
        note_link = {"fn": None, "inputs": [link], "js": "(link) => CbamPage.note(link)", **private}
        # What the visitor gives is heard of as `input`; `change` comes twice for one photo.
        given = gr.on([photo.input, second.input, chosen.input], **looking)
        shown = examples.click(lambda sample: sample and sample[0], examples, photo, **private)
        # A link's photo by its name, and only if there is one: one given in the meantime stays.
        followed = linked_photo.change(EXAMPLE_FILES.get, linked_photo, photo, **private)
        taken = weights.change(take_weights, weights, own, **private)
        for looked in (given, *(event.success(**looking) for event in (shown, followed, taken))):
            looked.then(**note_link).then(**looking_inside, **viewers_block)
        outside_tab.select(
            lambda: False, None, inside_wanted, js="() => CbamPage.note({ tab: null })", **private
        )
        opened = inside_tab.select(
            lambda: True,
            None,
            inside_wanted,
            js="() => CbamPage.note({ tab: 'inside' })",
            **private,
        )
        opened.then(**looking_inside, **viewers_block)
        block.input(inputs=[result, block, inside_wanted], **looking_inside)
        block.input(None, [block], None, js="(block) => CbamPage.show(block)", **private)
        attention.select(features, [result], [attention], trigger_mode="multiple", **private)
        most.change(
            lambda result, most: _summary(result and result[1], explainers.opened, most),
            [result, most],
            summary,
            trigger_mode="always_last",
            **private,
        )
        for button, make in ((zip_button, pack), (html_button, bind)):
            button.click(make, result, file, api_visibility="private").success(
                None, None, None, js="() => document.querySelector('#cv-file').click()", **private
            )
        tabs_named = [outside_tab, inside_tab]
        header.select(tab_names, [language], tabs_named, js="() => CbamPage.turn()", **private)
        linked = [linked_photo, chosen, tabs, inside_wanted, *tabs_named]
        page.load(follow, [link], linked, js="() => CbamPage.begin()", **private)

        # The public function, for gradio_client, plain HTTP and MCP. It has components of its
        # own so that a file arrives here as it was sent.
        with gr.Row(visible=False):
            api = (photo_input(label="photo"), gr.Textbox(first), gr.Number(5))
            answer = gr.JSON()
            gr.Button().click(explain, list(api), answer, api_name="explain")
    # Nobody gets past the queue by calling a function directly.
    page.queue(max_size=64, default_concurrency_limit=2, api_open=False)
    return page


def _script() -> str:
    """The page's own script, with what it says."""
    said = ["title", *(f"example_{name}" for name in EXAMPLE_FILES)]
    own = {lang: {key: w[key] for key in said} for lang, w in words().items()}
    script = (HERE / "page.js").read_text("utf-8")
    return f"(() => {{\nconst words = {json.dumps(own, ensure_ascii=False)};\n{script}}})();"


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
    ).set(body_text_color_subdued="*neutral_600")  # Gradio's is too pale to be read by all
    return {
        "theme": theme,
        "css_paths": [str(HERE / "page.css")],
        "head": f"<script>{_script()}</script>",
        "i18n": translations(),
        "max_file_size": MAX_UPLOAD,
        "mcp_server": True,
        "app_kwargs": {"middleware": [Middleware(Door)]},
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api", "gradio"],
        "allowed_paths": [str(EXAMPLES)],
    }
