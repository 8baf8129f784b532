"""The command line. What takes time to import is imported by the command that needs it."""

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .explain.photo_files import find_photos, folder_names

if TYPE_CHECKING:
    from .explain.explainer import Explainer
    from .explain.interventions import Setting


def main(argv: list[str] | None = None) -> int:
    """Run one command and give its exit status: 0 done, 1 something failed, 2 wrong usage."""
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name or a class may hold what the terminal's encoding has not, or no encoding has.
            # In JSON the escape of such a byte, \\udcff, is the one that JSON has for it too.
            stream.reconfigure(errors="backslashreplace")
    if getattr(arguments, "json", False) and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        return arguments.run(arguments)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stdout = None  # what is left in it is not tried again at the end
        return 141
    except UnicodeError:  # a ValueError too, but never one of our own
        raise
    except (ValueError, OSError) as error:  # our own errors are ValueErrors that explain themselves
        print(f"cbam-viz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cbam-viz",
        description="See how a ResNet with the Convolutional Block Attention Module (CBAM) pays "
        "attention.",
        epilog="cbam-viz COMMAND --help tells more of each.",
    )
    parser.add_argument("--version", action="version", version=f"cbam-viz {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run, words: str) -> argparse.ArgumentParser:
        p = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        p.set_defaults(run=run)
        return p

    p = command("explain", _explain, "explain photos: predictions and every block's attention")
    p.add_argument("photos", nargs="+", metavar="PHOTO", type=_given,
                   help="a file, a folder, or a glob")  # fmt: skip
    p.add_argument(
        "--out", type=_folder, metavar="DIR", help="write pictures, arrays and JSON here"
    )
    p.add_argument("--json", action="store_true", help="print one JSON object a photo, a line each")
    p.add_argument(
        "--html", action="store_true", help="also write the viewer as one file that works offline"
    )
    _model(p)
    p.add_argument("--classes", metavar="FILE", type=_given,
                   help="class names: one a line, CSV, JSON, YAML; if it brings none")  # fmt: skip
    p.add_argument("--planes", choices=("max-mean", "mean-max"),
                   help="what its spatial attention sees, if nothing tells")  # fmt: skip
    p.add_argument("--activation", choices=("softmax", "sigmoid"),
                   help="one class is right, or each is for itself, if nothing tells")  # fmt: skip
    p.add_argument("--top-k", type=int, default=5, metavar="K", help="predictions (default 5)")
    p.add_argument("--view", choices=("whole", "crop"), default="whole",
                   help="the whole photo (default) or the evaluation crop")  # fmt: skip
    p.add_argument("--blocks", nargs="+", metavar="NAME", help="only these, e.g. layer4.1")
    p.add_argument("--mode", default="multiply", help="multiply (default), heat, contour or cells")
    p.add_argument("--colours", default="magma", metavar="TABLE",
                   help="magma (default), viridis, inferno, cividis, turbo or jet")  # fmt: skip
    p.add_argument("--opacity", type=float, metavar="SHARE", help="of the colours, 0 to 1")
    p.add_argument("--scale", help="absolute: 0 to 1 (default); stretched: each map's own range")
    p.add_argument("--keep", type=float, metavar="SHARE",
                   help="of the attention, inside the contour (default 0.5)")  # fmt: skip

    p = command("whatif", _whatif, "set gates by hand and see what changes, or which one matters")
    p.add_argument("photo", metavar="PHOTO", type=_given, help="a file")
    p.add_argument("--gate", action="append", default=[], metavar="NAME=SETTING", dest="gates",
                   help="layer3.1.spatial=open, for example; a setting is open (1), shut (0), "
                   "half, mean, shuffled, inverted, a number to multiply with, a .npy file of "
                   "values, or another photo, whose gate is taken; may be given several times. "
                   "Without any, each gate is set to its mean, alone")  # fmt: skip
    p.add_argument("--json", action="store_true", help="print one JSON object")
    _model(p)
    p.add_argument("--top-k", type=int, default=5, metavar="K", help="predictions (default 5)")

    p = command("survey", _survey, "look at many photos: every block's gates, as Parquet; "
                "survey report DIR tells what they say")  # fmt: skip
    p.add_argument("photos", nargs="+", metavar="PHOTOS",
                   help="files, folders, class folders, globs, Parquet or WebDataset shards; "
                   "addresses of any of these (s3://, https://, ...); or: report DIR")  # fmt: skip
    p.add_argument("--out", type=_folder, metavar="DIR",
                   help="the survey; given again, it goes on where it was stopped")  # fmt: skip
    p.add_argument("--block", metavar="NAME",
                   help="report: whose maps it shows by class and photo")  # fmt: skip
    _model(p)
    p.add_argument("--top-k", type=int, default=5, metavar="K", help="predictions (default 5)")
    p.add_argument("--view", choices=("whole", "crop"), default="whole",
                   help="the whole photo (default) or the evaluation crop")  # fmt: skip
    p.add_argument("--workers", type=int, metavar="N",
                   help="processes, of one core each (default: a process a core)")  # fmt: skip
    p.add_argument("--address", metavar="HOST:PORT",
                   help="of a Ray cluster that this machine is in, or auto; every machine of it "
                   "needs this package, and DIR and the photos under the same paths")  # fmt: skip

    p = command("serve", _serve, "start the page, its HTTP API and MCP server")
    _model(p)
    p.add_argument("--host", help="address to listen on (default: $GRADIO_SERVER_NAME, or "
                   "127.0.0.1)")  # fmt: skip
    p.add_argument("--port", type=int, help="default: $GRADIO_SERVER_PORT, or 7860")

    command("models", _models, "list the models that can be named")

    p = command("train", _train, "train a model by a recipe, or go on with a stopped run")
    p.add_argument("--recipe", required=True, metavar="NAME", help="its name, or a .toml file")
    p.add_argument("--data", required=True, metavar="DIR",
                   help="photos by class, or a data set of torchvision's by its name; for a "
                   'recipe of classes = "imagenet" train/ and val/, each with a labels.json of '
                   "its photos' classes, which train/ can do without")  # fmt: skip
    p.add_argument(
        "--out", required=True, type=_folder, metavar="DIR", help="checkpoint, log, model"
    )
    p.add_argument("--init", metavar="WEIGHTS", help="start from these instead of the recipe's")
    p.add_argument("--plain", action="store_true", help="the same network without its attention")
    p.add_argument("--workers", type=int, metavar="N", help="processes that decode photos")

    p = command("evaluate", _evaluate, "judge a model: accuracy, calibration, where it looks")
    _model(p)
    p.add_argument("--data", required=True, type=Path, metavar="DIR",
                   help="photos by class, or a folder that holds them as val/")  # fmt: skip
    p.add_argument("--labels", type=Path, metavar="FILE",
                   help="JSON: the class's index by file name in DIR; class folders are not needed "
                   "then")  # fmt: skip
    p.add_argument("--annotations", type=Path, metavar="FILE", help="JSON: where the objects are")
    p.add_argument("--objects", type=Path, metavar="DIR",
                   help="the annotated photos, of any classes, where they are not in --data; "
                   "Grad-CAM is then that of the predicted class")  # fmt: skip
    p.add_argument(
        "--out", type=_folder, metavar="DIR", help="write evaluation.json and plots here"
    )

    p = command("bench", _bench, "measure speed and memory on this machine")
    p.add_argument("--rounds", type=int, default=20, help="of everything in turn (default 20)")
    p.add_argument("--data", metavar="DIR",
                   help="photos by class; without them the speed of training and of a "
                   "survey is left out")  # fmt: skip
    p.add_argument("--memory", type=int, default=0, metavar="N",
                   help="also explain N photos and tell how much memory grew")  # fmt: skip
    return parser


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=_given,
        help="catalogue name, weights file, folder, or Hub id user/repo[@revision] (default: "
        "the bundled one)",
    )


