"""Parts of the page whose script and words the browser fetches when they are first in view."""

import hashlib
from functools import cache

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from . import bundle
from .words import both

#: The parts. Each has a folder of its name in ``web/dist``, and is given out under it; `door` lets
#: these through.
PARTS = ("course", "experiments")

#: `gr.HTML` runs it as a function of element, props, trigger and watch. Gradio looks in it for the
#: names of events that are not its own: "steps" is one.
EMBED = """
const root = element.querySelector(".cbam-viewer");
const fetchPart = (anew) =>
  import(new URL(props.script + anew, document.baseURI).href).then(
    ({ mount }) => mount({ root, props, trigger, watch }), // may trigger "steps"
    () => {
      root.innerHTML = props.lost;
      // Browsers may keep in mind that an address could not be fetched.
      root.querySelector("button").onclick = () => fetchPart(`&${Date.now()}`);
    },
  );
// Below the fold of an open tab is in view too; in a tab that is not open nothing ever is.
const open = new IntersectionObserver(([entry]) => {
  if (!entry.isIntersecting) return;
  open.disconnect();
  fetchPart("");
}, { rootMargin: "5000px" });
open.observe(root);
"""


def options(part: str) -> dict:
    """What a part's ``gr.HTML`` is made with: it fetches the part's script, which exports
    ``mount``, a function of root (the element to fill), props, trigger and watch."""
    again = f'<button type="button" class="cv-button">{both("again")}</button>'
    return {
        "js_on_load": EMBED,
        "apply_default_css": False,
        "script": script(part),
        "lost": f'<p role="alert">{both("partLost")}</p><p>{again}</p>',
    }


@cache
def script(part: str) -> str:
    """Where the browser finds it, from the page's address; another one for another text."""
    files = sorted((bundle.WEB / "dist" / part).iterdir())
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return f"{part}/{part}.js?{version.hexdigest()[:12]}"


def routes() -> list[Mount]:
    """What serves the parts' files, for the ``routes`` of the page's app."""
    folders = {part: bundle.WEB / "dist" / part for part in PARTS}
    return [Mount(f"/{part}", StaticFiles(directory=f)) for part, f in folders.items()]
