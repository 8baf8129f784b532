"""What lies in a file of weights, told by its content: its name is only what somebody called it.

No code in a file is ever run. Pickles go through torch's own ``weights_only`` reader. Classes that
it does not know, but that are known here to hold settings and scores and nothing else (`_DATA`),
get inert stand-ins: neither the class is imported nor anything of it called. A TorchScript archive
is read the same way, for its tensors alone. Everything else is refused by name.
"""

import hashlib
import io
import pickle
import pickletools
import re
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from .bounds import check_pickle, check_read, check_safetensors, check_zip
from .errors import WeightsError

#: How to get a file that opens, wherever one does not.
HOW_TO_SAVE = "save `model.state_dict()` alone, with torch.save or, best, as safetensors"

# What torch's reader makes of a pickle by itself.
_TORCHS_OWN = re.compile(
    r"torch\.(\w+Storage|\w+Tensor|Size|Tensor|device|bool|[a-z_]+\d\w*|per_\w+|storage\.\w+"
    r"|_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2|nn\.parameter\.Parameter"
    r"|serialization\._get_layout)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray|complex)"
)
# Classes that training scripts leave beside the weights. None of them is ever made: the names say
# that nothing of the network is in there.
_DATA = re.compile(
    r"numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|_?core\.numeric\._frombuffer|ndarray|dtype"
    r"|dtypes\.\w+|bool_?|float\d+|u?int\d+|str_|random\._pickle\.\w+)"
    r"|argparse\.Namespace|types\.SimpleNamespace|collections\.(defaultdict|deque)"
    r"|pathlib(\._local)?\.\w*Path|datetime\.\w+|zoneinfo\.ZoneInfo|decimal\.Decimal"
    r"|fractions\.Fraction|uuid\.(UUID|SafeUUID)|typing\.\w+"
    r"|builtins\.(object|int|float|bool|str|bytes|list|dict|tuple|frozenset|slice|range)"
    r"|copyreg\._reconstructor|torch\.torch_version\.TorchVersion"
    r"|torch\.(optim|amp|cuda\.amp|nn\.modules\.loss)\.[\w.]+"
    r"|(pytorch_lightning|lightning|lightning_fabric)\.[\w.]+"
    r"|(omegaconf|yacs|easydict|addict|munch|box|ml_collections|mmcv|mmengine|accelerate|transformers"
    r"|torchmetrics)\.[\w.]+"
)
# Those of them that a pickle fills as it fills a dict, or a list.
_LIKE_DICT = re.compile(r".*(\b|_|[a-z])([Dd]ict|CfgNode|Munch|Box)")
_LIKE_LIST = {"collections.deque"}
# The classes of a TorchScript archive, and the helpers that its lists go through.
_SCRIPT = re.compile(r"__torch__\.[\w.]+|torch\.jit\._pickle\.\w+")

#: What a file begins with -> what it then is.
_OTHER_FILES = (
    (rb"\s*(<!doctype|<html|<head|<\?xml)", "a web page, perhaps the one to download from"),
    (rb"\s*[\[{]", "JSON"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed archive; unpack it first"),
    (rb".{257}ustar", "a tar archive; unpack it first"),
    (rb"\x89HDF\r\n", "HDF5, as Keras writes it"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"GGUF", "GGUF"),
    (rb".{4}TFL3", "TensorFlow Lite"),
    (rb"\x08.{0,9}[\x12\x1a].{0,40}(pytorch|onnx)", "ONNX, which has a graph and no layers' names"),
    (rb"\x89PNG|\xff\xd8\xff|RIFF.{4}WEBP|GIF8|.{4}ftyp", "a picture or a video"),
    (rb"%PDF", "a PDF document"),
    (rb"[\t\n\r -~\x80-\xff]*$", "text"),
)
_LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)

# The names that may be read are the process's: two readers must not take away each other's.
_reading = threading.Lock()