def _given(text: str) -> str:
    """A name that is there: of an unset variable ("$PHOTOS") nothing is left, and "" is a path."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def _folder(text: str) -> Path:
    """A folder to write into, that is there or can be made."""
    folder = Path(_given(text))
    there = next((p for p in (folder, *folder.absolute().parents) if os.path.lexists(p)), folder)
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{there} is no folder; expected is one to write into")
    if not os.access(there, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{there} cannot be written into; choose another folder")
    return folder


def _line(text: object) -> str:
    """On one line of a terminal: what breaks it, or steers the terminal, as escapes."""
    return "".join(
        c if c.isprintable() or "\ud800" <= c <= "\udfff" else c.encode("unicode_escape").decode()
        for c in str(text)
    )


def _explain(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .explain.explainer import Explainer
    from .explain.photo_errors import PhotoError
    from .files import written_whole
    from .models.receptive_field import receptive_fields
    from .render.export import save
    from .render.overlay import Look

    if arguments.html:  # imports Gradio, which takes its time
        from .explain.anatomy import dissect
        from .ui.standalone import standalone_html

    names = ("mode", "colours", "opacity", "scale", "keep")
    look = Look(**{n: v for n in names if (v := getattr(arguments, n)) is not None})
    if arguments.html and not arguments.out:
        raise ValueError("--html writes a file; say where with --out DIR")
    photos = find_photos(arguments.photos, arguments.out)
    if not photos:
        raise ValueError(f"no photos in {', '.join(arguments.photos)}")
    explainer = Explainer.from_pretrained(
        arguments.model, arguments.classes, arguments.planes, arguments.activation
    )
    for note in explainer.facts.notes:
        print(f"note: {note}", file=sys.stderr)
    folders = folder_names(photos) if arguments.out else {}
    failed = []
    # The bar goes to standard error, and only where somebody is looking.
    for path in tqdm(photos, unit="photo", disable=None if len(photos) > 1 else True):
        try:
            explanation = explainer.explain(path, arguments.top_k, arguments.view)
        except PhotoError as error:
            failed.append(_line(f"{path}: {error}"))  # names may be there twice, in two folders
            continue
        for name in arguments.blocks or ():
            explanation.block(name)  # an unknown name ends it here, before anything is written
        if arguments.out:
            folder = save(explanation, arguments.out / folders[path], look, arguments.blocks)
            if arguments.html:
                anatomies = (dissect(explainer, explanation, b.name) for b in explanation.blocks)
                fields = receptive_fields(explainer.model)
                page = standalone_html(explanation, fields, anatomies, open_at=explainer.open_at)
                with written_whole(folder / "viewer.html") as file:
                    file.write(page.encode())
        if arguments.json:
            answer: dict = {"photo": str(path)} | explanation.to_dict()
            if arguments.blocks:
                answer["blocks"] = [b for b in answer["blocks"] if b["name"] in arguments.blocks]
            tqdm.write(json.dumps(answer, ensure_ascii=False), file=sys.stdout)  # escapes: `main`
        else:
            likely = ", ".join(f"{p.label} {p.probability:.1%}" for p in explanation.predictions)
            tqdm.write(_line(f"{path}: {likely}"), file=sys.stdout)
    if arguments.out and len(failed) < len(photos):
        print(f"{len(photos) - len(failed)} written to {arguments.out}", file=sys.stderr)
    for error in failed:
        print(f"not explained: {error}", file=sys.stderr)
    return 1 if failed else 0


def _whatif(arguments: argparse.Namespace) -> int:
    from .explain.explainer import Explainer
    from .explain.interventions import what_if_told

    explainer = Explainer.from_pretrained(arguments.model)
    gates = dict(_gate(explainer, text) for text in arguments.gates)
    found = what_if_told(explainer, arguments.photo, gates, arguments.top_k)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False))
    elif gates:
        print(f"{'class':32} {'before':>8} {'after':>8}   logit")
        for c in found["classes"]:
            shares = (f"{c['probability'][when]:8.1%}" for when in ("before", "after"))
            logits = (f"{c['logit'][when]:.2f}" for when in ("before", "after"))
            print(f"{c['label']:32.32} {' '.join(shares)}   {' -> '.join(logits)}")
    else:
        print(f"logit of {found['label']}: {found['logit']:.2f}; with one gate at its mean it is")
        for effect in found["effects"]:
            print(f"{effect['gate']:20} {effect['change']:+.3f}")
    return 0


def _gate(explainer: "Explainer", text: str) -> tuple[str, "Setting"]:
    """A gate's name and setting, as `interventions.gate_hooks` takes them."""
    import numpy as np

    from .explain.interventions import WORDS

    name, equals, setting = text.partition("=")
    if not equals:
        raise ValueError(f"--gate takes NAME=SETTING, as in layer3.1.spatial=open, not {text!r}")
    try:
        return name, float(setting)
    except ValueError:
        pass
    if setting in WORDS or not Path(setting).exists():
        return name, setting  # what is none is told where all are known
    if setting.endswith(".npy"):
        return name, np.load(setting, allow_pickle=False)
    return name, explainer.explain(setting)


