"""The page's pieces of HTML: header, footer, what a photo gave in figures."""

import html
from collections.abc import Sequence

import torch

from .. import __version__
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation, Prediction
from ..explain.photo_errors import PhotoError
from .visitors import without_folders
from .words import both, in_each, words


def _switch() -> str:
    """A button for each language that the page is not in."""

    def button(lang: str) -> str:
        name = words()[lang]["language"]
        return f'<button type="button" lang="{lang}">{name}</button>'

    return in_each({lang: "".join(button(k) for k in words() if k != lang) for lang in words()})


HEADER = f"""
<header id="cv-header">
  <div><h1>CBAM Viz</h1><p>{both("lead")}</p></div>
  <nav>
    <button type="button" id="cv-present" aria-pressed="false">{both("present")}</button>
    {_switch()}
  </nav>
</header>
"""

#: A survey's report, chosen and shown by the browser alone. Its frame is of nobody's origin: what
#: it runs reaches neither the page nor the server.
REPORT = f"""
<div class="cv-report">
  <p>{both("reportLead")}</p>
  <label>{both("reportOpen")} <input type="file" accept=".html,text/html"></label>
  <p role="alert" hidden>{both("noReport")}</p>
  <iframe sandbox="allow-scripts" hidden></iframe>
</div>
"""

FOOTER = f'<footer id="cv-footer">CBAM Viz {__version__} · {both("credits")}</footer>'


def summary(explanation: Explanation, opened: list[str], most: int) -> str:
    """Which model, how long, on what, and what it says, as HTML."""
    said = explanation.predictions[:most]
    level = explanation.model.unsure_below
    doubt = ""
    if level is not None and said[0].probability < level:
        doubt = f'<p class="cv-unsure">{both("unsure", level=f"{100 * level:.0f}")}</p>'
    return _predictions(said) + doubt + _status(explanation, opened)


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


def table(explanation: Explanation) -> str:
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
    # How the gates of the bundled models came by what they show.
    about = f"model_{explanation.model.name}"
    learnt = f"<br>{both(about)}" if about in words()["en"] else ""
    notes = "".join(f"<br>{html.escape(note)}" for note in explanation.model.notes)
    return f"<p class='cv-status'>{' · '.join(parts)}{learnt}{notes}</p>"


def classes(explainer: Explainer) -> str:
    """What the network can know at all: how many classes, and which, one click away."""
    names = list(zip(explainer.classes, explainer.classes_zh or explainer.classes, strict=True))

    def listed(lang: str, which: int) -> str:
        items = "".join(f"<li>{html.escape(pair[which])}</li>" for pair in sorted(names))
        return f'<ul class="cv-word" lang="{lang}" tabindex="0">{items}</ul>'

    summary = both("knows", count=len(names))
    lists = listed("en", 0) + listed("zh", 1)
    return f'<details class="cv-known"><summary>{summary}</summary>{lists}</details>'


def progress(share: float) -> str:
    """How far the zip has got, from 0 to 1."""
    label = both("packing")
    return f'<label class="cv-packing">{label}<progress value="{share:.3f}"></progress></label>'


def fault(error: Exception) -> str:
    """Why something could not be done; what the core says of it is one click away."""
    key = "notExplained" if isinstance(error, PhotoError) else "notOpened"
    said = html.escape(without_folders(str(error)))
    details = f"<details><summary>{both('details')}</summary>{said}</details>"
    return f'<div role="alert" class="cv-fault">{both(key)}{details}</div>'