def read_weights(path: Path) -> tuple[Mapping, str]:
    """What lies in a weights file, unconverted, and the file's SHA-256. Runs no code of the file.

    Args:
        path: a safetensors file, whatever torch.save wrote, or a TorchScript archive.

    Raises:
        WeightsError: missing, empty, truncated, a Git-LFS pointer, not a weights file, or a
            pickle that holds more than weights and settings; says what stopped it.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; expected are the weights of a model")
    with path.open("rb") as f:
        head = f.read(512)
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path} is a Git-LFS pointer, not the weights themselves; fetch them with "
            "`git lfs pull`"
        )
    if not head:
        raise WeightsError(f"{path} is empty; fetch it again")
    # Both read the whole file, and neither holds the interpreter's lock while it does.
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(_sha256, path)
        weights = _read(path, head)
        check_read(path, weights)
        return weights, digest.result()


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _read(path: Path, head: bytes) -> Mapping:
    # A safetensors file begins with the length of its header, and that with a brace.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        try:
            check_safetensors(path, head)
            # Not mapped: the tensors have to stay what they are when the file changes.
            return load(path.read_bytes())
        except SafetensorError as error:
            raise WeightsError(
                f"{path} is truncated or no safetensors file ({error}); fetch it again"
            ) from error
    try:
        if head.startswith(b"PK"):
            check_zip(path)
            return _read_zip(path)
        if head.startswith(_LEGACY_MAGIC):
            with path.open("rb") as file:  # magic number, version, facts, weights, their order
                check_pickle(path, file, pickles=5)
            return _unpickle(path, path)
    except WeightsError:
        raise
    except Exception as error:  # of any class: torch's readers assert, unpack and look up
        said = str(error).strip() or type(error).__name__
        raise _damaged(path, said.splitlines()[0][:120]) from error
    if head[:1] == b"\x80":
        raise WeightsError(
            f"{path} was written by pickle itself. That could run any code, and is not opened; "
            f"{HOW_TO_SAVE}"
        )
    for pattern, words in _OTHER_FILES:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            raise _damaged(path, f"its content is {words}")
    raise _damaged(path, "its content is of no kind known here")


def _damaged(path: Path, why: str) -> WeightsError:
    kind = "safetensors" if path.suffix.lower() == ".safetensors" else "PyTorch"
    return WeightsError(
        f"{path} is truncated or no {kind} file ({why}); fetch it again. Expected is what "
        "torch.save or safetensors write: .safetensors, .pth, .pt, .pth.tar, .ckpt or .bin"
    )


def _read_zip(path: Path) -> Mapping:
    """torch.save's zip, or TorchScript's."""
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] or name for name in archive.namelist()}
        if "constants.pkl" in names and "data.pkl" in names:
            return _read_script(path, archive)
        if "data.pkl" not in names:
            what = "another zip archive; unpack it first"
            if any(name.endswith(".npy") for name in archive.namelist()):
                what = "NumPy arrays"
            elif names & {"archive_format", "archive_version", "serialized_exported_program.json"}:
                what = "a program of torch.export, of which only `program.state_dict` is needed"
            raise WeightsError(f"{path} is no file of weights: it is {what}. Please {HOW_TO_SAVE}")
    return _unpickle(path, path)


def _read_script(path: Path, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive under their modules' names, none of its code run."""
    # torch.load hands TorchScript to its interpreter; what it tells it by is left out of a copy.
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as plain:
        for name in archive.namelist():
            if re.fullmatch(r"[^/]+/(data\.pkl|data/\d+|version|byteorder)", name):
                plain.writestr(name, archive.read(name))
    copy.seek(0)
    tensors: dict[str, Tensor] = {}

    def collect(value: object, name: str, depth: int = 0) -> None:
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, _StandIn) and isinstance(value.state, Mapping) and depth < 16:
            for key, inner in value.state.items():
                collect(inner, f"{name}.{key}" if name else str(key), depth + 1)

    collect(_unpickle(path, copy), "")
    if not tensors:
        raise WeightsError(
            f"{path} is a frozen TorchScript archive: its weights are constants without names. "
            f"Please {HOW_TO_SAVE}"
        )
    return tensors


