"""Photos in, batches out."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from zlib import crc32

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate
from torchvision import datasets
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from ..models.preprocessing import Preprocessing
from .recipe import Recipe

IMAGENET_MEAN, IMAGENET_STD = Preprocessing.mean, Preprocessing.std
#: ImageNet's 1000 class names in torchvision's order.
IMAGENET_CLASSES = tuple(ResNet18_Weights.DEFAULT.meta["categories"])
#: A folder's file with the labels of the photos in it.
LABELS_FILE = "labels.json"
#: The label of a photo that has none.
UNLABELLED = -1
#: So many broken photos in a row are no accident.
MOST_IN_A_ROW = 20


@dataclass(frozen=True)
class Photos:
    """Photos on disk and what they show.

    Attributes:
        paths: of the photos.
        labels: index into ``classes`` for each of them, or `UNLABELLED`.
        classes: names, in the model's order.
        folders: for each of them, which of the folders it lies in, where these are not the classes.
    """

    paths: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    folders: list[int] | None = None

    @property
    def groups(self) -> list[int]:
        """What is balanced when photos are drawn: the class, or the folder of one without."""
        if self.folders is None:
            return self.labels
        above = len(self.classes)
        pairs = zip(self.labels, self.folders, strict=True)
        return [above + folder if label == UNLABELLED else label for label, folder in pairs]


class PhotoFolder(datasets.ImageFolder):
    """`ImageFolder` in the label order of the model: class names sorted without regard to case."""

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        classes, _ = super().find_classes(directory)
        classes.sort(key=str.lower)
        return classes, {c: i for i, c in enumerate(classes)}


def _imagenette(root: Path, split: str) -> Photos:
    found = datasets.Imagenette(root, split, "320px", download=True)
    return _photos(found._samples, tuple(names[0] for names in found.classes))


def _flowers(root: Path, split: str) -> Photos:
    found = datasets.Flowers102(root, split, download=True)
    return Photos([str(f) for f in found._image_files], found._labels, tuple(found.classes))


def _pets(root: Path, split: str) -> Photos:
    split = {"train": "trainval", "val": "test"}[split]
    found = datasets.OxfordIIITPet(root, split, download=True)
    return Photos([str(f) for f in found._images], found._labels, tuple(found.classes))


#: torchvision's own data sets, by name. The samples are read off their private lists: the public
#: way to a label is to decode its photo.
DATA_SETS: dict[str, Callable[[Path, str], Photos]] = {
    "imagenette": _imagenette,
    "flowers102": _flowers,
    "oxfordiiitpet": _pets,
}


def find_labelled_photos(data: str | Path) -> tuple[Photos, Photos]:
    """The photos to train on and those to validate with.

    Args:
        data: a folder with ``train/<class>/<photo>`` and ``val/<class>/<photo>``; or one with
            ``<class>/<photo>`` (or ``train`` alone), of which a tenth of each class is taken for
            validation, always the same; or a name in `DATA_SETS`, downloaded into torch's cache
            folder if it is not there.

    Raises:
        OSError: there is no such folder, there are no photos in it, or no way to download.
        ValueError: there is only one class, or `val` has classes that `train` lacks.
    """
    folder = Path(data)
    if not folder.is_dir():
        if (name := str(data).lower()) in DATA_SETS:
            root = Path(torch.hub.get_dir()).parent / "datasets"
            root.mkdir(parents=True, exist_ok=True)
            try:
                return DATA_SETS[name](root, "train"), DATA_SETS[name](root, "val")
            except RuntimeError as error:
                raise OSError(f"{name} cannot be downloaded: {error}") from error
        raise FileNotFoundError(
            f"no folder {str(data)!r}; give one with train/<class>/<photo> and "
            f"val/<class>/<photo>, or one of {', '.join(DATA_SETS)}"
        )
    train = _from_folder(folder / "train" if (folder / "train").is_dir() else folder)
    if len(train.classes) < 2:
        raise ValueError(
            f"{folder} has one class only, {train.classes[0]!r}; there is nothing to tell apart. "
            "Expected is a folder for each of two classes or more"
        )
    if not (folder / "val").is_dir():
        return _split(train)
    val = _from_folder(folder / "val")
    if unknown := [c for c in val.classes if c not in train.classes]:
        raise ValueError(
            f"{folder / 'val'} has classes that train lacks: {', '.join(unknown)}; "
            "a model cannot know them. Remove them from val, or add photos of them to train"
        )
    place = {c: i for i, c in enumerate(train.classes)}
    labels = [place[val.classes[y]] for y in val.labels]
    return train, Photos(val.paths, labels, train.classes)


def find_imagenet_photos(data: str | Path) -> tuple[Photos, Photos]:
    """Photos whose classes, known or not, are ImageNet's: to train on and to validate with.

    Args:
        data: a folder with ``train``, all photos in which and below it are taken, and ``val``. A
            `LABELS_FILE` in a folder names the classes of the photos in it, 0 to 999 by file name;
            in ``val`` every photo needs one.

    Raises:
        OSError: there is no such folder, or no photo in it.
        ValueError: labels that are not such an object, or are of photos that are not there.
    """
    folder = Path(data)
    found = []
    for split in ("train", "val"):
        if not (folder / split).is_dir():
            raise FileNotFoundError(
                f"no folder {str(folder / split)!r}; give one with train and val"
            )
        found.append(_all_below(folder / split))
        if not found[-1].paths:
            raise FileNotFoundError(f"no photos in {folder / split} or below it")
    train, val = found
    if UNLABELLED in val.labels:
        path = val.paths[val.labels.index(UNLABELLED)]
        raise ValueError(
            f"{val.labels.count(UNLABELLED)} photos in {folder / 'val'} have no label, {path} is "
            f"one; a {LABELS_FILE} beside them must give each a class, 0 to "
            f"{len(IMAGENET_CLASSES) - 1}"
        )
    return train, val


def _all_below(folder: Path) -> Photos:
    paths, labels, folders = [], [], []
    below = (d for d, _, _ in os.walk(folder, followlinks=True))
    for i, place in enumerate(sorted(below)):
        photos = sorted(
            f for f in os.listdir(place) if f.lower().endswith(datasets.folder.IMG_EXTENSIONS)
        )
        known = read_labels(Path(place) / LABELS_FILE, photos)
        paths += [os.path.join(place, f) for f in photos]
        labels += [known.get(f, UNLABELLED) for f in photos]
        folders += [i] * len(photos)
    return Photos(paths, labels, IMAGENET_CLASSES, folders)


def read_labels(path: Path, photos: Sequence[str]) -> dict[str, int]:
    """Classes by file name, of a folder's `LABELS_FILE`; none if there is no such file.

    Raises:
        ValueError: it is not what it should be, or names photos that are not there.
    """
    if not path.is_file():
        return {}
    try:
        labels = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error
    top = len(IMAGENET_CLASSES)
    if not isinstance(labels, dict) or not all(
        type(y) is int and 0 <= y < top for y in labels.values()
    ):
        raise ValueError(
            f"{path} must hold an object with a class, 0 to {top - 1}, for each photo's file name"
        )
    if missing := sorted(set(labels) - set(photos)):
        raise ValueError(
            f"{path} names {len(missing)} photos that are not beside it, {missing[0]!r} is one"
        )
    return labels


def _photos(samples, classes: tuple[str, ...]) -> Photos:
    paths, labels = zip(*samples, strict=True)
    return Photos([str(path) for path in paths], list(labels), classes)


def _from_folder(folder: Path) -> Photos:
    found = PhotoFolder(str(folder))
    return _photos(found.samples, tuple(found.classes))


def _split(photos: Photos) -> tuple[Photos, Photos]:
    """Nine parts and one part of every class, whatever order the files come in."""
    by_class: dict[int, list[str]] = {}
    for path, y in zip(photos.paths, photos.labels, strict=True):
        by_class.setdefault(y, []).append(path)
    validation: set[str] = set()
    for paths in by_class.values():
        paths.sort(key=lambda path: (crc32(Path(path).name.encode()), path))
        validation.update(paths[: max(1, len(paths) // 10) if len(paths) > 1 else 0])
    pairs = list(zip(photos.paths, photos.labels, strict=True))
    train = [pair for pair in pairs if pair[0] not in validation]
    val = [pair for pair in pairs if pair[0] in validation]
    if not val:
        raise ValueError("every class has one photo only; at least two are needed in one of them")
    return _photos(train, photos.classes), _photos(val, photos.classes)


class CropLabels(NamedTuple):
    """What the teachers say of a crop.

    Attributes:
        logits: of ImageNet's classes, float32 [1000].
        evidence: where in the crop they see it, float32 [rows, columns], in (0, 1).
    """

    logits: Tensor
    evidence: Tensor


class SoftLabels(Protocol):
    """Teachers that were asked about photos."""

    def of(self, index: int, box: tuple[float, float, float, float]) -> CropLabels:
        """What they say of a part of a photo, given as fractions of its width and height."""


class Batch(NamedTuple):
    """Photos and what is known of them; of a single photo the same without the first dimension.

    Attributes:
        photos: uint8 [N, 3, H, W].
        labels: of the classes [N].
        soft: soft labels of each; None where no teachers were asked.
    """

    photos: Tensor
    labels: Tensor
    soft: CropLabels | None


class PhotoSet(Dataset):
    """Photos as tensors. For one that cannot be read, the next in the list stands in.

    Args:
        photos: which.
        transform: of an upright RGB photo to a tensor.
        crop: cuts the photo before that and, half of the times, turns left and right round.
        soft: soft labels of any part of each photo, if there are teachers.
    """

    def __init__(
        self,
        photos: Photos,
        transform: Callable[[Image.Image], Tensor],
        crop: v2.RandomResizedCrop | None = None,
        soft: SoftLabels | None = None,
    ):
        self.photos, self.transform, self.crop, self.soft = photos, transform, crop, soft

    def __len__(self) -> int:
        return len(self.photos.paths)

    def __getitem__(self, index: int) -> tuple[Batch, str | None]:
        """A photo, and the path of the broken photo that it stands in for, if it does."""
        for k in range(MOST_IN_A_ROW):
            i = (index + k) % len(self)
            try:
                with Image.open(self.photos.paths[i]) as file:
                    photo = ImageOps.exif_transpose(file).convert("RGB")
            except Exception:  # a damaged file makes decoders raise nearly anything
                continue
            broken = self.photos.paths[index] if k else None
            soft = None
            if self.crop:
                place = self.crop.make_params([photo])
                if self.soft:
                    soft = self.soft.of(i, _fractions(place, photo.size))
                photo = self.crop.transform(photo, place)
                if torch.rand(()) < 0.5:
                    photo = ImageOps.mirror(photo)
                    soft = soft and soft._replace(evidence=soft.evidence.flip(-1))
            return Batch(self.transform(photo), self.photos.labels[i], soft), broken
        raise ValueError(
            f"{MOST_IN_A_ROW} photos in a row cannot be read, the first is "
            f"{self.photos.paths[index]}; are these image files?"
        )


def _fractions(place: dict[str, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A crop's left, top, right and bottom as fractions of the photo's width and height."""
    (w, h), left, top = size, place["left"], place["top"]
    return left / w, top / h, (left + place["width"]) / w, (top + place["height"]) / h


