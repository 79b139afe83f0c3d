"""Pack photographs into one small file, to train on another machine.

    python -m training.pack PHOTOS.tar --data PHOTOS MORE_PHOTOS --quality 88
    tar -xf PHOTOS.tar && python -m training.train srresnet --data PHOTOS MORE_PHOTOS ...     # there

At quality 88, WebP files are about a third as large as good JPEG files.
"""

import argparse
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from superres.files import atomic_write
from training.data import find_images, read_hr


def pack(folders: list[str], out: Path, quality: int) -> None:
    """Write a tar file of the photographs as WebP, in a folder for each of ``folders``, of the same name.

    Raises FileNotFoundError for a folder without images, ValueError for two folders of one name.
    """
    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"the folders need different names, got {', '.join(names)}")
    images = [(name, path) for name, folder in zip(names, folders, strict=True) for path in find_images(folder)]
    with ThreadPoolExecutor() as pool, atomic_write(out) as file, tarfile.open(fileobj=file, mode="w") as archive:
        data = pool.map(lambda image: webp(image[1], quality), images)
        for i, ((name, _), encoded) in enumerate(tqdm(zip(images, data, strict=True), total=len(images), unit="image")):
            entry = tarfile.TarInfo(f"{name}/{i:05d}.webp")
            entry.size = len(encoded)
            archive.addfile(entry, io.BytesIO(encoded))


def webp(path: Path, quality: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(read_hr(path)).save(data, "WEBP", quality=quality, method=6)
    return data.getvalue()


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT.tar")
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs")
    parser.add_argument("--quality", type=int, choices=range(101), default=88, metavar="0..100", help="default 88")
    args = parser.parse_args(arguments)
    try:
        pack(args.data, args.out, args.quality)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
