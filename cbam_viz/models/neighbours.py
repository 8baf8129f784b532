"""What the files beside a model's weights say of it: class names, normalisation, input size.

Three writers of such files are understood: this package (``config.json`` beside a
``model.safetensors``, and a ``classes.txt``), timm (``config.json`` with ``pretrained_cfg``, or
flat) and transformers (``config.json`` with ``id2label``, and ``preprocessor_config.json``). What
they say is put into this package's own words. Whatever else they say is either known to be of no
concern to a forward pass, or named in a note as not understood: nothing is passed over in silence.
"""

import inspect
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

from .class_names import CLASS_FILES, class_names, read_classes, read_text
from .errors import WeightsError, few
from .resnet import ResNetCBAM

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
#: Where transformers puts a preprocessor's settings since its fifth version.
PROCESSOR = "processor_config.json"
#: What may describe weights, by its name; what is not read of it is said.
_DESCRIBES = re.compile(
    r".*(class|label|categor|names|hparam|args|cfg|config|process|transform|normal|data).*"
    r"\.(ya?ml|json|csv|tsv|txt|toml|ini|pbtxt|names)",
    re.IGNORECASE,
)
#: What a ``config.json`` of ours may say.
_OURS = {
    *inspect.signature(ResNetCBAM).parameters,
    *("classes", "classes_zh", "input", "gates_trained", "figures", "license"),
    *("activation", "planes", "notes", "open_at", "unsure_below"),
}
# What tells timm's.
_TIMM = {
    *("pretrained_cfg", "architecture", "input_size", "crop_pct", "interpolation", "mean", "std"),
    *("label_names", "label_descriptions", "labels"),
}
# What others write that no forward pass needs, or that the weights themselves tell.
_NO_CONCERN = {
    *("architecture", "architectures", "num_features", "num_classes", "num_labels", "model_type"),
    *(
        "label2id",
        "torch_dtype",
        "dtype",
        "transformers_version",
        "_name_or_path",
        "finetuned_from",
    ),
    *("library_name", "license", "license_name", "license_link", "tags", "pipeline_tag"),
    *("return_dict", "output_attentions", "output_hidden_states", "use_cache", "auto_map"),
    *("tag", "url", "file", "source", "hf_hub_id", "hf_hub_filename", "origin_url", "paper_ids"),
    *("paper_name", "description", "notes", "custom_load", "first_conv", "classifier", "pool_size"),
    *("test_input_size", "test_crop_pct", "test_pool_size", "min_input_size", "fixed_input_size"),
    *("image_processor_type", "feature_extractor_type", "processor_class", "do_convert_rgb"),
    *("_valid_processor_keys", "data_format", "input_data_format", "return_tensors", "device"),
    *("default_to_square", "disable_grouping", "initializer_range", "bad_words_ids"),
}
_NO_CONCERN_IN_ARGS = {
    *(
        "block_args",
        "num_classes",
        "drop_rate",
        "drop_path_rate",
        "drop_block_rate",
        "zero_init_last",
    ),
    *("pretrained", "scriptable", "checkpoint_path"),
}
_INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
# Pillow's numbers, by which transformers calls them.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}

#: ImageNet's normalisation, which holds where nothing is said.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# A number that a file gives is not believed beyond this.
_MOST_CLASSES = 1_000_000
#: The shortest and longest side, in px, that a file may ask for.
_SIDES = (32, 1024)


