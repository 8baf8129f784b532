"""Photos that cannot be read: a few are passed over and named, many end a run."""

import sys

from tqdm import tqdm

#: More than this share of the photos that cannot be read end the run.
BROKEN_AT_MOST = 0.01


class BrokenPhotos:
    """Those of a run, each named once.

    Args:
        of: how many photos there are, the broken ones included.

    Attributes:
        names: what the broken ones are called, in the order in which they were met.
    """

    def __init__(self, of: int):
        self.names: list[str] = []
        self._of = of

    def add(self, name: str, why: object = "it cannot be read") -> None:
        """Name a photo on standard error, the first time.

        Raises:
            ValueError: they are more than `BROKEN_AT_MOST` of all.
        """
        if name in self.names:
            return
        self.names.append(name)
        tqdm.write(f"skipped {name}: {why}", file=sys.stderr)
        if len(self.names) > BROKEN_AT_MOST * self._of:
            raise ValueError(
                f"more than {BROKEN_AT_MOST:.0%} of {self._of} photos cannot be read, among them "
                f"{', '.join(self.names[-5:])}; mend or remove them first"
            )
