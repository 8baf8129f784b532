"""What the browser runs: one script, one style sheet and the words of both languages.

The page, a notebook and the offline file get the same. The modules are in ``web/``; what is served
is their bundle in ``web/dist/``, which is committed: users need no Node (see ``web/build.js``).
"""

import json
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
WEB = HERE / "web"

#: Whose words are whose: by part of the page.
STRINGS = {
    "page": HERE / "strings.json",
    "viewer": WEB / "viewer" / "strings.json",
    "inside": WEB / "inside" / "strings.json",
}


@cache
def strings(part: str) -> dict[str, dict[str, str]]:
    """The words of a part: by language, by key."""
    return json.loads(STRINGS[part].read_text("utf-8"))


@cache
def script() -> str:
    """One script. It defines ``CbamViz`` and the words, ``CBAM_WORDS``."""
    words = json.dumps({part: strings(part) for part in STRINGS}, ensure_ascii=False)
    # Words are text: none may end the script element.
    words = words.replace("<", "\\u003c")
    return f"var CBAM_WORDS = {words};\n{(WEB / 'dist' / 'bundle.js').read_text('utf-8')}"


@cache
def style() -> str:
    """One style sheet. Its rules are about what is inside ``.cbam-viewer``, and about the page."""
    return (WEB / "dist" / "style.css").read_text("utf-8")


def head() -> str:
    """Both as elements of a page's head: for ``launch(head=...)`` of a page with the components."""
    return f"<style>{style()}</style><script>{script()}</script>"
