"""The weights of a short network."""

import pytest
from reference_networks import LUUUYI, Reference, randomise
from torch import Tensor


@pytest.fixture(scope="module")
def saved() -> dict[str, Tensor]:
    return randomise(Reference(LUUUYI)).state_dict()


@pytest.fixture
def short(saved) -> dict[str, Tensor]:
    """The state dict of a small network in luuuyi's layout; the dict is the test's own."""
    return dict(saved)