class _StandIn:
    """In the place of an object that is not wanted: takes what it is given, and does nothing."""

    state: object = None

    def __new__(cls, *_):
        return super().__new__(cls)

    def __init__(self, *_):
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


def _stand_in(name: str) -> type:
    """A class of its own for each name, as one of them cannot stand for two."""

    class StandIn(_StandIn):
        if _LIKE_DICT.fullmatch(name):

            def __new__(cls, *_):
                return OrderedDict()

        elif name in _LIKE_LIST:

            def __new__(cls, *_):
                return []

    return StandIn


def _unpickle(path: Path, source: Path | BinaryIO) -> object:
    """What torch.save wrote, with stand-ins for what is not weights.

    Raises:
        WeightsError: there are objects in it of classes that are not known to be mere data.
    """
    try:
        return _load(source)
    except pickle.UnpicklingError as error:
        first = error
    named, protocol = _named(source)
    if protocol != 2:
        raise WeightsError(
            f"{path} was saved with pickle_protocol={protocol}, which cannot be read without "
            f"running what it says, and is not opened; {HOW_TO_SAVE}, with the default protocol"
        ) from first
    named = {name: key for name, key in named.items() if not _TORCHS_OWN.fullmatch(name)}
    known = [name for name in named if _DATA.fullmatch(name) or _SCRIPT.fullmatch(name)]
    if strange := {name: key for name, key in named.items() if name not in known}:
        raise WeightsError(_refused(path, strange)) from first
    with _reading, torch.serialization.safe_globals([(_stand_in(name), name) for name in known]):
        try:
            return _load(source)
        except pickle.UnpicklingError as error:
            reason = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
            raise WeightsError(
                f"{path} is damaged, or holds objects that cannot be read safely and are not "
                f"opened ({reason[0][:200] if reason else 'no reason given'}); {HOW_TO_SAVE}"
            ) from error


def _load(source: Path | BinaryIO) -> object:
    # Opened here: torch.load goes by a path's name.
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def _refused(path: Path, strange: Mapping[str, str | None]) -> str:
    """Which objects stopped it, and what to do."""
    whole = any(name.startswith("torch.nn.modules.") for name in strange)
    listed = [
        f"{name} (at {key!r})" if key and not whole else name
        for name, key in sorted(strange.items(), key=lambda item: item[0].startswith("torch."))
    ]
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    what = "a whole model, pickled with the names of its code" if whole else "more than weights"
    return (
        f"{path} holds {what}: {', '.join(listed[:4])}{more}. Pickled objects could run any code "
        f"and are not opened; where such objects are known, {HOW_TO_SAVE}"
    )


def _named(source: Path | BinaryIO) -> tuple[dict[str, str | None], int]:
    """The classes and functions that a pickle names, with the key that each stands at, if any.

    Nothing is made of them: the pickle is only read through. With its protocol.
    """
    if isinstance(source, Path) and not zipfile.is_zipfile(source):
        with source.open("rb") as file:
            for _ in range(3):  # magic number, version, and the machine's facts
                for _ in pickletools.genops(file):
                    pass
            return _named_in(file)
    with zipfile.ZipFile(source) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        return _named_in(io.BytesIO(archive.read(name)))


def _named_in(pickled: BinaryIO) -> tuple[dict[str, str | None], int]:
    found: dict[str, str | None] = {}
    protocol, key = 0, None
    for op, argument, _ in pickletools.genops(pickled):
        if op.name == "PROTO":
            protocol = argument
        elif op.name == "GLOBAL":
            name = argument.replace(" ", ".").replace("__builtin__.", "builtins.")
            name = name.replace("copy_reg.", "copyreg.")
            found.setdefault(name, key)
        elif op.name in ("BINUNICODE", "SHORT_BINUNICODE") and argument:
            key = argument[:80]
    return found, protocol
