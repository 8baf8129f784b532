"""The figures of an evaluation as text, and as files for the model card."""

import io
import json
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ..render.lettering import tick_names
from .attention import Attention, MapFigures, Maps
from .evaluate import Evaluation
from .predictions import CALIBRATION_BINS, Accuracy, Predictions

#: More classes than this are listed in the JSON alone: a bar or a line each would be pages.
MOST_LISTED = 200

# Of Okabe and Ito's palette, which every kind of colour vision tells apart.
_BLUE, _VERMILION = "#0072b2", "#d55e00"


def table(result: Evaluation) -> str:
    """The figures as plain text."""
    found = result.predictions
    chance = found.calibration_error_by_chance
    lines = [
        f"{result.model}: {found.photos} whole photos, short side {result.short_side} px,"
        f" {len(result.broken)} broken, {result.seconds:.0f} s",
        "",
        *_aligned(
            ["", "photos", "top-1", "top-5"],
            [["all", *_cells(found)], *([n, *_cells(r)] for n, r in found.sources.items())],
        ),
        "",
        f"calibration error ({CALIBRATION_BINS} bins): {found.calibration_error:.3f}; a perfect "
        f"one's, of so many photos: {chance.mean:.3f} on average, 95 % below {chance.most:.3f}",
        f"unsure_below: {found.unsure_below:.2f}, the probability below which more answers were "
        "wrong than right",
        "",
        *_classes(found),
    ]
    if found.confusions:
        rows = [
            [f"{c.true} -> {c.predicted}", str(c.photos), f"{c.share_of_true:.1%}"]
            for c in found.confusions
        ]
        lines += [
            "",
            "Taken for another",
            *_aligned(["true -> predicted", "photos", "share"], rows),
        ]
    rows = [
        [name] + [f"{f:.3f}" for s in (g.spatial, g.channel) for f in (s.range, s.deviation)]
        for name, g in found.gates.items()
    ]
    heads = ["block", "spatial range", "deviation", "channel range", "deviation"]
    lines += ["", "Gates, how far from constant (means over photos)", *_aligned(heads, rows)]
    if attention := result.attention:
        lines += [
            "",
            f"Attention on the object: {attention.crops} off-centre crops of "
            f"{attention.annotated} annotated photos "
            f"({attention.without_crop} have no such crop), seed {attention.seed}",
        ]
        if attention.maps:
            rows = [
                [name, f"{m.auc:.3f} +- {m.auc_standard_error:.3f}"]
                + [f"{f:.3f}" for f in (m.pointing, m.mass, m.mass_ratio)]
                for name, m in _named_maps(attention.maps)
            ]
            heads = ["map", "pixel AUC", "pointing", "mass", "mass / area"]
            lines += [
                f"The object covers {attention.area:.1%}. Grad-CAM is of the "
                f"{attention.grad_cam_class} class.",
                *_aligned(heads, rows),
            ]
    return "\n".join(lines)


