"""A survey's report as one page: both languages, no network, nothing but itself."""

import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

import pandas as pd

from .. import __version__
from ..explain.explanation import NEARLY_CONSTANT
from .findings import Findings

#: Lines of the page's tables; the files have them all.
LINES = 20

_HOME = files("cbam_viz.survey")
#: As HTML calls them.
LANGUAGES = {"en": "en", "zh": "zh-Hans"}
#: What the page and the plots say, by language.
STRINGS = json.loads((_HOME / "strings.json").read_text("utf-8"))


def page(
    found: Findings,
    block: str,
    tables: dict[str, pd.DataFrame],
    plots: dict[str, dict[str, str]],
    gallery: list[dict],
    elsewhere: dict[str, list[dict]],
    missing: int,
    seconds: float,
) -> str:
    """The whole page.

    Args:
        found: what the survey says.
        block: whose maps are shown by class and by photo.
        tables: of `report.tables_of`.
        plots: data URLs by language and name; of languages that cannot be drawn here none.
        gallery: pictures of the block: picture, photo, class, label, right, which, mean.
        elsewhere: by block, pictures in pairs: plain, over, photo, class, top_label, agreed.
        missing: photos that are not where they were.
        seconds: that it took.
    """
    manifest = found.manifest
    title = {"photos": f"{len(found.photos):,}", "model": manifest.model}
    parts = [
        f"<header><div><h1>{_text('title', **title)}</h1></div>"
        f'<button id="language">{_text("language")}</button></header>',
        f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in _facts(found, tables))}</ul>',
        f'<p class="soft">{_text("about")}</p>',
        _section("blocks"),
        _plot("blocks", plots, "blocks"),
    ]
    if "explained" in plots["en"]:
        columns = ["block", "channel", "explained", "highest_class", "highest_mean",
                   "lowest_class", "lowest_mean"]  # fmt: skip
        parts += [_section("channels"), _plot("explained", plots, "channels")]
        telling = tables["channels"].dropna(subset="explained")
        parts += [_table(telling[columns].head(LINES)), _by_block(found, block, plots)]
    parts += [_section("where", block=block), _plot("mean-maps", plots, "where")]
    parts += [_plot("maps", plots, "where")]
    parts += [_section("still"), _plot("movement", plots, "still"), _table(tables["blocks"])]
    if elsewhere:
        parts.append(_section("elsewhere"))
        for name, pairs in elsewhere.items():
            pictures = "".join(_pair(one) for one in pairs)
            parts.append(f'<h3>{escape(name)}</h3><div class="pictures">{pictures}</div>')
    if "right-wrong" in plots["en"]:
        parts += [_section("right_wrong"), _plot("right-wrong", plots, "right_wrong")]
        parts += [_table(tables["right_wrong"])]
    parts += [_section("gallery", block=block)]
    if missing:
        parts.append(f"<p>{_text('missing', missing=missing)}</p>")
    parts += [_choices(gallery), f'<div class="pictures" id="gallery">{_figures(gallery)}</div>']
    sha256 = (manifest.model_sha256 or "?")[:16]
    facts = {"version": __version__, "seconds": f"{seconds:.0f}", "sha256": sha256}
    parts.append(f'<footer class="soft">{_text("files", **facts)}</footer>')
    template = Template((_HOME / "report.html").read_text("utf-8"))
    plain = escape(STRINGS["en"]["title"].format(**title))
    return template.substitute(title=plain, body="\n".join(parts))


def _facts(found: Findings, tables: dict[str, pd.DataFrame]) -> list[str]:
    """What strikes first, a sentence each."""
    manifest, blocks = found.manifest, tables["blocks"]
    facts = []
    if manifest.untrained:
        facts.append(f"<strong>{_text('untrained')}</strong>")
    if found.pieces < manifest.pieces:
        facts.append(_text("fact_partial", done=found.pieces, pieces=manifest.pieces))
    if len(found.errors):
        facts.append(_text("fact_errors", errors=len(found.errors)))
    known = found.photos["right"].dropna()
    kind = "fact_classes" if found.labelled else "fact_classes_predicted"
    facts.append(_text(kind, classes=len(found.classes)))
    if len(known):
        facts.append(_text("fact_right", right=f"{known.mean():.1%}", known=f"{len(known):,}"))
    limit = f"{NEARLY_CONSTANT:g}"
    if blocks["median_explained"].notna().any():
        best = blocks.loc[blocks["median_explained"].astype(float).idxmax()]
        median = f"{best['median_explained']:.0%}"
        facts.append(_text("fact_telling", block=best["block"], median=median))
    still, channels = blocks["channels_that_never_move"].sum(), blocks["channels"].sum()
    facts.append(_text("fact_still", still=f"{still:,}", channels=f"{channels:,}", limit=limit))
    flat = blocks.loc[blocks["maps_nearly_constant"].idxmax()]
    share = f"{flat['maps_nearly_constant']:.0%}"
    facts.append(_text("fact_flat", block=flat["block"], share=share, limit=limit))
    if blocks["agreement"].notna().any():
        least = blocks.loc[blocks["agreement"].idxmin()]
        agreed = _number(least["agreement"], 2)
        facts.append(_text("fact_unlike", block=least["block"], agreement=agreed))
    return facts


