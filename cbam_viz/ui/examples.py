"""The example photos that come with the package."""

import filecmp
from functools import cache
from pathlib import Path

from ..explain.photo import Photo
from . import bundle

_HERE = Path(__file__).parent
# As with the weights: inside the installed package, beside it in a clone.
_INSTALLED = _HERE.parent / "assets"
EXAMPLES = (_INSTALLED if _INSTALLED.is_dir() else _HERE.parents[1] / "assets") / "examples"
#: Their files by name, as links call them, in the order in which their captions tell of them.
EXAMPLE_FILES = {
    name: str(EXAMPLES / f"{name}.jpg")
    for key in bundle.strings("page")["en"]
    if (name := key.removeprefix("example_")) != key
}


@cache
def example_photo(name: str) -> Photo:
    """An example, one and the same for all who look at it."""
    return Photo(EXAMPLE_FILES[name])


def example_of(photo: str) -> str | None:
    """The name of the example that a file is, if it is one."""
    same = (name for name, f in EXAMPLE_FILES.items() if filecmp.cmp(f, photo, shallow=False))
    return next(same, None)
