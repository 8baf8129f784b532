"""What a photo's box shows of a file that no browser does."""

import io
import re
from pathlib import Path

from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from ..explain.explanation import Explanation

#: How files begin that every browser shows as they are.
BROWSERS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|BM|RIFF.{4}WEBP|.{4}ftypavi[fs]", re.DOTALL
)
#: About the px of the picture in a photo's box.
BOXED = 640, 480


def decoded(photo: str | None, explanation: Explanation | None) -> str | None:
    """The picture of a file that browsers do not show, under its name, else None."""
    if photo is None or explanation is None:
        return None
    with Path(photo).open("rb") as sent:
        if BROWSERS.match(sent.read(16)):
            return None
    file = io.BytesIO()
    explanation.photo.at_least(*BOXED).save(file, "JPEG", quality=90)
    return save_bytes_to_cache(file.getvalue(), f"{Path(photo).stem}.jpg", get_upload_folder())
