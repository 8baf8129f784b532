"""Where weights come from: the catalogue, a file, a folder, the Hugging Face Hub.

Everything here ends with a path on this machine; what is in it is `checkpoints`' business.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    SafetensorsParsingError,
)

from .bounds import check_count
from .class_names import CLASS_FILES
from .errors import WeightsError, few
from .neighbours import CONFIG, PREPROCESSOR, PROCESSOR
from .recognition import recognise

_PACKAGE = Path(__file__).parents[1]
# Installed, the weights lie inside the package; in a clone they lie beside it.
WEIGHTS = _PACKAGE / "weights" if (_PACKAGE / "weights").is_dir() else _PACKAGE.parent / "weights"

#: The model that is meant when none is named; a Space may set another.
DEFAULT = os.environ.get("CBAM_VIZ_MODEL") or "resnet50-cbam-imagenet"

#: How a file of weights may end; the first that a folder has is taken.
SUFFIXES = (".safetensors", ".pth", ".pt", ".pth.tar", ".ckpt", ".bin")
#: What libraries call the one that is meant, whatever lies beside it.
STANDARD = ("model.safetensors", "pytorch_model.bin")
#: What is read of a folder or repository besides its weights.
NEIGHBOURS = (CONFIG, PREPROCESSOR, PROCESSOR, *CLASS_FILES)
#: A repository's weights may have this many bytes; a ResNet-152-CBAM has 270 MB.
MAX_BYTES = 600_000_000
MAX_BESIDE = 20_000_000  # and what describes them

#: Hub ids, ``user/repo[@revision]``. The Hub's cache makes paths of them that leave no folder: each
#: part of a revision begins with a letter or digit, and ".." is nowhere.
HUB_ID = re.compile(
    r"(?!.*\.\.)\w[\w.-]{0,95}/\w[\w.-]{0,95}(@\w[\w.-]{0,95}(/\w[\w.-]{0,95}){0,3})?"
)

IMAGENET = "imagenet-resnet50-cbam"
_IMAGENET_SHA1 = "d8cf8488efb97afecd6b3287a3ca9fa093fc3127"


@dataclass(frozen=True)
class Located:
    """Weights on this machine.

    Attributes:
        path: a file, or a folder with one.
        name: what to call the model.
        about: what the source says of it, in the words of a ``config.json``.
    """

    path: Path
    name: str
    about: dict = field(default_factory=dict)


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be opened by its name; ``origin`` says where it comes from."""

    name: str
    origin: str


def catalogue() -> list[CatalogueEntry]:
    """The models that can be named, the default first.

    A folder of weights that a user has put into ``weights/`` is one of them: so the authors' own
    file, which only its link gives, becomes a name.
    """
    folders = sorted(f for f in WEIGHTS.glob("*/") if _weights_in(f.iterdir()))
    entries = [CatalogueEntry(folder.name, "bundled") for folder in folders]
    entries.append(CatalogueEntry(IMAGENET, "fetched through pytorchcv when first opened"))
    return sorted(entries, key=lambda entry: entry.name != DEFAULT)


def locate(source: str | Path) -> Located:
    """Find weights, or fetch them.

    Args:
        source: a catalogue name, a file, a folder, or a Hub id ``user/repo[@revision]``.

    Raises:
        WeightsError: there is no such thing, or it could not be fetched. What was fetched before
            stays usable.
    """
    name, path = str(source), Path(source)
    if name == IMAGENET:
        return _imagenet()
    if (WEIGHTS / name).is_dir() and name in (entry.name for entry in catalogue()):
        return Located(WEIGHTS / name, name)
    if path.exists():
        return Located(path, path.resolve().name)
    # What looks like a file is one that is not there, not a repository of that name.
    if HUB_ID.fullmatch(name) and not name.lower().endswith(SUFFIXES):
        return from_hub(name)
    names = ", ".join(entry.name for entry in catalogue())
    raise WeightsError(
        f"no model {name!r}: neither a file or folder, nor a Hub id (user/repo), nor in the "
        f"catalogue, which has: {names}"
    )


def weights_file(folder: Path) -> Path:
    """The one file of weights in a folder; the standard one (`STANDARD`) where there are several.

    Raises:
        WeightsError: there is none, or it is not clear which one is meant.
    """
    if not (found := _weights_in(folder.iterdir())):
        raise WeightsError(
            f"{folder.resolve().name} has no weights in it; expected is model.safetensors beside "
            f"its config.json, or one {' or '.join(SUFFIXES)} file"
        )
    if len(found) > 1:
        names = few(sorted(f.name for f in found))
        if any(re.fullmatch(r".*-\d{5}-of-\d{5}\.\w+", f.name) for f in found):
            raise WeightsError(
                f"the weights of {folder.name} are cut into pieces ({names}). Expected is one "
                'file: save them anew, as by save_pretrained(folder, max_shard_size="2GB")'
            )
        raise WeightsError(
            f"{folder.name} has {len(found)} files of weights ({names}); name the one to open"
        )
    return found[0]


def is_alone(path: Path) -> bool:
    """Whether a file of weights is the one that the other files of its folder speak of."""
    found = _weights_in(path.parent.iterdir())
    return not found or found == [path]


def _weights_in(files: Iterable[Path]) -> list[Path]:
    """The files of weights to choose from: the standard one alone, or all of the best kind."""
    files = list(files)
    for name in STANDARD:
        if standard := [f for f in files if f.name == name]:
            return standard
    kinds = ([f for f in files if f.name.lower().endswith(suffix)] for suffix in SUFFIXES)
    return next((found for found in kinds if found), [])


