"""Whatever bytes are given for weights: they are read, or refused in words.

pip install atheris
PYTHONPATH=. python tests/fuzz/fuzz_weights.py [folder of findings and seeds] -max_total_time=3600
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["cbam_viz"]):
    from cbam_viz.models.errors import WeightsError
    from cbam_viz.models.reading import read_weights
    from cbam_viz.models.recognition import recognise

FILE = Path(tempfile.mkdtemp(), "net.pth")


def read(contents: bytes) -> None:
    FILE.write_bytes(contents)
    try:
        recognise(read_weights(FILE)[0])
    except WeightsError as error:
        assert str(error)


atheris.Setup(sys.argv, read)
atheris.Fuzz()
