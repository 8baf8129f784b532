"""Which files are photos, and what to call a folder for each. Only their beginnings are read."""

import glob
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

#: How photos begin, those that are not read among them: they have to be named, not passed over.
_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP|qoif|8BPS|DDS |icns|\0\0\x01\0"
    rb"|(II[*+]\0|MM\0[*+]|IIR[OS]|IIU\0|FUJIFILMCCD-RAW|\0MRM|FOVb)"
    rb"|.{4}ftyp(avi[fs]|hei[cxms]|hev[cxms]|mif1|msf1|crx )"
    rb"|\0\0\0\x0c(jP  |JXL )|\xff\x4f\xff\x51|P[1-7]\s|SIMPLE  =|.{128}DICM",
    re.DOTALL,
)
#: Names that say the same, for files that are empty or broken at their beginning, or have none.
_SUFFIX = re.compile(
    r"\.(jpe?g|jpe|jfif|png|webp|avifs?|gif|tiff?|bmp|dib|jp2|j2k|jpx|ico|icns|p[pgbn]m|pfm|psd|qoi"
    r"|dds|tga|pcx|hei[cf]|hif|jxl|dcm|fits?"
    r"|dng|nef|nrw|cr[23w]|arw|sr[2fw]|raf|orf|rw[2l]|pef|x3f|3fr|iiq|erf|kdc|mrw|raw)",
    re.IGNORECASE,
)
#: What `cbam_viz.render.export.save` leaves in a folder, and nothing else does.
_EXPLAINED = ("explanation.json", "attention.npz")


def find_photos(names: Iterable[str], out: Path | None = None) -> list[Path]:
    """Files for names, folders (with all below them) and globs, each once, in their order.

    A name stays in the list whatever it is: reading it tells what is wrong. Of folders and globs
    only photos are taken, by their content or their name. Left out of folders are names that start
    with a dot, and what was written there: ``out``, and every folder that holds an explanation.

    Args:
        names: of files, folders and globs.
        out: where explanations will be written.
    """
    written = out and out.resolve()
    found: dict[Path, None] = {}

    def is_new(path: Path) -> bool:
        if not path.is_file() or path.name.startswith("."):
            return False
        if written and written in path.resolve().parents:
            return False
        return not all((path.parent / name).exists() for name in _EXPLAINED) and is_photo(path)

    for name in names:
        path = Path(name)
        if path.is_dir():
            found |= dict.fromkeys(f for f in sorted(path.rglob("*")) if is_new(f))
        elif path.exists() or not (matches := sorted(glob.glob(name, recursive=True))):
            found[path] = None
        else:
            found |= dict.fromkeys(f for f in map(Path, matches) if is_new(f))
    return list(found)


def is_photo(path: Path) -> bool:
    """Whether a file is a photo by its name, or begins like one; it may yet be broken."""
    if _SUFFIX.fullmatch(path.suffix):
        return True
    try:
        with path.open("rb") as file:
            return _SIGNATURE.match(file.read(256)) is not None
    except OSError:
        return False


def folder_names(photos: Iterable[Path]) -> dict[Path, str]:
    """A folder's name for each photo, no two of which any file system takes for the same.

    It is the photo's own name without suffix; where others have it too, their names are numbered,
    past all that are somebody's own.
    """
    photos = list(photos)
    own = {path: path.stem.rstrip(". ") or "photo" for path in photos}  # as Windows would
    taken = {_same(name) for name in own.values()}
    given: set[str] = set()
    names = {}
    for path in photos:
        name, n = own[path], 1
        while _same(name) in (given if n == 1 else taken):
            n += 1
            name = f"{own[path]}-{n}"
        given.add(_same(name))
        taken.add(_same(name))
        names[path] = name
    return names


def _same(name: str) -> str:
    """Equal for names that some file system holds for one: of any case, composed or not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
