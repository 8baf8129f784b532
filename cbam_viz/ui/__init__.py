"""The page. Gradio looks where its cache lies when it is imported, so that is settled here."""

import os
import tempfile
from pathlib import Path


def _settle_cache() -> None:
    """A cache folder of our own where the usual one is another user's, or no folder."""
    if os.environ.get("GRADIO_TEMP_DIR"):
        return
    usual = Path(tempfile.gettempdir()) / "gradio"
    try:
        usual.mkdir(exist_ok=True)
        ours = not hasattr(os, "getuid") or usual.stat().st_uid == os.getuid()
    except OSError:
        ours = False
    if not ours:
        os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="gradio-")


_settle_cache()