def training_crop(recipe: Recipe, size: int) -> v2.RandomResizedCrop:
    """PIL photo to a part of it, of size x size px."""
    return v2.RandomResizedCrop(size, scale=(recipe.crop_scale, 1), antialias=True)


def training_transform(recipe: Recipe) -> v2.Compose:
    """PIL photo to augmented uint8 tensor [3, H, W] of the same size."""
    steps = [v2.TrivialAugmentWide()] if recipe.trivial_augment else []
    steps.append(v2.PILToTensor())
    if recipe.erasing:
        steps.append(v2.RandomErasing(recipe.erasing, value=127))
    return v2.Compose(steps)


def validation_transform(pre: Preprocessing) -> v2.Compose:
    """PIL photo to the uint8 tensor [3, size, size] of its evaluation crop."""
    return v2.Compose([v2.Resize(pre.crop_resize), v2.CenterCrop(pre.size), v2.PILToTensor()])


def batch_transform(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple]:
    """Batch [N, 3, H, W] and labels [N] to the batch mixed, and labels [N] or shares [N, classes].

    Mixup (arXiv 1710.09412) and cutmix (arXiv 1905.04899) as the recipe has them.
    """
    mixes = []
    if recipe.mixup:
        mixes.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix:
        mixes.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    return v2.RandomChoice(mixes) if mixes else lambda photos, labels: (photos, labels)


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
    """uint8 batch [N, 3, H, W] to float32 model input on its device, channels last.

    Args:
        mean, std: per channel, for values in 0..1; ImageNet's if not given.
    """

    def __init__(
        self,
        mean: tuple[float, ...] = Preprocessing.mean,
        std: tuple[float, ...] = Preprocessing.std,
    ):
        self.mean = torch.tensor(mean).view(3, 1, 1) * 255
        self.std = torch.tensor(std).view(3, 1, 1) * 255

    def __call__(self, batch: Tensor) -> Tensor:
        mean, std = self.mean.to(batch.device), self.std.to(batch.device)
        return ((batch - mean) / std).contiguous(memory_format=torch.channels_last)


def training_loader(
    photos: Photos,
    recipe: Recipe,
    sampler: EpochSampler,
    size: int,
    workers: int,
    soft: SoftLabels | None = None,
) -> DataLoader:
    """Augmented batches, size x size px, each with the paths of broken photos."""
    return DataLoader(
        PhotoSet(photos, training_transform(recipe), training_crop(recipe, size), soft),
        batch_size=recipe.batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        drop_last=True,
    )


def validation_loader(
    photos: Photos, recipe: Recipe, pre: Preprocessing, workers: int
) -> DataLoader:
    """The same of all photos in their order, as evaluation crops."""
    return DataLoader(
        PhotoSet(photos, validation_transform(pre)),
        batch_size=recipe.batch_size,
        num_workers=workers,
        collate_fn=collate,
    )


def collate(items: list[tuple[Batch, str | None]]) -> tuple[Batch, list[str]]:
    """A batch of `PhotoSet`'s items; of the paths of broken photos only those there are."""
    singles, broken = zip(*items, strict=True)
    photos, labels = default_collate([(b.photos, b.labels) for b in singles])
    soft = default_collate([b.soft for b in singles]) if singles[0].soft else None
    return Batch(photos, labels, soft), [path for path in broken if path is not None]
