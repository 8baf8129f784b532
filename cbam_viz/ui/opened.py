"""The models that the page has open: those of the catalogue and the Hub, and a visitor's own."""

import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from ..explain.explainer import Explainer
from ..models.checkpoints import load_checkpoint
from ..models.class_names import TEXTS
from ..models.errors import WeightsError
from ..models.sources import HUB_ID, SUFFIXES
from .hub import Hub

#: Most models of the catalogue or the Hub kept in memory at once; a ResNet-50 takes about 230 MB
#: in both of its forms.
MODELS_KEPT = 3
#: Most bytes of visitors' own models in memory together, unless it is a single one.
OWN_BYTES = 600_000_000


#: By what a model is looked up: its name, or the files of a visitor's own.
Key = str | tuple[str, ...]


class Models:
    """All models that can be looked at with: by name, or a visitor's own by their files.

    Args:
        names: those that can be opened besides Hub ids.
    """

    def __init__(self, names: list[str]):
        self.named = Explainers(names)
        self.own = OwnModels()

    def get(self, key: Key) -> Explainer:
        """An explainer; opened again where it had to make room for others.

        Raises:
            WeightsError: as from `Explainers.get` and `OwnModels.get`.
        """
        return self.named.get(key) if isinstance(key, str) else self.own.get(key)


class Explainers:
    """The opened models, by name; the last few of them are kept.

    Args:
        names: those that can be opened besides Hub ids. What a visitor types is never taken for a
            path of this machine.
    """

    def __init__(self, names: list[str]):
        self.names = names
        self._hub = Hub()
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
        folder = None
        if name not in self.names and name not in self._opened:
            folder = self._hub.folder(name)
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:  # of one name at a time: others need not wait until this one is open
            explainer = self._opened.get(name) or _open(name, folder)
        with self._lock:
            self._opened[name] = explainer
            self._opened.move_to_end(name)
            if len(self._opened) > MODELS_KEPT:
                self._opened.popitem(last=False)
        return explainer

    @property
    def opened(self) -> list[str]:
        """Names of the catalogue's models in memory, the last used one last.

        What other visitors fetched from the Hub is not told.
        """
        return [name for name in self._opened if name in self.names]


def _open(name: str, folder: Path | None) -> Explainer:
    """A model by its name, or of the folder that was fetched for it."""
    checkpoint = load_checkpoint(folder or name)
    return Explainer.from_checkpoint(replace(checkpoint, name=name) if folder else checkpoint)


class OwnModels:
    """Visitors' own models by their files: the last used ones, as many as fit into `OWN_BYTES`.

    One that had to go is opened again when it is asked for, as long as its upload is kept.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._opened: OrderedDict[tuple[str, ...], Explainer] = OrderedDict()

    def get(self, files: tuple[str, ...]) -> Explainer:
        """An explainer of uploaded weights. Gradio's paths of uploads name their contents.

        Raises:
            WeightsError: as from `own_explainer`.
        """
        with self._lock:  # one at a time: opening takes several times what is kept
            explainer = self._opened.pop(files, None) or own_explainer(list(files))
            self._opened[files] = explainer
            while len(self._opened) > 1 and self.size > OWN_BYTES:
                self._opened.popitem(last=False)
            return explainer

    @property
    def size(self) -> int:
        """Bytes of the models in memory, of which each is there in two forms."""
        return sum(
            2 * tensor.nbytes
            for explainer in self._opened.values()
            for tensor in explainer.model.state_dict().values()
        )


def own_explainer(files: list[str]) -> Explainer:
    """An explainer of uploaded weights, and of what was uploaded with them to describe them.

    Args:
        files: one file of weights, whatever it is called; perhaps one of class names, a
            .txt, .csv or .yaml (`class_names.TEXTS`), and the .json files of
            `cbam_viz.models.neighbours`.

    Raises:
        WeightsError: there is not one file of weights among them, or it cannot be opened.
    """
    paths = [Path(f) for f in files]
    texts = [path for path in paths if path.suffix.lower() in TEXTS]
    weights = [path for path in paths if path.suffix.lower() not in (*TEXTS, ".json")]
    if len(weights) != 1 or len(texts) > 1 or len({path.name for path in paths}) < len(paths):
        given = ", ".join(path.name for path in paths)
        raise WeightsError(
            f"expected is one file of weights ({', '.join(SUFFIXES)}) and perhaps one of class "
            f"names ({', '.join(TEXTS)}), and config.json; given: {given}"
        )
    if gone := [path.name for path in paths if not path.is_file()]:
        raise WeightsError(f"{gone[0]} is cleared away by now; upload it again")
    # Every upload lies in a folder of its own; here they lie together, as they belong.
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            try:
                os.link(path, Path(folder, path.name))
            except OSError:  # another disk, or one without links
                shutil.copy(path, folder)
        own = Path(folder, weights[0].name)
        return Explainer.from_pretrained(own, texts[0] if texts else None)