def _by_block(found: Findings, block: str, plots: dict[str, dict[str, str]]) -> str:
    """The matrices of all blocks, one at a time."""
    options = "".join(
        f"<option{' selected' if name == block else ''}>{escape(name)}</option>"
        for name in found.channels
    )
    matrices = "".join(
        f'<div class="plot" data-block="{escape(name)}"{"" if name == block else " hidden"}>'
        f"{_pictures(f'channels-{name}', plots, 'channels')}</div>"
        for name in found.channels
    )
    choice = f'<label>{_text("choose_block")}<select id="block">{options}</select></label>'
    return f'<div class="bar">{choice}</div>{matrices}'


def _choices(gallery: list[dict]) -> str:
    """What the gallery can be narrowed to."""
    classes = [
        f'<option value="{escape(name)}">{escape(name)}</option>'
        for name in sorted({one["class"] for one in gallery})
    ]
    kinds = {_answer(one) for one in gallery}
    answers = [_option(k, k) for k in ("right", "wrong", "unknown") if k in kinds]
    which = [_option(k, k) for k in ("most", "least")]
    bars = []
    for name, options in (("class", classes), ("right", answers), ("which", which)):
        inside = _option("", "all") + "".join(options)
        bars.append(f'<label>{_text(f"by_{name}")}<select id="by-{name}">{inside}</select></label>')
    return f'<div class="bar">{"".join(bars)}<span id="count" class="soft"></span></div>'


def _figures(gallery: list[dict]) -> str:
    return "".join(
        f'<figure data-class="{escape(one["class"])}" data-right="{_answer(one)}" '
        f'data-which="{one["which"]}" title="{escape(one["photo"])}">'
        f'<img src="{one["picture"]}" alt="" loading="lazy" /><figcaption>'
        f"<strong>{escape(one['class'])}</strong><br />"
        f"{_text('mean', mean=_number(one['mean'], 3))}"
        + (f'<br /><span class="wrong">{_text("said", label=one["label"])}</span>'
           if one["right"] is False else "")
        + "</figcaption></figure>"
        for one in gallery
    )  # fmt: skip


def _pair(one: dict) -> str:
    agreed = _number(one["agreed"], 2)
    return (
        f'<figure class="pair" title="{escape(one["photo"])}">'
        f'<img src="{one["plain"]}" alt="" /> <img src="{one["over"]}" alt="" /><figcaption>'
        f"<strong>{escape(one['class'] or one['top_label'])}</strong>, "
        f"{_text('agreement', agreed=agreed)}"
        "</figcaption></figure>"
    )


def _answer(one: dict) -> str:
    return {None: "unknown", True: "right", False: "wrong"}[one["right"]]


def _section(name: str, **values) -> str:
    return f"<h2>{_text(name, **values)}</h2><p>{_text(f'{name}_text', **values)}</p>"


def _plot(name: str, plots: dict[str, dict[str, str]], section: str) -> str:
    return f'<div class="plot">{_pictures(name, plots, section)}</div>'


def _pictures(name: str, plots: dict[str, dict[str, str]], section: str) -> str:
    """A plot in every language that there is a font for."""
    return "".join(
        f'<img src="{pictures[name]}" alt="{escape(STRINGS[language][section])}" loading="lazy"'
        + (f' lang="{LANGUAGES[language]}" />' if len(plots) > 1 else " />")
        for language, pictures in plots.items()
    )


def _table(table: pd.DataFrame) -> str:
    numbers = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]

    def row(cells: Iterable[str], tag: str) -> str:
        inside = "".join(
            f"<{tag}{' class=number' if number else ''}>{cell}</{tag}>"
            for cell, number in zip(cells, numbers, strict=True)
        )
        return f"<tr>{inside}</tr>"

    head = row((_text(f"column_{name}") for name in table.columns), "th")
    body = "".join(
        row((escape(_cell(cell)) for cell in cells), "td")
        for cells in table.itertuples(index=False)
    )
    return f'<div class="table"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else _number(value, 3)
    return str(value)


def _text(name: str, **values) -> str:
    """A string in both languages, of which the page shows one."""
    return "".join(
        f'<span lang="{code}">{escape(STRINGS[language][name].format(**values))}</span>'
        for language, code in LANGUAGES.items()
    )


def _option(value: str, name: str) -> str:
    """One of a choice. Its words cannot be hidden in part: the page's script changes them."""
    en, zh = (escape(STRINGS[language][name]) for language in LANGUAGES)
    return f'<option value="{value}" data-en="{en}" data-zh="{zh}">{en}</option>'


def _number(value: float, digits: int) -> str:
    """With a minus sign as the plots have it."""
    return f"{value:.{digits}f}".replace("-", "−")
