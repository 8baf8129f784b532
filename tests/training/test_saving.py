import os

import pytest
import torch

from cbam_viz.training.saving import save_whole, saved_whole


def test_all_of_it_or_nothing(tmp_path):
    path = tmp_path / "file"
    with saved_whole(path) as file:
        file.write(b"one")
        assert os.listdir(tmp_path) == ["file.part"]
    with pytest.raises(ZeroDivisionError), saved_whole(path) as file:
        file.write(b"tw")
        raise ZeroDivisionError
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, full_disk):
    path = tmp_path / "last.pt"
    save_whole({"step": 1, "model": torch.ones(1000)}, path)
    full_disk(100_000)
    with pytest.raises(OSError, match="last.pt cannot be saved .*Make room and run the same"):
        save_whole({"step": 2, "model": torch.ones(1_000_000)}, path)
    assert torch.load(path)["step"] == 1
    assert os.listdir(tmp_path) == ["last.pt"]
