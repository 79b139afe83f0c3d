"""Pack photographs for training on another machine: as WebP files, in archives small enough to be sent.

    python -m training.tools.pack pack PHOTOS --data DIV2K MORE_PHOTOS     # PHOTOS-1-of-3.zip ...
    python -m training.tools.pack unpack PHOTOS PHOTOS-*.zip               # there: PHOTOS/DIV2K, PHOTOS/MORE_PHOTOS

At quality 88, WebP files are about a third as large as good JPEG files.
"""

import argparse
import io
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from superres.images.files import atomic_write
from training import errors_in_one_line
from training.data import find_images, read_hr


def pack(out: Path, folders: list[str], quality: int = 88, megabytes: float = 35) -> list[Path]:
    """Write zip files OUT-1-of-N.zip... of the photographs as WebP, a folder in them for each of ``folders``.

    A part has at most ``megabytes``, or one photograph. Returns the parts' paths. Raises FileNotFoundError for a folder
    without images, ValueError for two folders of one name.
    """
    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"the folders need different names, got {', '.join(names)}")
    images = [(name, path) for name, folder in zip(names, folders, strict=True) for path in find_images(folder)]
    parts, size = [[]], 0
    with ThreadPoolExecutor() as pool:
        encoded = pool.map(lambda image: webp(image[1], quality), images)
        for i, ((name, _), data) in enumerate(tqdm(zip(images, encoded, strict=True), total=len(images), unit="image")):
            if parts[-1] and size + len(data) > 1e6 * megabytes:
                parts.append([])
                size = 0
            parts[-1].append((f"{name}/{i:05d}.webp", data))
            size += len(data)
    paths = [out.with_name(f"{out.name}-{n}-of-{len(parts)}.zip") for n in range(1, len(parts) + 1)]
    for path, files in zip(paths, parts, strict=True):
        with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, data in files:
                archive.writestr(name, data)
    return paths


def webp(path: Path, quality: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(read_hr(path)).save(data, "WEBP", quality=quality, method=6)
    return data.getvalue()


def unpack(out: Path, parts: list[Path]) -> None:
    """Extract what ``pack`` wrote into folders in ``out``.

    Raises FileNotFoundError for a part that is missing, ValueError for one that is damaged or cut short.
    """
    numbers = {}
    for part in parts:
        match = re.search(r"-(\d+)-of-(\d+)\.zip$", part.name)
        if not match:
            raise ValueError(f"{part}: expected a name that ends with -1-of-3.zip, as training.tools.pack gives it")
        numbers[int(match[1])] = int(match[2])
    expected = max(numbers.values())
    if missing := set(range(1, expected + 1)) - set(numbers):
        raise FileNotFoundError(f"missing of {expected} parts: {', '.join(map(str, sorted(missing)))}")
    for part in parts:
        try:
            with zipfile.ZipFile(part) as archive:
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"{damaged} is not what was packed")
        except zipfile.BadZipFile as error:
            raise ValueError(f"{part} is damaged or cut short: {error}") from error
    for part in parts:
        with zipfile.ZipFile(part) as archive:
            archive.extractall(out)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("pack").add_argument
    add("out", type=Path, metavar="OUT", help="the archives' name, without -1-of-3.zip")
    add("--data", nargs="+", required=True, dest="folders", metavar="DIR", help="folders of photographs")
    add("--quality", type=int, choices=range(101), default=88, metavar="0..100", help="default 88")
    add("--megabytes", type=float, default=35, help="of an archive, at most (default 35)")
    add = commands.add_parser("unpack").add_argument
    add("out", type=Path, metavar="OUT", help="folder to write to")
    add("parts", type=Path, nargs="+", metavar="PART.zip")
    args = vars(parser.parse_args(arguments))
    with errors_in_one_line(parser):
        (pack if "folders" in args else unpack)(**args)


if __name__ == "__main__":
    main()
