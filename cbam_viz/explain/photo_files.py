"""Which files are photos, and what to call a folder for each. Only their beginnings are read."""

import glob
import itertools
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

#: How photos begin, those that are not read among them: they have to be named, not passed over.
_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP|qoif|8BPS|DDS |icns|\0\0\x01\0"
    rb"|(II[*+]\0|MM\0[*+]|IIR[OS]|IIU\0|FUJIFILMCCD-RAW|\0MRM|FOVb)"
    rb"|.{4}ftyp(avi[fs]|hei[cxms]|hev[cxms]|mi[af][12f]|msf1|avc[is]|jpeg|crx )"
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
#: What `cbam_viz.render.export.save` leaves in a folder, and nothing else does; and a survey.
_EXPLAINED, _SURVEYED = ("explanation.json", "attention.npz"), ("survey.json", "rows")
#: Bytes of a folder's name; file systems have room for 255, some for fewer characters.
_LONGEST = 240


def find_photos(names: Iterable[str], out: Path | None = None) -> list[Path]:
    """Files for names, folders (with all below them) and globs, each once, in their order.

    A name stays in the list whatever it is: reading it tells what is wrong. Of folders and globs
    only photos are taken, by their content or their name. Left out of folders are names that start
    with a dot, and what was written there: the folders in ``out``, and every folder that holds an
    explanation or a survey.

    Args:
        names: of files, folders and globs.
        out: where explanations will be written; it may be the photos' own folder.
    """
    written = out and out.resolve()
    found: dict[Path, Path] = {}

    def add(path: Path) -> None:
        # However it is spelled, each file once; a link is a photo of its own.
        found.setdefault(path.parent.resolve() / path.name, path)

    for name in names:
        path = Path(name)
        if path.is_dir():
            paths, root = files_below(path), path
        elif path.exists() or not glob.has_magic(name):
            add(path)
            continue
        elif paths := sorted(map(Path, glob.glob(name, recursive=True))):
            root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        else:
            add(path)
            continue
        apart = written if written and root.resolve() in written.parents else None
        for file in paths:
            if _is_new(file) and not (apart and apart in file.parent.resolve().parents):
                add(file)
    return list(found.values())


def _is_new(path: Path) -> bool:
    lost = path.is_symlink() and not path.exists()  # reading it says so
    if not (path.is_file() or lost) or path.name.startswith("."):
        return False
    return not _holds(path.parent, _EXPLAINED) and is_photo(path)


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and of those below it, sorted.

    Links are followed; a folder that several lead to, or that lies in itself by one, is walked
    through once. Left out are folders whose names start with a dot, and surveys.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen or _holds(Path(place), _SURVEYED):
            folders.clear()
            continue
        seen.add(real)
        found += [Path(place, name) for name in files]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return sorted(found)


def _holds(folder: Path, names: Iterable[str]) -> bool:
    return all((folder / name).exists() for name in names)


def is_photo(path: Path) -> bool:
    """Whether a file is a photo by its name, or begins like one; it may yet be broken."""
    if has_photo_suffix(path):
        return True
    try:
        with path.open("rb") as file:
            return _SIGNATURE.match(file.read(256)) is not None
    except OSError:
        return False


def has_photo_suffix(path: Path) -> bool:
    """Whether a file is called as photos are; nothing is opened."""
    return _SUFFIX.fullmatch(path.suffix) is not None


def folder_names(photos: Iterable[Path]) -> dict[Path, str]:
    """A folder's name for each photo, no two of which any file system takes for the same.

    It is the photo's own name without suffix; where others have it too, their names are numbered,
    past all that are somebody's own.
    """
    photos = list(photos)
    own = {path: _as_folder(path.stem) for path in photos}
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


def _as_folder(name: str) -> str:
    """A name that every file system takes for a folder: no sign or name that Windows keeps for
    itself, no bytes that are no text, short enough to get a number."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]', "_", name)
    while len(name.encode()) > _LONGEST:
        name = name[:-1]
    if re.fullmatch(r"(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\..*)?", name, re.IGNORECASE):
        name = f"_{name}"
    return name.rstrip(". ") or "photo"


def _same(name: str) -> str:
    """Equal for names that some file system holds for one: of any case, composed or not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
