"""The page's words, in English and in Chinese; those that the viewer says too are the viewer's."""

import html
from functools import cache

import gradio as gr

from . import bundle

SHARED = ("language", "predictions", "spatialGate", "channelGate", "constant")
SHARED += ("min", "mean", "max", "deviation")


@cache
def words() -> dict[str, dict[str, str]]:
    """All of them: by language, by key."""
    own, shared = bundle.strings("page"), bundle.strings("viewer")
    return {lang: own[lang] | {key: shared[lang][key] for key in SHARED} for lang in own}


@cache
def translations() -> gr.I18n:
    """For Gradio's components: ``translations()(key)`` stands for the words in any language."""
    en, zh = words()["en"], words()["zh"]
    return gr.I18n(**{"en": en, "zh": zh, "zh-CN": zh, "zh-TW": zh})


def both(key: str, **values: object) -> str:
    """The words as HTML in every language; the style sheet shows the page's."""
    escaped = {name: html.escape(str(value)) for name, value in values.items()}
    return in_each({lang: own[key].format_map(escaped) for lang, own in words().items()})


def said(key: str, **values: object) -> str:
    """The words as plain text in every language, for what is shown as it is."""
    return " / ".join(own[key].format_map(values) for own in words().values())


def in_each(texts: dict[str, str]) -> str:
    """HTML of which the style sheet shows the part in the page's language."""
    return "".join(f'<span class="cv-word" lang="{k}">{text}</span>' for k, text in texts.items())