def _classes(found: Predictions) -> list[str]:
    """Lines with the accuracy of every class."""
    if len(found.classes) > MOST_LISTED:
        return [f"{len(found.classes)} classes have photos; evaluation.json lists them"]
    classes = sorted(found.classes.items(), key=lambda item: (item[1].top1, item[0]))
    columns = 3
    deep = -(-len(classes) // columns)
    rows = []
    for i in range(deep):
        row = [[name, *_cells(r)[:2]] for name, r in classes[i::deep]]
        rows.append(sum(row + [["", "", ""]] * (columns - len(row)), []))
    return ["Classes, the worst first", *_aligned(["class", "photos", "top-1"] * columns, rows)]


def _cells(row: Accuracy | Predictions) -> list[str]:
    return [str(row.photos), f"{row.top1:.1%}", f"{row.top5:.1%}"]


def _named_maps(maps: Maps) -> list[tuple[str, MapFigures]]:
    return [
        *maps.blocks.items(),
        ("mean over blocks", maps.mean_over_blocks),
        ("centre prior", maps.centre_prior),
        *((f"Grad-CAM {block}", m) for block, m in maps.grad_cam.items()),
    ]


def _aligned(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines with numbers to the right of their columns and all else to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    numbers = [c[:1].isdigit() or not c for c in rows[0]]
    return [
        "  ".join(
            cell.rjust(w) if number else cell.ljust(w)
            for cell, w, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in [head, *rows]
    ]


def save(result: Evaluation, folder: Path) -> list[Path]:
    """Write ``evaluation.json`` and the plots for the model card.

    Returns:
        The files: the JSON, ``accuracy.png`` (a bar for every class, for at most `MOST_LISTED`)
        and, if attention was judged, ``attention.png`` (pixel AUC of every block, beside
        Grad-CAM's and the centre prior's).
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "evaluation.json"]
    text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False) + "\n"
    files[0].write_text(text, "utf-8")
    plots = {}
    if len(result.predictions.classes) <= MOST_LISTED:
        plots["accuracy.png"] = _plot_classes(result.predictions)
    if (attention := result.attention) and attention.maps:
        plots["attention.png"] = _plot_attention(attention, attention.maps)
    for name, figure in plots.items():
        files.append(folder / name)
        drawn = io.BytesIO()
        figure.savefig(drawn)
        # A few colours are enough, at a third of the size.
        Image.open(drawn).convert("RGB").quantize(64).save(files[-1], optimize=True)
    return files


def _plot_classes(found: Predictions) -> Figure:
    """A bar for every class, the best first, down one column after the other."""
    classes = sorted(found.classes.items(), key=lambda item: (-item[1].top1, item[0]))
    columns = min(3, -(-len(classes) // 40))  # more would be wider than a page
    deep = -(-len(classes) // columns)
    figure = Figure((max(5, 3.6 * columns), 1.2 + 0.17 * deep), dpi=120, layout="constrained")
    figure.suptitle(
        f"Top-1 accuracy of each class (its photos)\nThe line: {found.top1:.1%} of all "
        f"{found.photos:,} photos",
        fontsize=10,
    )
    for i, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        some = classes[i * deep : (i + 1) * deep]
        places = range(len(some))
        axes.barh(places, [r.top1 for _, r in some], color=_BLUE)
        for place, (_, r) in zip(places, some, strict=True):  # beside all bars: clear of the line
            axes.text(1.17, place, f"{r.top1:.0%}", fontsize=7, ha="right", va="center_baseline")
        axes.axvline(found.top1, color=_VERMILION, linewidth=1)
        names = [f"{name} ({r.photos})" for name, r in some]
        tick_names(axes, names, [n.encode("ascii", "backslashreplace").decode() for n in names], 7)
        axes.tick_params(axis="y", length=0)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=7)
        axes.set(xlim=(0, 1.2), ylim=(deep - 0.4, -0.6))  # the last column may be shorter
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_attention(attention: Attention, maps: Maps) -> Figure:
    """The pixel AUC of every block's gate, beside all that it has to be better than."""
    blocks, cams = maps.blocks, maps.grad_cam
    figure = Figure((max(7, 1.5 + 0.36 * len(blocks)), 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    gates = axes.errorbar(
        list(blocks),
        [b.auc for b in blocks.values()],
        [2 * b.auc_standard_error for b in blocks.values()],
        fmt="o-",
        color=_BLUE,
        linewidth=1,
        capsize=3,
        label="spatial gate (2 standard errors)",
    )
    (grad_cam,) = axes.plot(
        list(cams),
        [c.auc for c in cams.values()],
        "D",
        color=_VERMILION,
        label=f"Grad-CAM of the block, {attention.grad_cam_class} class",
    )
    lines = [
        axes.axhline(auc, color=colour, linestyle=style, linewidth=1, label=f"{name}, {auc:.3f}")
        for name, auc, colour, style in (
            ("mean over blocks", maps.mean_over_blocks.auc, _BLUE, "-."),
            ("centre prior", maps.centre_prior.auc, "black", "--"),
            ("chance", 0.5, "grey", ":"),
        )
    ]
    axes.set_xticks(
        range(len(blocks)), list(blocks), rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set(ylabel="pixel AUC", title=f"Attention on the object, {attention.crops:,} crops")
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=[gates, grad_cam, *lines], loc="outside lower center", ncols=3, fontsize=8
    )
    return figure