def _survey(arguments: argparse.Namespace) -> int:
    # With --out it may be a folder of photos of this name.
    if arguments.photos[0] == "report" and not (arguments.out and Path("report").exists()):
        return _survey_report(arguments)
    if arguments.block:
        raise ValueError("a survey keeps every block's gates; --block NAME is for its report")
    if not arguments.out:
        raise ValueError("a survey is written into a folder; say which with --out DIR")
    with _with_extra("a survey", "survey"):
        from .survey.survey import survey

    with _with_extra("a survey on a cluster", "survey"):
        done = survey(
            arguments.photos,
            arguments.out,
            arguments.model,
            arguments.view,
            arguments.top_k,
            arguments.workers,
            arguments.address,
        )
    rate = f", {done.new / done.seconds:.1f} a second" if done.new else ", all of it before"
    photos = "1 photo" if done.photos == 1 else f"{done.photos} photos"
    print(f"{photos} in {done.folder}, {done.new} new{rate}")
    if done.errors:
        print(f"{done.errors} could not be looked at; their rows say why (error)")
    return 0


def _survey_report(arguments: argparse.Namespace) -> int:
    if len(arguments.photos) != 2:
        raise ValueError("survey report takes the folder of one survey")
    settled = {"model": None, "top_k": 5, "view": "whole", "workers": None, "address": None}
    given = [name for name, usual in settled.items() if getattr(arguments, name) != usual]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"survey report takes no {names}: its survey was made with its own")
    if arguments.out:
        raise ValueError(
            "a report is written into its survey's folder, as report/; leave --out out"
        )
    with _with_extra("a survey's report", "survey"):
        from .survey.report import report

        print(report(arguments.photos[1], arguments.block))
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from .ui.launch import launch

    launch(arguments.model, server_name=arguments.host, server_port=arguments.port)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from .models.sources import WEIGHTS, catalogue

    for entry in catalogue():
        config = WEIGHTS / entry.name / "config.json"
        about = json.loads(config.read_text("utf-8")) if config.is_file() else {}
        words = [entry.origin]
        if "classes" in about:
            words += [f"{len(about['classes'])} classes", f"{sum(about['layers'])} blocks"]
        if "top1" in about.get("figures", {}):
            words.append(f"top-1 {about['figures']['top1']:.1%}")
        print(f"{entry.name}: {', '.join(words)}")
    print("Also a file, a folder, or a Hub id user/repo[@revision] of any ResNet-CBAM.")
    return 0


