"""The page's layout and wiring: a photo in, every block's attention out. Gradio 6."""

from types import SimpleNamespace

import gradio as gr

from ..explain import decoder
from ..models.checkpoints import list_checkpoints
from ..models.class_names import TEXTS
from ..models.sources import DEFAULT, SUFFIXES
from . import course, experiments, inside, mcp_tool, pieces, sessions, viewer
from .examples import EXAMPLE_FILES
from .handlers import MOST_PREDICTIONS, PREDICTIONS, TABS, Handlers
from .opened import Models
from .visitors import Page
from .words import translations, words

#: Calls taken from the queue at a time: as many wait for photos, models or the Hub beside those
#: that the network is at work for.
TAKEN = 8
#: One queue for all that takes the network: first come, first served.
LOOKS = {"concurrency_id": "looks"}
#: What is nobody's but the page's.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


def photo_input(**options) -> gr.Image:
    """`gr.Image` that hands over the file as it came: decoding it is `decoder`'s work.

    Gradio's own decoding turns 16-bit files white, drops transparency, and stops with errors of
    Pillow's at files that are no images.
    """
    image = gr.Image(image_mode=None, webcam_options=gr.WebcamOptions(mirror=False), **options)
    # On the object: a subclass would have Gradio write a stub file beside this module. So no
    # event may update more than the value, as gr.Examples does: Gradio makes a new object then.
    image.preprocess = lambda payload: payload.path if payload else None  # checked: `visitors`
    return image


def build(model: str | None = None) -> gr.Blocks:
    """The page as a Gradio app, not yet started; its head is `launch.launch_options`'.

    Args:
        model: the model to start with: anything that `load_checkpoint` takes; the default if None.

    Raises:
        WeightsError: the model cannot be opened. Nothing is served then.
    """
    first = model or DEFAULT
    models = Models(list(dict.fromkeys([first, *list_checkpoints()])))
    decoder.warm_up()
    handlers = Handlers(models, first)
    title = words()["en"]["title"]
    with Page(
        title=title, analytics_enabled=False, delete_cache=(3600, 3 * 3600), fill_width=True
    ) as page:
        parts = SimpleNamespace(**_hidden(handlers))
        parts.header = gr.HTML(pieces.HEADER, js_on_load="CbamPage.head(element, trigger)")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280, elem_id="cv-given"):
                vars(parts).update(_given(models.named.names, handlers.opening.visit.example))
            with gr.Column(min_width=280, elem_id="cv-shown"):
                vars(parts).update(_shown(handlers.opening.visit.blocks, models.named.names))
        gr.HTML(pieces.FOOTER)
        _wire(page, parts, handlers)
        _wire_public(handlers, first)
    _open(parts, handlers)  # outside: what is made inside is shown
    page.on_mcp_server = lambda server: mcp_tool.install(
        server, handlers.explained, handlers.what_if
    )
    # Nobody gets past the queue by calling a function directly.
    page.queue(max_size=64, default_concurrency_limit=TAKEN, api_open=False)
    return page


def _hidden(handlers: Handlers) -> dict:
    """What is remembered of a visit, and what the browser says."""
    return {
        "desk": gr.State(handlers.opening, time_to_live=sessions.KEPT),
        "inside_wanted": gr.State(False),
        "link": gr.JSON(visible=False),
        "in_view": gr.Textbox(visible=False),  # name of the viewer's block
        "state": gr.Textbox(visible=False),  # the viewer's, as JSON
        "language": gr.Textbox(visible=False),
        "number": gr.Number(visible=False),  # of the link that is followed
        "linked_photo": gr.Textbox(visible=False),  # name of an example
        "linked_second": gr.Textbox(visible=False),
        "linked_model": gr.Textbox(visible=False),  # not the list: earlier answers go there
        # What a box shows in the place of a file that no browser does. Not the box itself: what is
        # given while a photo is looked at stays in it.
        "decoded": gr.Image(visible=False),
        "decoded_second": gr.Image(visible=False),
    }


