"""Whatever bytes are given for a photo: its structure is looked at without a foreign error.

pip install atheris
PYTHONPATH=. python tests/fuzz/fuzz_photo.py [folder of findings and seeds] -max_total_time=3600
"""

import io
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["cbam_viz"]):
    from cbam_viz.explain import untrusted
    from cbam_viz.explain.photo_errors import PhotoError, explained
    from cbam_viz.explain.photo_formats import identify
    from cbam_viz.explain.photo_pixels import upright_size


def look(contents: bytes) -> None:
    try:
        with explained(contents, untrusted.ACCEPTED):
            untrusted.check(contents)
            image = identify(io.BytesIO(contents), untrusted.FORMATS)
            untrusted.turned_late(contents)
            assert min(upright_size(image)) > 0
    except PhotoError as error:
        # Whatever `explained` has no words for comes as its last resort.
        assert str(error)


atheris.Setup(sys.argv, look)
atheris.Fuzz()
