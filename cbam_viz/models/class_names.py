"""Class names as frameworks and people write them down: text, tables, JSON, YAML, Python.

However they are written, they come out as one name for each output, in the outputs' order. Numbers
beside the names are taken for the outputs' only if they count them through, from 0 or from 1.
"""

import ast
import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from .errors import WeightsError

#: How files of class names end, beside JSON.
TEXTS = (".txt", ".names", ".csv", ".tsv", ".yaml", ".yml")
#: Files beside weights that hold class names; the first that is there is read.
CLASS_FILES = (
    *("classes.txt", "class_names.txt", "labels.txt"),
    *("classes.json", "class_names.json", "labels.json", "id2label.json"),
    *("class_indices.json", "class_to_idx.json", "label2id.json", "idx2label.json"),
    *(
        f"{stem}{suffix}"
        for stem in ("classnames", "label_names", "label_map", "idx_to_class")
        for suffix in (".txt", ".json")
    ),
    *(
        f"{stem}{suffix}"
        for stem in ("classes", "class_names", "labels", "label_names", "label_map")
        for suffix in TEXTS[1:]
    ),
    *("imagenet_classes.txt", "synset_words.txt", "obj.names"),
)

# Characters: reading takes seconds for each million of them.
_MOST_YAML = 1_000_000
# Under which key an object holds them, if it is not itself the table of them.
_HOLDERS = (
    *("names", "classes", "class_names", "CLASSES", "categories", "labels", "label_names"),
    *("id2label", "idx2label", "idx_to_class", "class_to_idx", "label2id", "vocab"),
)
# What a column of names, or the name of one class, is called; and its number.
_NAME = ("name", "label", "class", "class_name", "label_name", "classes", "labels", "title")
_NUMBER = ("id", "index", "idx", "class_id", "label_id", "class_index", "class_idx", "number")

# Of no pattern that tries a long run of spaces in many ways: strangers upload these files.
_NUMBER_FIRST = re.compile(r"(?P<number>\d+)[:,;\s]+(?P<name>[^:,;\s].*)")
_NUMBER_LAST = re.compile(r"(?P<name>.*[^:,;\s])[:,;\s]+(?P<number>\d+)")