def _given(models: list[str], example: str) -> dict:
    """The left column, in the order of use: photo, examples, models, what the network says."""
    t = translations()
    parts = {}
    parts["photo"] = photo_input(
        value=EXAMPLE_FILES[example],
        label=t("photo"),
        placeholder=t("drop"),
        sources=["upload", "webcam", "clipboard"],
        height=210,
        elem_id="cv-photo",
    )
    parts["notice"] = gr.HTML(elem_id="cv-notice")
    parts["examples"] = gr.Dataset(
        components=[parts["photo"]],
        samples=[[f] for f in EXAMPLE_FILES.values()],
        label=t("examples"),
        samples_per_page=len(EXAMPLE_FILES),
        elem_id="cv-examples",
    )
    with gr.Accordion(t("secondPhoto"), open=False):
        parts["second"] = photo_input(
            show_label=False,
            label=t("secondPhoto"),
            placeholder=t("drop"),
            sources=["upload", "clipboard"],
            height=200,
            elem_id="cv-second",
        )
        parts["second_examples"] = gr.Dataset(
            components=[parts["second"]],
            samples=[[f] for f in EXAMPLE_FILES.values()],
            label=t("examples"),
            samples_per_page=len(EXAMPLE_FILES),
            elem_id="cv-second-examples",
        )
    with gr.Accordion(t("anotherModel"), open=False):
        parts["chosen"] = gr.Dropdown(
            models,
            allow_custom_value=True,
            label=t("model"),
            info=t("modelInfo"),
            elem_id="cv-model",
        )
        parts["weights"] = gr.File(
            label=t("weights"),
            file_count="multiple",
            file_types=[*SUFFIXES, ".tar", *TEXTS, ".json"],
            height=120,
            elem_id="cv-weights",
        )
    parts["summary"] = gr.HTML(elem_id="cv-summary")
    parts["most"] = gr.Slider(1, MOST_PREDICTIONS, 5, step=1, label=t("howMany"), elem_id="cv-most")
    parts["classes"] = gr.HTML()
    return parts


def _shown(blocks: list[str], models: list[str]) -> dict:
    """The right column: every block, the inside of one, the course, experiments, a survey."""
    t = translations()
    parts = {}
    with gr.Tabs(overflow_behavior="wrap") as parts["tabs"]:
        with gr.Tab(t("everyBlock"), id=TABS[0]) as parts["outside_tab"]:
            parts["attention"] = viewer.component(elem_id="cv-viewer")
            with gr.Row():
                parts["zip"] = gr.Button(t("zip"), size="sm")
                parts["html"] = gr.Button(t("html"), size="sm")
                parts["file"] = gr.DownloadButton(visible="hidden", elem_id="cv-file")
            parts["whole"] = gr.Checkbox(label=t("whole"), elem_id="cv-whole", container=False)
            parts["packing"] = gr.HTML()
            with gr.Accordion(t("figures"), open=False):
                parts["table"] = gr.HTML()
        with gr.Tab(t("insideBlock"), id=TABS[1]) as parts["inside_tab"]:
            # In the constructor: a session's copy of a component is made of its arguments.
            parts["block"] = gr.Dropdown(blocks, label=t("block"), elem_id="cv-block")
            parts["inside"] = inside.component(elem_id="cv-inside")
        with gr.Tab(t("course"), id=TABS[2]) as parts["course_tab"]:
            parts["course"] = course.component(elem_id="cv-course")
        with gr.Tab(t("experiments"), id=TABS[3]) as parts["experiments_tab"]:
            parts["experiments"] = experiments.component(models, elem_id="cv-experiments")
        with gr.Tab(t("survey"), id=TABS[4]) as parts["survey_tab"]:
            gr.HTML(pieces.REPORT, js_on_load="CbamPage.openReports(element)")
    return parts


#: What a look changes, in the order of `Handlers.shown`.
LOOKED = "notice", "summary", "classes", "attention", "table", "block", "chosen", "link"


