"""Recording the gates of a forward pass."""

import threading
from dataclasses import dataclass

from torch import Tensor, nn

from ..models.resnet import ResNetCBAM

# torch hands out the ids of hooks from a plain class attribute: two threads that register at
# once can get the same one, and one of the two hooks is then lost.
registration = threading.Lock()


@dataclass
class Gates:
    """The two gates of one block: channel [N, C, 1, 1] and spatial [N, 1, H, W], in (0, 1)."""

    channel: Tensor | None = None
    spatial: Tensor | None = None


class Recorder:
    """Records both gates of every block while its ``with`` block runs.

    ``with Recorder(model) as recorder: model(x)`` leaves them in ``recorder.gates``. Any number
    of threads may do so on one model at once: each records only the passes it runs itself. The
    hooks are gone when the ``with`` block is left, whatever happened in it.

    Attributes:
        gates: by block name, input to output; of the last pass.
    """

    def __init__(self, model: ResNetCBAM):
        self._model = model
        self._handles = []
        self.gates: dict[str, Gates] = {}

    def __enter__(self) -> "Recorder":
        thread = threading.get_ident()

        def keep(gates: Gates, kind: str):
            def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
                if threading.get_ident() == thread:
                    setattr(gates, kind, output)

            return hook

        with registration:
            for name, block in self._model.blocks().items():
                gates = self.gates[name] = Gates()
                for kind, gate in (
                    ("channel", block.channel_attention),
                    ("spatial", block.spatial_attention),
                ):
                    self._handles.append(gate.register_forward_hook(keep(gates, kind)))
        return self

    def __exit__(self, *exception) -> None:
        with registration:
            for handle in self._handles:
                handle.remove()
        self._handles.clear()