def _imagenet() -> Located:
    """The one ImageNet-1k ResNet-50-CBAM that is published, through pytorchcv's own loader."""
    try:
        from pytorchcv.models.common.model_store import get_model_file
    except ImportError as error:
        raise WeightsError(
            f"{IMAGENET} is fetched through pytorchcv, which is not installed; "
            "`pip install .[imagenet]` adds it"
        ) from error
    try:
        path = Path(get_model_file("cbam_resnet50"))
    except OSError as error:
        raise WeightsError(
            f"{IMAGENET} could not be fetched ({error}); with a network, or once it was fetched, "
            "it opens. The bundled models need none"
        ) from error
    with path.open("rb") as f:
        found = hashlib.file_digest(f, "sha1").hexdigest()
    if found != _IMAGENET_SHA1:
        raise WeightsError(
            f"{path} has the SHA-1 {found}, expected is {_IMAGENET_SHA1}; delete it to fetch it "
            "again"
        )
    about = {
        "input": {"size": 224, "crop_resize": 256},
        "figures": {"top1": 0.7983, "top5": 0.9495},
        "license": "MIT (pytorchcv)",
        "activation": "softmax",
    }
    return Located(path, IMAGENET, about)


def from_hub(
    name: str, cache: Path | None = None, make_room: Callable[[int], None] = lambda size: None
) -> Located:
    """A repository of the Hub: its weights, and what describes them.

    Sizes are asked first, and what tensors there are, where the format tells; the rest is fetched
    only if a network may be in it.

    Args:
        name: a Hub id, ``user/repo[@revision]``.
        cache: a folder to fetch into; the Hub's ordinary cache if None.
        make_room: called with the bytes that will be fetched, before they are.

    Raises:
        WeightsError: there is no such thing, or it could not be fetched.
    """
    repo, _, revision = name.partition("@")
    revision = revision or None
    patterns = [*NEIGHBOURS, *(f"*{suffix}" for suffix in SUFFIXES)]
    try:
        try:
            offered = snapshot_download(
                repo, revision=revision, allow_patterns=patterns, dry_run=True, cache_dir=cache
            )
        except DryRunError as error:
            if isinstance(error.__cause__, HfHubHTTPError):
                raise error.__cause__ from None
            # The Hub cannot be reached: perhaps it was fetched before.
            return Located(fetched_before(repo, revision, cache), name)
        sizes = {Path(f.filename): f.file_size or 0 for f in offered}
        found = _weights_in(f for f in sizes if f.parent == Path("."))
        if len(found) != 1:
            names = ", ".join(sorted(f.name for f in found)) or "none"
            raise WeightsError(
                f"{name} must hold one file of weights, {' or '.join(SUFFIXES)}; found: {names}"
            )
        if sizes[found[0]] > MAX_BYTES:
            raise WeightsError(
                f"the weights of {name} have {sizes[found[0]]:,} bytes, more than a ResNet-CBAM "
                f"can have; at most {MAX_BYTES:,} are fetched"
            )
        wanted = [found[0].name, *NEIGHBOURS]
        if (beside := sum(size for f, size in sizes.items() if f.name in NEIGHBOURS)) > MAX_BESIDE:
            raise WeightsError(
                f"what describes the weights of {name} has {beside:,} bytes; at most "
                f"{MAX_BESIDE:,} are fetched"
            )
        coming = [f for f in offered if f.will_download and f.filename in wanted]
        if coming:
            _check_header(repo, revision, found[0].name)
            make_room(sum(f.file_size or 0 for f in coming))
        folder = snapshot_download(repo, revision=revision, allow_patterns=wanted, cache_dir=cache)
        return Located(Path(folder), name)
    except GatedRepoError as error:
        raise WeightsError(f"{repo} is gated; ask for access on its page first") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"there is no model {repo!r} on the Hugging Face Hub, or it is private and "
            "`hf auth login` has to come first"
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{repo} on the Hub has no revision {revision!r}") from error
    except HFValidationError as error:
        raise WeightsError(f"{name!r} is no id of a Hub repository: {error}") from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{name} could not be fetched: the Hugging Face Hub cannot be reached, and it was "
            "not fetched before. The bundled models need no network"
        ) from error
    except WeightsError:
        raise
    except Exception as error:
        # A full disk; or what the Hub's client lets through of its transport, httpx or another by
        # its version, when the Hub breaks off and does not come back.
        raise WeightsError(f"{name} could not be fetched: {error}") from error


def _check_header(repo: str, revision: str | None, file: str) -> None:
    """Look at the tensors of a safetensors file, of which the header alone is fetched.

    Raises:
        WeightsError: no network of ours can be made of them.
    """
    if not file.endswith(".safetensors"):
        return
    try:
        header = HfApi().parse_safetensors_file_metadata(repo, file, revision=revision)
    except SafetensorsParsingError as error:
        raise WeightsError(f"{file} of {repo} is no safetensors file ({error})") from error
    check_count(file, header.tensors)
    with suppress(RuntimeError):  # known by its names; values are looked at once they are there
        recognise({k: torch.empty(t.shape, device="meta") for k, t in header.tensors.items()})


def fetched_before(repo: str, revision: str | None, cache: Path | None = None) -> Path:
    """The folder of a repository that was fetched before; nothing is fetched.

    Raises:
        LocalEntryNotFoundError: it was not.
    """
    try:
        return Path(
            snapshot_download(repo, revision=revision, local_files_only=True, cache_dir=cache)
        )
    except IncompleteSnapshotError as error:
        # The rest of the repository was never wanted.
        return Path(error.snapshot_path)
