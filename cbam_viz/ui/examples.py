"""The example photos that come with the package."""

import filecmp
from pathlib import Path

_HERE = Path(__file__).parent
# As with the weights: inside the installed package, beside it in a clone.
_INSTALLED = _HERE.parent / "assets"
EXAMPLES = (_INSTALLED if _INSTALLED.is_dir() else _HERE.parents[1] / "assets") / "examples"
#: Their files by name, as links call them.
EXAMPLE_FILES = {f.stem: str(f) for f in sorted(EXAMPLES.glob("*.jpg"))}


def example_of(photo: str) -> str | None:
    """The name of the example that a file is, if it is one."""
    same = (name for name, f in EXAMPLE_FILES.items() if filecmp.cmp(f, photo, shallow=False))
    return next(same, None)
