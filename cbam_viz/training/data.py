"""Photos in, batches out."""

from collections import Counter
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from .recipe import Recipe


class PhotoFolder(ImageFolder):
    """`ImageFolder` in the label order of the model: class names sorted without regard to case."""

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        classes, _ = super().find_classes(directory)
        classes.sort(key=str.lower)
        return classes, {c: i for i, c in enumerate(classes)}


def training_transform(recipe: Recipe, size: int) -> v2.Compose:
    """PIL photo to augmented uint8 tensor [3, size, size]."""
    steps = [
        v2.RandomResizedCrop(size, scale=(recipe.crop_scale, 1), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    if recipe.trivial_augment:
        steps.append(v2.TrivialAugmentWide())
    steps.append(v2.PILToTensor())
    if recipe.erasing:
        steps.append(v2.RandomErasing(recipe.erasing, value=127))
    return v2.Compose(steps)


class EpochSampler(Sampler[int]):
    """The photos of one epoch, drawn with replacement so that rare classes come more often.

    The draw depends on seed and epoch alone, so a resumed run can go on in the middle of it.

    Args:
        labels: class of every photo.
        balance: a photo's weight is (photos of its class) ** -balance; 0 draws them all alike.
        seed: of the draw, together with the epoch.
    """

    def __init__(self, labels: list[int], balance: float, seed: int):
        counts = Counter(labels)
        self.weights = torch.tensor([counts[y] ** -balance for y in labels], dtype=torch.double)
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def set_position(self, epoch: int, skip: int = 0) -> None:
        """Go to an epoch and leave out its first ``skip`` photos, which were seen already."""
        self.epoch, self.skip = epoch, skip

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        draw = torch.multinomial(self.weights, len(self.weights), True, generator=generator)
        return iter(draw[self.skip :].tolist())

    def __len__(self) -> int:
        return len(self.weights) - self.skip


class Normalise:
    """uint8 batch [N, 3, H, W] to float32 model input, channels last."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        self.mean = torch.tensor(mean).view(3, 1, 1) * 255
        self.std = torch.tensor(std).view(3, 1, 1) * 255

    def __call__(self, batch: Tensor) -> Tensor:
        return ((batch - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def training_loader(
    folder: Path, recipe: Recipe, sampler: EpochSampler, size: int, workers: int
) -> DataLoader:
    """Batches of uint8 [N, 3, size, size] and labels [N] at one side of the crop."""
    return DataLoader(
        PhotoFolder(str(folder), training_transform(recipe, size)),
        batch_size=recipe.batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=True,
    )
