"""The experiments that ask which map to believe, and how much; see `experiments`.

Each answers what one call of `evaluation` or `explain.class_maps` gives, as plain values. Maps are
sent as `viewer.gate` packs them, in 0..1, with the number that 1 stands for.
"""

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

import numpy as np

from ..evaluation.deletion import Curve, deletion_curves, passes
from ..evaluation.drawn import judge_drawn
from ..evaluation.metrics import OnObject
from ..evaluation.randomised import STAGES, randomise
from ..evaluation.several import DRAWS, STEPS, Mean, Several, put_to_test
from ..explain import class_maps
from ..explain.explainer import Explainer
from ..models.sources import WEIGHTS
from . import viewer
from .examples import EXAMPLE_FILES
from .visit import Visit

Given = TypeVar("Given")


def costs(visit: Visit) -> dict:
    """How many passes through the network each takes: told before it runs."""
    view = visit.explanation.view
    methods = {name: class_maps.forwards(name, view) for name in class_maps.METHODS}
    random = 1 + len(STAGES)
    # Of each photo: its explanation, a class map's two passes, and both tests.
    one = 3 + random + passes(2, STEPS, DRAWS)
    return {
        "methods": methods,
        "randomised": random,
        "deletion": passes(2),
        "several": len(EXAMPLE_FILES) * one,
        "photos": len(EXAMPLE_FILES),
    }


def class_map(visit: Visit, said: dict) -> dict:
    """A class's map, to be laid beside a gate: see `class_maps.class_map`."""
    method, block = _method(said), block_of(visit, said)
    found = class_maps.class_map(visit.explainer, visit.explanation, _target(said), method, block)
    return named(visit.explainer, found.index) | {
        "method": method,
        "block": found.block,
        "logit": found.logit,
        "map": map_of(found.values, found.stride),
    }


def drawn(visit: Visit, said: dict) -> dict:
    """How well every block finds a drawn object: see `judge_drawn`."""
    outline = said.get("outline")
    found = judge_drawn(visit.explanation, outline if isinstance(outline, list) else [])
    flat = {b.name for b in visit.explanation.blocks if b.spatial_figures.nearly_constant}
    return {
        "area": found.area,
        "blocks": [
            {"name": name, "constant": name in flat} | _on_object(figures)
            for name, figures in found.blocks.items()
        ],
        "mean": _on_object(found.mean_over_blocks),
        "centre": _on_object(found.centre_prior),
        "card": _card(visit.explanation.model.name),
    }


def randomised(visit: Visit, said: dict) -> dict:
    """Every block's maps while the network's weights are drawn anew: see `randomise`."""
    block = block_of(visit, said)
    found = randomise(visit.explainer, visit.explanation, _target(said))
    kinds = {"gates": found.gates, "grad_cams": found.grad_cams}
    stride = visit.explanation.block(block).stride
    return named(visit.explainer, found.index) | {
        "block": block,
        "stages": list(STAGES),
        "maps": {kind: [map_of(m, stride) for m in maps[block]] for kind, maps in kinds.items()},
        "correlations": {
            kind: [{"name": b, "values": found.correlations(b, kind)} for b in maps]
            for kind, maps in kinds.items()
        },
    }


def deletion(visit: Visit, said: dict) -> Iterator[dict]:
    """Insertion and deletion by the block's gate and a class map: see `deletion_curves`."""
    block, method, target = block_of(visit, said), _method(said), _target(said)
    explainer, explanation = visit.explainer, visit.explanation
    gate = explanation.block(block)
    found = class_maps.class_map(explainer, explanation, target, method)
    maps = {"gate": (gate.spatial, gate.stride), "class map": (found.values, found.stride)}
    work = _Told(lambda tell: deletion_curves(explainer, explanation, maps, target, progress=tell))
    total = passes(2)
    for done in work:
        if done < total:  # all is done once there are curves
            yield {"done": done, "total": total}
    curves = work.answer
    yield named(explainer, curves.index) | {
        "done": total,
        "total": total,
        "block": block,
        "method": method,
        "orders": [{"name": name} | _curve(curve) for name, curve in curves.orders.items()],
    }