@contextmanager
def _with_extra(what: str, extra: str) -> Iterator[None]:
    """Say how to get what only one thing needs, if it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{what} needs {error.name}, which is not installed; `pip install .[{extra}]` adds it"
        ) from error


def _train(arguments: argparse.Namespace) -> int:
    from .training.recipe import load_recipe

    with _with_extra("training", "train"):
        from .training.train import train

        recipe = load_recipe(arguments.recipe)
        changes = {"init": arguments.init} if arguments.init else {}
        changes |= {"plain": True} if arguments.plain else {}
        model = train(replace(recipe, **changes), arguments.data, arguments.out, arguments.workers)
    print(f"the model is in {model}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from .evaluation.evaluate import evaluate
    from .evaluation.report import save, table
    from .explain.explainer import Explainer

    explainer = Explainer.from_pretrained(arguments.model)
    result = evaluate(
        explainer, arguments.data, arguments.labels, arguments.annotations, arguments.objects
    )
    print(table(result))
    if arguments.out:
        save(result, arguments.out)
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from .bench import run

    if arguments.rounds < 1 or arguments.memory < 0:
        wrong = f"--rounds {arguments.rounds}, --memory {arguments.memory}"
        raise ValueError(f"expected are at least one round and no fewer photos than 0, not {wrong}")
    with _with_extra("training and a survey", "train,survey"):
        run(arguments.rounds, arguments.memory, arguments.data)
    return 0