def about(folder: Path, classes: Path | None = None) -> dict:
    """What the files of a folder say of the weights in it, in the words of our ``config.json``.

    Args:
        folder: with the weights.
        classes: a file of class names that is read in any case.

    Returns:
        ``classes``, ``input`` and more, whichever are said; and ``notes``, a sentence for each
        thing that was said and not understood.

    Raises:
        WeightsError: a file cannot be read, or says what cannot be.
    """
    config, preprocessor = _read_json(folder / CONFIG), _read_json(folder / PREPROCESSOR)
    read = {CONFIG, PREPROCESSOR, classes and classes.name}
    if not preprocessor and isinstance(
        processor := _read_json(folder / PROCESSOR).get("image_processor"), dict
    ):
        preprocessor, read = processor, read | {PROCESSOR}
    # Ours alone say these, and anybody may add them to another's.
    chosen = {key: config.pop(key) for key in ("planes", "activation") if key in config}
    if config.keys() & {"block", "layers", "input", "classes"}:
        found, unknown = dict(config), {k: v for k, v in config.items() if k not in _OURS}
        if "classes" in found:
            found["classes"] = class_names(found["classes"], f"{CONFIG}, classes")
    elif config.keys() & _TIMM:
        found, unknown = _of_timm(config)
    else:
        found, unknown = {}, dict(config)
    found |= chosen
    found.setdefault("notes", [])
    if problem := unknown.pop("problem_type", None):
        many = problem == "multi_label_classification"
        found.setdefault("activation", "sigmoid" if many else "softmax")
        if not many and problem != "single_label_classification":
            found["notes"].append(
                f"{CONFIG} says problem_type = {problem!r}: then its outputs are no classes, and "
                "the probabilities say nothing."
            )
    for key in ("id2label", "label2id"):
        if "classes" not in found and (labels := config.get(key)):
            found["classes"] = class_names(labels, f"{CONFIG}, {key}")
    unknown = {k: v for k, v in unknown.items() if k not in _NO_CONCERN and k != "id2label"}
    if preprocessor:
        size, more = _of_transformers(preprocessor, found["notes"])
        found["input"] = found.get("input", {}) | size
        unknown |= more
    if unknown:
        names = ", ".join(sorted(str(name)[:60] for name in unknown)[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        found["notes"].append(f"Not understood of what lies beside the weights: {names}{more}.")
    if "classes" not in found:
        there = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
        if name := next((name for name in CLASS_FILES if name.lower() in there), None):
            found["classes"] = read_classes(there[name.lower()])
            read.add(there[name.lower()].name)
    left = sorted(f.name for f in folder.iterdir() if f.name not in read and f.is_file())
    if left := [name for name in left if _DESCRIBES.fullmatch(name)]:
        found["notes"].append(f"Not read of what lies beside the weights: {few(left)}.")
    return found


def _read_json(path: Path) -> dict:
    """The object in a JSON file; nothing if there is none."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds no object but {type(value).__name__}")
    return value


def _of_timm(config: dict) -> tuple[dict, dict]:
    """timm's ``config.json``: with ``pretrained_cfg`` since 2022, flat before."""
    nested = config.get("pretrained_cfg")
    if nested is not None and not isinstance(nested, dict):
        raise WeightsError(f"{CONFIG}: pretrained_cfg is no object but {type(nested).__name__}")
    rest = dict(nested or {}) | {k: v for k, v in config.items() if k != "pretrained_cfg"}
    notes: list[str] = []
    found: dict = {"notes": notes}

    names = rest.pop("label_names", None) or rest.pop("labels", None)
    descriptions = rest.pop("label_descriptions", None) or {}
    rest.pop("labels", None)
    if isinstance(said := config.get("num_classes"), int):
        found["outputs"] = said
    if names:
        outputs = rest.get("num_classes")
        outputs = outputs if isinstance(outputs, int) and outputs <= _MOST_CLASSES else None
        names = class_names(names, f"{CONFIG}, label_names", outputs)
        if isinstance(descriptions, dict):
            names = [str(descriptions.get(name, name)) for name in names]
        elif isinstance(descriptions, list) and len(descriptions) == len(names):
            names = class_names(descriptions, f"{CONFIG}, label_descriptions")
        else:
            notes.append("The label_descriptions are not understood: label_names are used.")
        found["classes"] = names

    # Where timm's files are silent, its own defaults hold.
    size = _side(rest.pop("input_size", None) or (3, 224, 224), "input_size", notes)
    share = _number(rest.pop("crop_pct", None) or 0.875, "crop_pct")
    if not 0.1 <= share <= 1:
        raise WeightsError(f"crop_pct is {share}; expected is a share of the side, 0.1 to 1")
    found["input"] = {"size": size, "crop_resize": math.floor(size / share)}
    take_normalisation(found["input"], rest.pop("mean", None), rest.pop("std", None), notes)
    interpolation = rest.pop("interpolation", None) or "bicubic"
    if interpolation in _INTERPOLATIONS:
        found["input"]["interpolation"] = interpolation
    else:
        notes.append(f"The interpolation {interpolation!r} is not known: bilinear is used.")
    if (mode := rest.pop("crop_mode", None) or "center") != "center":
        notes.append(f"The crop mode {mode!r} is not followed: photos keep their aspect ratio.")
    if (pool := rest.pop("global_pool", None) or "avg") != "avg":
        raise WeightsError(
            f"{CONFIG} says global_pool = {pool!r}; expected is a network that averages its last "
            "map (avg): with another pool its predictions would not be these"
        )
    arguments = rest.pop("model_args", None)
    if isinstance(arguments, dict):
        plain = {"in_chans": 3, "output_stride": 32, "global_pool": "avg"}
        rest |= {
            f"model_args.{key}": value
            for key, value in arguments.items()
            if key not in _NO_CONCERN_IN_ARGS and plain.get(key) != value
        }
    return found, rest


def _of_transformers(config: dict, notes: list[str]) -> tuple[dict, dict]:
    """transformers' ``preprocessor_config.json``: input settings, and what is not understood."""
    rest = {k: v for k, v in config.items() if k not in _NO_CONCERN}
    found: dict = {}
    size, crop = rest.pop("size", None), rest.pop("crop_size", None)
    if isinstance(size, dict) and not {"shortest_edge", "height", "width"} & size.keys():
        rest["size"], size = size, None  # of a longest edge, say
    share = rest.pop("crop_pct", None)
    if rest.pop("do_resize", None) is not False and size is not None:
        side = _side(size, "size", notes)
        found |= {"size": side, "crop_resize": side}
        whole = isinstance(size, dict) and "shortest_edge" in size
        if share is not None and whole and side < 384:  # ConvNeXT's way
            found["crop_resize"] = int(side / _number(share, "crop_pct"))
        elif rest.pop("do_center_crop", None) and crop is not None:
            found["size"] = _side(crop, "crop_size", notes)
        elif not whole:
            notes.append("Photos are not squeezed into a square, as it was trained: they keep "
                         "their aspect ratio.")  # fmt: skip
    rest.pop("do_center_crop", None)
    if (number := rest.pop("resample", None)) is not None:
        name = number if number in _INTERPOLATIONS else None
        if isinstance(number, int):
            name = _RESAMPLE.get(number)
        if name is None:
            notes.append(f"The resampling {number!r} is not known: bilinear is used.")
        else:
            found["interpolation"] = name
    mean, std = rest.pop("image_mean", None), rest.pop("image_std", None)
    if rest.pop("do_normalize", None) is False:
        mean, std = (0, 0, 0), (1, 1, 1)
    take_normalisation(found, mean, std)
    # Values other than 0 to 1 are the same as another mean and deviation of these.
    factor = rest.pop("rescale_factor", None)
    factor = 1 / 255 if factor is None else _number(factor, "rescale_factor")
    if rest.pop("do_rescale", None) is False:
        factor = 1.0
    if factor <= 0:
        raise WeightsError(f"rescale_factor is {factor}; expected is more than 0, as 1/255")
    if abs(255 * factor - 1) > 1e-3:
        for key, usual in (("mean", _MEAN), ("std", _STD)):
            found[key] = [v / (255 * factor) for v in found.get(key, usual)]
    return found, {key: value for key, value in rest.items() if value not in (None, False)}


def take_normalisation(
    found: dict, mean: object, std: object, notes: list[str] | None = None
) -> None:
    """Put mean and deviation among input settings.

    Args:
        found: settings; changed.
        mean, std: three numbers, or one for all colours; left out if None.
        notes: if given, values for photos of 0..255 are divided, and it is said here.
    """
    for key, values in (("mean", mean), ("std", std)):
        if values is None:
            continue
        values = [values] * 3 if isinstance(values, int | float) else values
        if isinstance(values, list | tuple) and len(values) == 1:
            values = list(values) * 3
        found[key] = list(values) if isinstance(values, list | tuple) else values
    means = found.get("mean")
    if notes is None or not isinstance(means, list) or not all(map(_is_number, means)):
        return
    if max(means) > 3:  # no mean of values up to 1 is
        for key in ("mean", "std"):
            if key in found:
                found[key] = [_number(value, key) / 255 for value in found[key]]
        notes.append("Its mean and std are taken for those of values of 0 to 255.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: object, name: str) -> float:
    if isinstance(value, int | float) and _is_number(value):
        return float(value)
    raise WeightsError(f"{name} is {value!r}; expected is a number")


def _side(value: object, name: str, notes: list[str]) -> int:
    """A side in px of what is given as a number, as sides or by name; the shorter of two."""
    if isinstance(value, dict):
        value = value.get("shortest_edge") or [value.get("height"), value.get("width")]
    sides: Iterable = list(value)[-2:] if isinstance(value, list | tuple) else [value]
    sides = [int(_number(side, name)) for side in sides]
    if len(set(sides)) > 1:
        notes.append(f"Photos are not squeezed to {sides[1]} x {sides[0]} px: the shorter side "
                     "is used, and they keep their aspect ratio.")  # fmt: skip
    return min(sides)


def check_input(values: object) -> dict:
    """The input settings of a ``config.json``, once they are such as a photo can be seen with.

    Raises:
        WeightsError: a setting is unknown, or its value cannot be.
    """
    if not isinstance(values, dict):
        raise WeightsError(f"the input settings are no object but {type(values).__name__}")
    known = ("size", "crop_resize", "mean", "std", "interpolation")
    if unknown := set(values) - set(known):
        raise WeightsError(
            f"unknown input settings: {', '.join(sorted(unknown))}; known are {', '.join(known)}"
        )
    checked: dict = {}
    for key, value in values.items():
        if key in ("size", "crop_resize"):
            side = _number(value, f"the input's {key}")
            if not _SIDES[0] <= side <= _SIDES[1] or side != int(side):
                raise WeightsError(
                    f"the input's {key} is {value} px; expected is a whole number, "
                    f"{_SIDES[0]} to {_SIDES[1]}"
                )
            checked[key] = int(side)
        elif key == "interpolation":
            if value not in _INTERPOLATIONS:
                raise WeightsError(
                    f"the input's interpolation is {value!r}; there are: "
                    f"{', '.join(_INTERPOLATIONS)}"
                )
            checked[key] = value
        else:
            if not isinstance(value, list | tuple) or len(value) != 3:
                raise WeightsError(
                    f"the input's {key} is {value!r}; expected are three numbers: red, green, blue"
                )
            checked[key] = tuple(_number(v, f"the input's {key}") for v in value)
            if key == "mean" and max(checked[key]) > 3:
                raise WeightsError(
                    f"the input's mean is {value!r}; expected is the mean of values of 0 to 1: "
                    "divide it, and std, by 255"
                )
            if key == "std" and min(checked[key]) <= 0:
                raise WeightsError(f"the input's std is {value!r}; expected is more than 0")
    return checked
