"""Where in a file a network lies: under which keys of which mapping, and what lies beside it.

Training scripts put weights into mappings of mappings (``state_dict``, ``model``, ``ema``) and
wrappers put prefixes before their names (``module.``, ``model.``, ``backbone.``). Both are paths
to the network; how they are called does not matter, as the network's own names tell where it
begins.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

# What torch.compile, FSDP and checkpointing put between two names, at any depth.
_INSIDE = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")

#: Averaged copies: wherever one was kept it is what was evaluated and published, and what timm's
#: own loader takes.
_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|\d|$)")
#: Paths that say nothing but "here it is", the usual ones first.
_PLAIN = (
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module"),
)

#: Deepest that mappings lie within each other, and the most that a list of them holds.
_DEPTH, _MEMBERS = 4, 16


@dataclass(frozen=True)
class Place:
    """A part of a file that looks like a network.

    Attributes:
        path: what stands before its names, with a dot at the end of each part; "" if nothing.
        tensors: by their names under the path.
        beside: the other tensors of the same mapping, by their whole names.
    """

    path: str
    tensors: dict[str, Tensor]
    beside: dict[str, Tensor]

    @property
    def rank(self) -> tuple[int, int] | None:
        """How likely this is the copy that is meant, least is best; None if nothing tells."""
        if _AVERAGED.search(self.path):
            return 0, 0
        parts = self.path.split(".")[:-1]
        if all(part in _PLAIN for part in parts):
            return 1, _PLAIN.index(parts[0]) if parts else 0
        return None


def mappings(weights: Mapping | Sequence) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping in a file that holds named tensors: its path, and these tensors."""
    waiting: list[tuple[str, Mapping, int]] = [("", _by_name(weights), 0)]
    seen = {id(weights)}
    while waiting:
        path, mapping, depth = waiting.pop(0)
        named = {key: value for key, value in mapping.items() if isinstance(key, str)}
        tensors = {
            _INSIDE.sub("", key): value.detach()
            for key, value in named.items()
            # A lone number is the trainer's: an epoch, or how many were averaged.
            if isinstance(value, Tensor) and ("." in key or value.ndim)
        }
        if tensors:
            yield path, tensors
        for key, value in named.items():
            if (inner := _by_name(value)) and depth < _DEPTH and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{path}{key}.", inner, depth + 1))


def _by_name(value: object) -> Mapping:
    """A mapping as it is, what a short list holds but tensors by its number; else nothing."""
    if isinstance(value, list | tuple) and len(value) <= _MEMBERS:
        return {str(i): v for i, v in enumerate(value) if not isinstance(v, Tensor)}
    return value if isinstance(value, Mapping) else {}


def places(weights: Mapping | Sequence, first_layer: re.Pattern) -> list[Place]:
    """Every part of a file that looks like a network.

    Args:
        weights: what lies in the file.
        first_layer: matches a name that a network has; its group ``path`` is what is before it.
    """
    found = []
    for outer, tensors in mappings(weights):
        matches = (first_layer.fullmatch(key) for key in tensors)
        # Longest first: what lies under one of them is no part of a network around it.
        prefixes = sorted(
            {match["path"] for match in matches if match}, key=lambda path: (-len(path), path)
        )
        owner = {key: next((p for p in prefixes if key.startswith(p)), None) for key in tensors}
        for prefix in prefixes:
            inside = {k.removeprefix(prefix): v for k, v in tensors.items() if owner[k] == prefix}
            beside = {k: v for k, v in tensors.items() if owner[k] != prefix}
            found.append(Place(outer + prefix, inside, beside))
    return found
