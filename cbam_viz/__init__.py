"""See how a ResNet with the Convolutional Block Attention Module (CBAM) pays attention."""

from importlib import import_module

__version__ = "0.1.0"

# Where the public names live. They are fetched when first used: torch takes seconds to import.
_HOMES = {
    "Explainer": ".explain.explainer",
    "Explanation": ".explain.explanation",
    "BlockAttention": ".explain.explanation",
    "Prediction": ".explain.explanation",
    "PhotoError": ".explain.photo_errors",
    "WeightsError": ".models.errors",
    "ResNetCBAM": ".models.resnet",
    "list_checkpoints": ".models.checkpoints",
    "load_model": ".models.checkpoints",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