def read_text(path: Path) -> str:
    """A text file as UTF-8, or as UTF-16 or -32 where it begins with a byte order mark.

    Raises:
        WeightsError: it is in another encoding; says how to save it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    encoding = "utf-8-sig"
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encoding = "utf-32"
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    if content.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise WeightsError(
            f"{path} is no text but a spreadsheet or an archive; save it as CSV, UTF-8"
        )
    try:
        text = content.decode(encoding)
        if "\0" not in text:
            return text
        why = "it holds zero bytes"
    except UnicodeDecodeError as error:
        why = str(error)
    other, name = "GBK or another old encoding", "GBK"
    if encoding == "utf-8-sig" and b"\0" in content:
        little = content[1::2].count(0) > content[::2].count(0)  # Latin letters have a zero byte
        name = "UTF-16LE" if little else "UTF-16BE"
        other = f"{name} without its mark"
    raise WeightsError(
        f"{path} cannot be read as UTF-8 ({why}). It may be {other}: save it as UTF-8, in an "
        "editor by Save as, Encoding UTF-8, or by "
        f"`iconv -f {name} -t UTF-8 {path.name} > utf8.txt`"
    )


def read_classes(path: Path) -> list[str]:
    """Class names from a file: one a line, a table with or without their numbers, JSON, YAML or
    what Python prints of a list or dict.

    Raises:
        WeightsError: it cannot be read, or holds no names.
    """
    if not path.is_file():
        raise WeightsError(f"the class names in {path} cannot be read: no such file")
    text, suffix = read_text(path).strip("\r\n"), path.suffix.lower()
    if suffix == ".json":
        try:
            return class_names(json.loads(text), path.name)
        except (ValueError, RecursionError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{path} is not valid JSON ({error})") from error
    if suffix in (".yaml", ".yml"):
        if len(text) > _MOST_YAML:
            raise WeightsError(f"{path} is too long for YAML; save its names one a line, as .txt")
        try:  # this loader makes text of everything, and "no" is a class like any other
            return class_names(yaml.load(text, yaml.BaseLoader), path.name)
        except (yaml.YAMLError, RecursionError) as error:
            raise WeightsError(f"{path} is not valid YAML ({error})") from error
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    if suffix in (".csv", ".tsv"):
        return _of_table(lines, "," if suffix == ".csv" else "\t", path.name)
    if text.lstrip()[:1] in ("[", "{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return class_names(value, path.name)
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        found = [match for line in lines if (match := pattern.fullmatch(line))]
        names = [match["name"] for match in found]
        # Where numbers are all that tells classes apart, they belong to the names.
        if len(found) == len(lines) == len(set(names)):
            numbered = _in_order([match["number"] for match in found], names)
            if numbered:
                return numbered
    return lines if text else []


def _in_order(numbers: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """The names by their numbers, if these count them through."""
    if len(names) < 2 or not all(re.fullmatch(r"\d{1,7}", number) for number in numbers):
        return None
    by_number = {int(number): name for number, name in zip(numbers, names, strict=True)}
    if sorted(by_number) not in (list(range(len(names))), list(range(1, len(names) + 1))):
        return None
    return [by_number[number] for number in sorted(by_number)]


def _of_table(lines: list[str], separator: str, where: str) -> list[str]:
    """The names of a table, whose first row may be a header, and a column the numbers."""
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as error:
        raise WeightsError(f"{where} is no table ({error})") from error
    rows = [row for row in rows if row]
    if len({len(row) for row in rows}) > 1:
        raise WeightsError(f"{where}: its rows have different numbers of columns; quote the names")
    if not rows:
        return []
    headed = [cell.lower() for cell in rows[0]]
    for body, header in ((rows, [""] * len(rows[0])), (rows[1:], headed)):
        columns = list(zip(*body, strict=True))
        for i, numbers in enumerate(columns):
            rest = sorted((header[j] not in _NAME, j) for j in range(len(columns)) if j != i)
            if rest and (names := _in_order(numbers, columns[rest[0][1]])):
                return names
    if named := [i for i, cell in enumerate(headed) if cell in _NAME]:
        return [row[named[0]] for row in rows[1:]]
    if len(rows[0]) == 1:
        return [row[0] for row in rows]
    raise WeightsError(
        f"{where}: none of its {len(rows[0])} columns numbers the classes, and none is called "
        "name; expected is one name a line, or a number and a name"
    )


def class_names(value: object, where: str, outputs: int | None = None) -> list[str]:
    """Names in the order of the outputs, from a list, ``{"0": "cat"}`` or ``{"cat": 0}``.

    Args:
        value: the names, or an object that holds them under a usual key.
        where: what they were found as, for an error.
        outputs: how many there are, where names with numbers may leave some of them out.

    Raises:
        WeightsError: they are none of these.
    """
    if isinstance(value, Mapping):
        for key in _HOLDERS:
            if isinstance(value.get(key), Mapping | list | tuple):
                return class_names(value[key], where, outputs)
        return _of_mapping(value, where, outputs)
    if not isinstance(value, list | tuple):
        raise WeightsError(f"{where}: expected are class names, found is {type(value).__name__}")
    if value and all(isinstance(v, Mapping) for v in value):
        return _of_objects(value, where)
    return [_name(v, i, where) for i, v in enumerate(value)]


def _of_mapping(value: Mapping, where: str, outputs: int | None) -> list[str]:
    def number(v: object) -> bool:
        return (
            isinstance(v, int)
            and not isinstance(v, bool)
            or bool(isinstance(v, str) and re.fullmatch(r"\d{1,7}", v))
        )

    if not all(map(number, value)) and all(map(number, value.values())):
        value = {index: name for name, index in value.items()}  # as ImageFolder has them
    if not all(map(number, value)):
        raise WeightsError(f"{where}: the keys of the class names are no numbers")
    by_index = {int(key): name for key, name in value.items()}
    if outputs and len(by_index) < outputs and all(0 <= i < outputs for i in by_index):
        by_index = {i: by_index.get(i) for i in range(outputs)}
    first = min(by_index, default=0)
    if first > 1 or max(by_index, default=-1) != first + len(by_index) - 1:
        raise WeightsError(
            f"{where}: the numbers of the class names have gaps ({len(by_index)} names, the last "
            f"is number {max(by_index)}); expected is one name for each output"
        )
    return [_name(by_index[i], i, where) for i in sorted(by_index)]


def _of_objects(values: Sequence[Mapping], where: str) -> list[str]:
    """From objects of one class each, as COCO's categories: in the order of their numbers."""
    name, number = (
        next((key for key in keys if all(key in v for v in values)), None)
        for keys in (_NAME, _NUMBER)
    )
    if name is None:
        raise WeightsError(
            f"{where}: expected is the name of every class, found are objects without"
        )
    if number and all(isinstance(v[number], int) for v in values):
        values = sorted(values, key=lambda v: v[number])
    return [_name(v[name], i, where) for i, v in enumerate(values)]


def _name(value: object, index: int, where: str) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[-1]  # as in Keras's index of ImageNet: ["n01440764", "tench"]
    if value is None or value == "":
        return f"class {index}"
    if not isinstance(value, str | int | float):
        kind = type(value).__name__  # never itself: YAML can make it endless
        raise WeightsError(f"{where}: class {index} is of type {kind}; expected is a name")
    return str(value)
