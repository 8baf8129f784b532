"""What each family of ResNet-CBAMs calls its weights, and what we call them.

CBAM was never one file: the authors, pytorchcv, timm, luuuyi/CBAM.PyTorch and the article each
have key names of their own, and small options (biases, a batch norm, the order of two planes).
Converted, all of them are the same function. `FAMILIES` is the table of what they call things.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The modules of the two gates as `ResNetCBAM` calls them.
FC1 = "channel_attention.fc1"
FC2 = "channel_attention.fc2"
CONV = "spatial_attention.conv"
NORM = "spatial_attention.norm"

#: The count of batches that a norm has seen.
COUNTER = "num_batches_tracked"
BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Trunk:
    """What a family calls everything but the gates.

    Attributes:
        title: whose names they are.
        block: the path of a residual block, with places for the numbers of its stage and unit.
        first: the number of a stage's first unit.
        outside: modules outside the blocks, by their name -> torchvision's.
        inside: modules of a block, likewise.
    """

    title: str
    block: str
    first: int
    outside: Mapping[str, str]
    inside: Mapping[str, str]

    def path(self, stage: int, unit: int) -> str:
        """Their path of a block that torchvision calls ``layer{stage}.{unit}``."""
        return self.block.format(stage, unit + self.first)

    def ours(self, key: str, gates: Mapping[str, str] | None = None) -> str | None:
        """Our name for one of their keys, or None; ``gates`` are more modules of a block."""
        module, _, parameter = key.rpartition(".")
        if block := self.split(module):
            stage, unit, rest = block
            name = {**self.inside, **(gates or {})}.get(rest)
            name = name and f"layer{stage}.{unit - self.first}.{name}"
        else:
            name = self.outside.get(module)
        return name and f"{name}.{parameter}"

    def split(self, module: str) -> tuple[int, int, str] | None:
        """The numbers of stage and unit as they count them, and the path within that block."""
        # Four digits bound what a hostile file can make of a number; ResNet-152 needs two.
        pattern = self.block.replace(".", r"\.").replace("{}", r"(\d{1,4})") + r"\.(.+)"
        if block := re.fullmatch(pattern, module):
            return int(block[1]), int(block[2]), block[3]
        return None


_TORCHVISION = Trunk(
    title="torchvision",
    block="layer{}.{}",
    first=0,
    outside={name: name for name in ("conv1", "bn1", "fc")},
    inside={
        **{f"{kind}{k}": f"{kind}{k}" for k in (1, 2, 3) for kind in ("conv", "bn")},
        "downsample.0": "downsample.0",
        "downsample.1": "downsample.1",
    },
)


_PYTORCHCV = Trunk(
    title="pytorchcv",
    block="features.stage{}.unit{}",
    first=1,
    outside={
        "features.init_block.conv.conv": "conv1",
        "features.init_block.conv.bn": "bn1",
        "output": "fc",
    },
    inside={
        **{f"body.conv{k}.{kind}": f"{kind}{k}" for k in (1, 2, 3) for kind in ("conv", "bn")},
        "identity_conv.conv": "downsample.0",
        "identity_conv.bn": "downsample.1",
    },
)


TRUNKS = (_TORCHVISION, _PYTORCHCV)


@dataclass(frozen=True)
class Family:
    """One public layout of weights.

    Attributes:
        title: its name in a sentence.
        gates: the modules of a block's two gates, by their name -> ours.
        mean_first: the spatial convolution sees [mean, max] instead of [max, mean].
        trunk: the names of the rest.
        linear: the perceptrons are linear layers (True) or 1x1 convolutions (False). The same
            names with the other kind of layer are somebody else's.
        head: what the classifier is called, if not as in the trunk.
    """

    title: str
    gates: Mapping[str, str]
    mean_first: bool = False
    trunk: Trunk = _TORCHVISION
    linear: bool = True
    head: str | None = None

    def ours(self, key: str) -> str | None:
        """Our name for one of their keys, None for a key that is not of this family."""
        if self.head and key.rpartition(".")[0] == self.head:
            return f"fc.{key.rpartition('.')[2]}"
        return self.trunk.ours(key, self.gates)

    def theirs(self, name: str) -> str:
        """Their key for one of our names, to say in their words what is missing."""
        module, _, parameter = name.rpartition(".")
        if block := BLOCK.match(module):
            stage, unit, module = block.groups()
            path, table = f"{self.trunk.path(stage, int(unit))}.", self.trunk.inside | self.gates
        else:
            # Their own name of the classifier first.
            path, table = "", ({self.head: "fc"} if self.head else {}) | self.trunk.outside
        return path + next(their for their, our in table.items() if our == module) + f".{parameter}"

    def has_gate(self, key: str) -> bool:
        """Whether the key is of a gate of this family, inside a residual block."""
        block = BLOCK.match((self.ours(key) or "").rpartition(".")[0])
        return block is not None and block[3] in self.gates.values()


#: Every family we read, by its name.
FAMILIES = {
    "cbam-viz": Family(
        title="CBAM Viz",
        gates={name: name for name in (FC1, FC2, CONV, NORM)},
    ),
    "authors": Family(
        title="the authors (Jongchan/attention-module)",
        gates={
            "cbam.ChannelGate.mlp.1": FC1,
            "cbam.ChannelGate.mlp.3": FC2,
            "cbam.SpatialGate.spatial.conv": CONV,
            "cbam.SpatialGate.spatial.bn": NORM,
        },
    ),
    "pytorchcv": Family(
        title="pytorchcv",
        gates={
            "cbam.ch_gate.mlp.fc1": FC1,
            "cbam.ch_gate.mlp.fc2": FC2,
            "cbam.sp_gate.conv.conv": CONV,
            "cbam.sp_gate.conv.bn": NORM,
        },
        trunk=_PYTORCHCV,
    ),
    "timm": Family(
        title="timm",
        gates={
            "se.channel.fc1": FC1,
            "se.channel.fc2": FC2,
            "se.spatial.conv.conv": CONV,
            "se.spatial.conv.bn": NORM,
        },
        mean_first=True,
        linear=False,
    ),
    "luuuyi": Family(
        title="luuuyi/CBAM.PyTorch",
        gates={
            "ca.fc.0": FC1,
            "ca.fc.2": FC2,
            "sa.conv1": CONV,
            # The spelling before it used nn.Sequential; copied far and wide.
            "ca.fc1": FC1,
            "ca.fc2": FC2,
        },
        mean_first=True,
        linear=False,
    ),
    "article": Family(
        title="the article",
        gates={
            "channel_atten.fc.0": FC1,
            "channel_atten.fc.2": FC2,
            "spatial_atten.conv1": CONV,
        },
        linear=False,
    ),
}


#: The two orders of the planes that the spatial convolution may see, and whether the mean is first.
PLANES = {"max-mean": False, "mean-max": True}
