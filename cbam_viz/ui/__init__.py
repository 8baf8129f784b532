"""The page. What Gradio looks at when it is imported is settled here: its cache, and proxies."""

import os
import tempfile
from pathlib import Path

import httpx

#: Proxies of the environment that are left out, a sentence each; `launch` says them.
without_proxies: list[str] = []


def _settle_cache() -> None:
    """A cache folder that is ours alone: `storage` deletes what is old in it.

    A temporary one where the usual one is another user's, or no folder.
    """
    if os.environ.get("GRADIO_TEMP_DIR"):
        return
    usual = Path(tempfile.gettempdir()) / "cbam-viz"
    try:
        usual.mkdir(exist_ok=True)
        ours = not hasattr(os, "getuid") or usual.stat().st_uid == os.getuid()
    except OSError:
        ours = False
    os.environ["GRADIO_TEMP_DIR"] = str(usual) if ours else tempfile.mkdtemp(prefix="cbam-viz-")


def _leave_out_proxies() -> None:
    """Take those out of the environment that httpx cannot use.

    It raises over any of them wherever a client of it is made, which Gradio does when it is
    imported, and to ask its own server whether it is there.
    """
    names = [
        n for n in os.environ if n.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    ]
    values = {name: os.environ.pop(name) for name in names}
    for name, value in values.items():
        os.environ[name] = value
        try:
            httpx.Client().close()
        except Exception as error:  # of the address, of its scheme, or of a package for it
            os.environ.pop(name, None)
            hint = " (`pip install httpx[socks]`)" if value.lower().startswith("socks") else ""
            without_proxies.append(
                f"{name} cannot be used{hint}, and is left out: {str(error).splitlines()[0][:200]}"
            )


_settle_cache()
_leave_out_proxies()
