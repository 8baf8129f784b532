"""What a person sees of a training run: a progress bar, a table, TensorBoard's curves."""

import csv
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

COLUMNS = ("epoch", "size", "loss", "accuracy", "val_top1", "broken", "seconds")


class RunLog:
    """The bar over all of the run's steps, ``log.csv`` with a row an epoch, and the curves.

    Args:
        out: folder of the run.
        step: the step it goes on from.
        steps: of the whole run.
        rows: of ``log.csv``: what is in it already, and what the run adds.
        writes: whether this process is the one that writes.
    """

    def __init__(self, out: Path, step: int, steps: int, rows: list[dict], writes: bool):
        self.path, self.rows, self.writes = out / "log.csv", rows, writes
        self.bar = tqdm(total=steps, initial=step, unit="step", mininterval=5, disable=not writes)
        # What a killed run wrote after its last checkpoint is purged from the curves.
        self.board = SummaryWriter(str(out), purge_step=step) if writes else None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()
        if self.writes:
            self.board.close()

    def report(self, step: int, **values: float) -> None:
        """Show values (loss, accuracy, ...) at a step: beside the bar and as curves."""
        if self.writes:
            self.bar.set_postfix({k: f"{v:.3f}" for k, v in values.items()}, refresh=False)
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def table(self) -> None:
        """Write the rows, all of them: a resumed run then has none twice."""
        if self.writes:
            with self.path.open("w", newline="") as f:
                table = csv.DictWriter(f, COLUMNS)
                table.writeheader()
                table.writerows(self.rows)
