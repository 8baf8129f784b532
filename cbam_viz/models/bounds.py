"""How much a file of weights may ask for, looked up before and after it is read.

Few bytes can describe much: a compressed record unpacks to gigabytes, a tensor of stride 0 has more
elements than its storage, one storage under ten thousand names is converted ten thousand times.
No file of a network has any of it.
"""

import io
import pickletools
import struct
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from .errors import WeightsError

MAX_HEADER = 10_000_000  # bytes of a safetensors header
MAX_DIRECTORY = 5_000_000  # bytes of a zip's list of records
MAX_OPERATIONS = 1_000_000  # of a pickle; a ResNet-50 with its optimizer's state has 50,000
MAX_VALUES = 200_000  # in all containers of a file together
MAX_NAMED = 5_000  # tensors of one mapping; a ResNet-152-CBAM has 1,400
MAX_NAME = 300  # characters
MAX_PARAMETERS = 150_000_000  # a wide ResNet-101-2 with CBAM has 130 million

_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_DTYPES |= {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool}


def check_safetensors(path: Path, head: bytes) -> None:
    """Look at the length of the header, which is parsed at once.

    Raises:
        WeightsError: it is more than a network needs.
    """
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER:
        raise _excessive(path, f"a header of {length:,} bytes")


def check_zip(path: Path) -> None:
    """Look at the records of a zip file, and at what its pickle makes.

    Raises:
        WeightsError: there are compressed ones, or more than the file can hold, or the pickle
            makes more than a network needs.
        zipfile.BadZipFile: it is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 70_000))
        end = file.read()
    at, at64 = end.rfind(b"PK\5\6"), end.rfind(b"PK\6\6")
    if at >= 0 and len(end) >= at + 22:
        directory = struct.unpack_from("<I", end, at + 12)[0]
        if directory == 0xFFFFFFFF and at64 >= 0:
            directory = struct.unpack_from("<Q", end, at64 + 40)[0]
        if directory > MAX_DIRECTORY:
            raise _excessive(path, f"a list of records of {directory:,} bytes")
    with zipfile.ZipFile(path) as archive:
        # TorchScript's code is compressed, and not read.
        records = [r for r in archive.infolist() if "/code/" not in r.filename]
        if any(r.compress_type != zipfile.ZIP_STORED for r in records):
            raise WeightsError(
                f"{path.name} has compressed records, which torch.save never writes; save it anew"
            )
        if sum(r.file_size for r in records) > size:
            raise _excessive(path, "records of more bytes than the file has")
        for record in records:
            if record.filename.endswith("data.pkl"):
                check_pickle(path, io.BytesIO(archive.read(record)))


def check_pickle(path: Path, pickled: BinaryIO, pickles: int = 1) -> None:
    """Read pickles through, making nothing of them.

    Raises:
        WeightsError: they make more than a network needs.
        ValueError: they are damaged.
    """
    done = 0
    for _ in range(pickles):
        for operation, argument, _ in pickletools.genops(pickled):
            done += 1
            if done > MAX_OPERATIONS:
                raise _excessive(path, f"more than {MAX_OPERATIONS:,} operations to unpickle it")
            # It takes a number, and makes so many bytes.
            if operation.name in ("GLOBAL", "STACK_GLOBAL") and "bytearray" in str(argument):
                raise _excessive(path, "a bytearray")


def check_read(path: Path, value: object) -> None:
    """Look through what was read, before anything is made of it.

    Raises:
        WeightsError: it has more tensors, names or elements than its bytes can mean, or tensors
            that cannot be computed with.
    """
    waiting, seen, total = [("", value)], {id(value)}, 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Tensor):
            total += _bytes(path, name, value)
            if total > 2 * path.stat().st_size + 1_000_000:
                raise _excessive(path, "tensors of more bytes together than the file has")
            continue
        inner: Iterable = ()
        if isinstance(value, Mapping):
            inner = value.items()
            if sum(isinstance(v, Tensor) for v in value.values()) > MAX_NAMED:
                raise _excessive(path, f"more than {MAX_NAMED:,} tensors side by side")
        elif isinstance(value, list | tuple | set):
            inner = (("", v) for v in value)
        for key, v in inner:
            if isinstance(key, str) and len(key) > MAX_NAME:
                raise _excessive(path, f"a name of {len(key):,} characters")
            if id(v) not in seen and isinstance(v, Tensor | Mapping | list | tuple | set):
                seen.add(id(v))
                waiting.append((str(key), v))
        if len(seen) > MAX_VALUES:
            raise _excessive(path, f"more than {MAX_VALUES:,} values")


def _bytes(path: Path, name: str, tensor: Tensor) -> int:
    """Of a tensor's elements, which all have to be there."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        kind = "empty" if tensor.is_meta else "quantised" if tensor.is_quantized else "sparse"
        raise WeightsError(
            f"{path.name}: the tensor {name!r} is {kind}; expected are ordinary ones, "
            "as `model.state_dict()` gives them"
        )
    if tensor.dtype not in _DTYPES:
        raise WeightsError(
            f"{path.name}: the tensor {name!r} is of {str(tensor.dtype).removeprefix('torch.')}, "
            "which is not read; save the weights as float32 or float16"
        )
    size = tensor.numel() * tensor.element_size()
    if size > tensor.untyped_storage().nbytes():
        raise _excessive(path, f"more elements in {name!r} than are stored of it")
    return size


def check_count(name: str, tensors: Collection) -> None:
    """Look at how many tensors a file has.

    Raises:
        WeightsError: they are more than a network needs.
    """
    if len(tensors) > MAX_NAMED:
        raise WeightsError(f"{name} has {len(tensors):,} tensors; at most {MAX_NAMED:,} are read")


def check_network(weights: Mapping[str, Tensor]) -> None:
    """Look at the tensors of a network, before they are converted.

    Raises:
        WeightsError: there are too many parameters.
    """
    if (parameters := sum(t.numel() for t in weights.values())) > MAX_PARAMETERS:
        raise WeightsError(
            f"the network has {parameters:,} parameters; at most {MAX_PARAMETERS:,} are read"
        )


def _excessive(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path.name} asks for more than a network needs: {what}")
