"""The error of weights that cannot be used, and what its sentences have in common."""

from collections.abc import Iterable

#: How such a sentence goes on.
WANTED = "Expected is a ResNet with CBAM in every residual block"


class WeightsError(ValueError):
    """Weights that cannot be a ResNet-CBAM of ours; says what was found and what was expected."""


def few(names: Iterable[str], most: int = 4) -> str:
    """The first few names, and how many more there are; none of them endless."""
    names = [name if len(name) <= 90 else f"{name[:87]}..." for name in names]
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