def several(visit: Visit, said: dict) -> Iterator[dict]:
    """Both tests over every example photo: see `several.over_photos`."""
    block, method = block_of(visit, said), _method(said)
    tested = []
    for file in EXAMPLE_FILES.values():
        yield {"done": len(tested), "total": len(EXAMPLE_FILES)}
        tested.append(put_to_test(visit.explainer, file, block, method))
    found = Several.of(tested, block)
    yield {
        "done": len(tested),
        "total": len(EXAMPLE_FILES),
        "block": block,
        "stages": list(STAGES),
        "orders": [
            {
                "name": name,
                "deletion": _mean(found.deletion[name]),
                "insertion": _mean(found.insertion[name]),
                "better": found.better[name],
            }
            for name in found.deletion
        ],
        "survival": {kind: [_mean(m) for m in means] for kind, means in found.survival.items()},
        "strength": {kind: [_mean(m) for m in means] for kind, means in found.strength.items()},
    }


class _Told(Generic[Given]):
    """Work of one call that tells how far it is, as an iterator of what it tells.

    Args:
        work: given what to tell its progress to.

    Attributes:
        answer: what it gave, once the iterator has come to its end.
    """

    answer: Given

    def __init__(self, work: Callable[[Callable[[int], None]], Given]):
        self._work = work

    def __iter__(self) -> Iterator[int]:
        told: SimpleQueue = SimpleQueue()
        wanted = threading.Semaphore(0)  # the next: nothing is computed while nobody asks for it
        ended = False

        def tell(done: int) -> None:
            told.put(done)
            wanted.acquire()
            if ended:
                raise InterruptedError

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self._work, tell)
            future.add_done_callback(lambda _: told.put(None))
            try:
                while (done := told.get()) is not None:
                    yield done
                    wanted.release()
                self.answer = future.result()
            finally:
                ended = True
                wanted.release()


def named(explainer: Explainer, index: int) -> dict:
    """A class by its index, and by its names."""
    zh = explainer.classes_zh or explainer.classes
    return {"index": index, "label": explainer.classes[index], "labelZh": zh[index]}


def map_of(values: np.ndarray, stride: int) -> dict:
    """A map as it is sent."""
    greatest = float(values.max())
    rows, columns = values.shape
    return {
        "values": viewer.gate(values / greatest if greatest > 0 else values),
        "greatest": greatest,
        "rows": rows,
        "columns": columns,
        "stride": stride,
    }


def _on_object(figures: OnObject) -> dict:
    return {"auc": figures.auc, "pointing": figures.pointing, "mass": figures.mass}


def _curve(curve: Curve) -> dict:
    return {
        "deletion": list(curve.deletion),
        "insertion": list(curve.insertion),
        "deletionArea": curve.deletion_area,
        "insertionArea": curve.insertion_area,
    }


def _mean(mean: Mean) -> list[float]:
    return [mean.mean, mean.standard_error]


def _card(model: str) -> str | None:
    """The chart of a bundled model's card: the same figures, over many photos."""
    file = WEIGHTS / model / "attention.png"
    if WEIGHTS not in file.resolve().parents or not file.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def _method(said: dict) -> str:
    method = said.get("method")
    if not isinstance(method, str) or method not in class_maps.METHODS:
        raise ValueError(f"no method {method!r:.40}; there are: {', '.join(class_maps.METHODS)}")
    return method


def block_of(visit: Visit, said: dict) -> str:
    """The block that is asked about."""
    block = said.get("block")
    if block not in visit.blocks:
        raise ValueError(f"no block {block!r:.40}; this model has: {', '.join(visit.blocks)}")
    return block


def _target(said: dict) -> int | str | None:
    """A class by its index or name; None, the predicted one, for none."""
    target = said.get("target")
    if target is None or isinstance(target, int | str) and not isinstance(target, bool):
        return target
    raise ValueError(f"a class is chosen by its index or its name, not by {target!r:.40}")