def _open(p: SimpleNamespace, handlers: Handlers) -> None:
    """A first visit shows an example at once: it comes with the page."""
    shown = handlers.shown(handlers.opening.visit, "", p.most.value)
    for name, value in zip(LOOKED, shown, strict=True):
        component = getattr(p, name)
        component.value = value.value if isinstance(value, gr.HTML | gr.Dropdown) else value


def _wire(page: gr.Blocks, p: SimpleNamespace, handlers: Handlers) -> None:
    """What leads to what."""
    looking = {
        "outputs": [getattr(p, name) for name in LOOKED],
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": [p.photo],
        "trigger_mode": "always_last",
        **LOOKS,
    }
    looking_inside = {
        "fn": handlers.look_inside,
        "outputs": [p.inside, p.block],
        "api_visibility": "private",
        "show_progress": "minimal",
        "trigger_mode": "always_last",
        **LOOKS,
    }
    # Both tabs show one block: the viewer's leads, the list over the inside changes it.
    viewers_block = {
        "inputs": [p.desk, p.in_view, p.inside_wanted],
        "js": "(desk, _, wanted) => [desk, CbamPage.block(), wanted]",
    }
    arrived = {"fn": None, "inputs": [p.link, p.notice], **PRIVATE}
    arrived["js"] = "(link, fault) => CbamPage.arrived(link, fault)"
    arrived_by_link = {"fn": None, "inputs": [p.link], **PRIVATE}
    arrived_by_link["js"] = "(link) => CbamPage.followed(link)"
    now = [p.desk, p.block, p.most]
    photo_looking = looking | {"outputs": [*looking["outputs"], p.decoded]}
    second_looking = looking | {"outputs": [*looking["outputs"], p.decoded_second]}
    second_looking["show_progress_on"] = [p.second]
    first = {"fn": lambda sample: sample and sample[0], **PRIVATE}
    pick = p.examples.click(inputs=p.examples, outputs=p.photo, **first)
    pick_second = p.second_examples.click(inputs=p.second_examples, outputs=p.second, **first)
    named = [p.number, p.linked_photo, p.linked_second, p.linked_model]
    linked = [*named, p.tabs, p.inside_wanted, *_tabs(p)]
    following = {"fn": handlers.follow, "inputs": [p.link], "outputs": linked, **PRIVATE}
    began = page.load(js="() => CbamPage.begin()", **following)
    asked = "() => CbamPage.asked()"
    moved = p.header.submit(js=asked, trigger_mode="always_last", **following)
    # The photo that is shown stays, if the link names none.
    last = {"trigger_mode": "always_last", **PRIVATE}
    for followed in (began, moved):
        followed.success(EXAMPLE_FILES.get, [p.linked_photo, p.photo], p.photo, **last)
        followed.success(handlers.second_box, [p.linked_second, p.second], p.second, **last)
    # What the visitor gives is heard of as `input`; `change` comes twice for one photo.
    photo_looked = (
        p.photo.input(handlers.take_photo, [p.photo, *now], **photo_looking),
        pick.success(handlers.take_photo, [p.photo, *now], **photo_looking),
    )
    second_looked = (
        p.second.input(handlers.take_second, [p.second, *now], **second_looking),
        pick_second.success(handlers.take_second, [p.second, *now], **second_looking),
    )
    for looks, box, decoded in (
        (photo_looked, p.photo, p.decoded),
        (second_looked, p.second, p.decoded_second),
    ):
        for looked in looks:
            looked.then(None, [decoded, box], box, js="CbamPage.boxed", **PRIVATE)
    for looked in (
        *photo_looked,
        *second_looked,
        p.chosen.input(handlers.take_model, [p.chosen, *now], **looking),
        p.weights.change(handlers.take_weights, [p.weights, *now], **looking),
    ):
        looked.then(**arrived).then(**looking_inside, **viewers_block)
    for followed in (began, moved):
        looked = followed.success(handlers.take_link, [*named, *now], **looking)
        looked.then(**arrived_by_link).then(**looking_inside, **viewers_block)
        for step in (followed, looked):
            step.failure(None, p.link, None, js="(link) => CbamPage.unfollowed(link)", **PRIVATE)

    leave = "() => CbamPage.note({ tab: null })"
    p.outside_tab.select(lambda: False, None, p.inside_wanted, js=leave, **PRIVATE)
    enter = "() => CbamPage.note({ tab: 'inside' })"
    opened = p.inside_tab.select(lambda: True, None, p.inside_wanted, js=enter, **PRIVATE)
    opened.then(**looking_inside, **viewers_block)
    study = "() => CbamPage.note({ tab: 'course' })"
    p.course_tab.select(lambda: False, None, p.inside_wanted, js=study, **PRIVATE)
    p.course.select(handlers.study, [p.desk], [p.course], trigger_mode="multiple", **PRIVATE)
    experiment = "() => CbamPage.note({ tab: 'experiments' })"
    p.experiments_tab.select(lambda: False, None, p.inside_wanted, js=experiment, **PRIVATE)
    survey = "() => CbamPage.note({ tab: 'survey' })"
    p.survey_tab.select(lambda: False, None, p.inside_wanted, js=survey, **PRIVATE)
    asking = {"inputs": [p.desk], "outputs": [p.experiments], "trigger_mode": "multiple", **PRIVATE}
    p.experiments.select(handlers.experiment, **asking)
    stepping = p.experiments.steps(handlers.experiment_steps, **asking)
    p.experiments.stop(None, cancels=[stepping], **PRIVATE)
    p.block.input(inputs=[p.desk, p.block, p.inside_wanted], **looking_inside)
    p.block.input(None, [p.block], None, js="(block) => CbamPage.show(block)", **PRIVATE)
    p.attention.select(
        handlers.features, [p.desk], [p.attention], trigger_mode="multiple", **LOOKS, **PRIVATE
    )
    p.most.change(
        handlers.summarise, [p.desk, p.most], p.summary, trigger_mode="always_last", **PRIVATE
    )

    fetch = {"js": "() => document.querySelector('#cv-file').click()", **PRIVATE}
    # One at a time: of a large photo's full size each takes up to a gigabyte.
    packed = p.zip.click(
        handlers.pack, [p.desk, p.whole], [p.packing, p.file], concurrency_limit=1, **PRIVATE
    )
    packed.success(None, None, None, **fetch)
    state = "(desk) => [desk, JSON.stringify(CbamPage.view())]"
    bound = p.html.click(
        handlers.bind, [p.desk, p.state], p.file, js=state, api_visibility="private", **LOOKS
    )
    bound.success(None, None, None, **fetch)

    turn = "() => CbamPage.turn()"
    p.header.select(handlers.tab_names, [p.language], _tabs(p), js=turn, **PRIVATE)


def _tabs(p: SimpleNamespace) -> list[gr.Tab]:
    """The tabs, in the order of `TABS`."""
    return [p.outside_tab, p.inside_tab, p.course_tab, p.experiments_tab, p.survey_tab]


def _wire_public(handlers: Handlers, first: str) -> None:
    """The public functions, for gradio_client and plain HTTP; MCP's are `mcp_tool`'s.

    They have components of their own so that a file arrives here as it was sent.
    """
    with gr.Row(visible=False):
        model = gr.Textbox(first, label="model")
        top_k = gr.Number(PREDICTIONS, label="top_k", precision=0)
        gates = gr.JSON(label="gates")
        for given in (model, top_k, gates):
            given.preprocess = lambda value: value  # whatever it is: the handler finds the words
        api = photo_input(label="photo"), model, top_k
        answer = gr.JSON(label="explanation")
        gr.Button().click(handlers.explain, list(api), answer, api_name="explain", **LOOKS)
        trial, told = [api[0], gates, model, top_k], gr.JSON(label="answer")
        gr.Button().click(handlers.what_if, trial, told, api_name="what_if", **LOOKS)
