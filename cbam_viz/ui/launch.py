"""Serving the page."""

import gradio as gr
from starlette.middleware import Middleware

from . import bundle
from .examples import EXAMPLES
from .page import build
from .visitors import Door
from .words import translations

#: Largest upload: the weights of a ResNet-101-CBAM have 198 MB.
MAX_UPLOAD = "250mb"


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
        "head": f"{bundle.head()}<script>window.CbamPage = CbamViz.startPage();</script>",
        "i18n": translations(),
        "max_file_size": MAX_UPLOAD,
        "mcp_server": True,
        "app_kwargs": {"middleware": [Middleware(Door)]},
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api", "gradio"],
        "allowed_paths": [str(EXAMPLES)],
    }
