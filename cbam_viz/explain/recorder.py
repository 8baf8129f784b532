"""Hooks for the passes of one thread, and the gates that they record."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from ..models.resnet import ResNetCBAM

# torch hands out the ids of hooks from a plain class attribute: two threads that register at
# once can get the same one, and one of the two hooks is then lost.
registration = threading.Lock()


def of_this_thread(hook: Callable) -> Callable:
    """A hook that is deaf to the passes that other threads run through the same model."""
    thread = threading.get_ident()

    def deaf(*args, **named):
        return hook(*args, **named) if threading.get_ident() == thread else None

    return deaf


@contextmanager
def hooked(*hooks: tuple[Callable, Callable]) -> Iterator[None]:
    """Hooks that hang while the ``with`` block runs, for the passes of this thread alone.

    Any number of threads may do so on one model at once. The hooks are gone when the block is
    left, whatever happened in it.

    Args:
        hooks: pairs of a module's way to register one, ``module.register_forward_hook`` for
            example, and the hook, as that way takes it. What the hook returns counts as usual.
    """
    handles = []
    try:
        with registration:
            for register, hook in hooks:
                handles.append(register(of_this_thread(hook)))
        yield
    finally:
        with registration:
            for handle in handles:
                handle.remove()


@dataclass
class Gates:
    """The two gates of one block: channel [N, C, 1, 1] and spatial [N, 1, H, W], in (0, 1).

    They are there once there was a pass.
    """

    channel: Tensor = field(init=False)
    spatial: Tensor = field(init=False)


@contextmanager
def recorded(model: ResNetCBAM) -> Iterator[dict[str, Gates]]:
    """Records both gates of every block while the ``with`` block runs.

    ``with recorded(model) as gates: model(x)`` leaves those of the last pass in ``gates``, by
    block name, from input to output. As for `hooked`, each thread records its own passes.
    """
    blocks = model.blocks()
    gates = {name: Gates() for name in blocks}

    def keep(name: str, kind: str) -> Callable:
        def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
            setattr(gates[name], kind, output)

        return hook

    with hooked(
        *(
            (getattr(block, f"{kind}_attention").register_forward_hook, keep(name, kind))
            for name, block in blocks.items()
            for kind in ("channel", "spatial")
        )
    ):
        yield gates
