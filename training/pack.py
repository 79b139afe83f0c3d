"""Pack random crops of photographs into one small file, to train on another machine.

python -m training.pack PHOTOS.tar --data PHOTOS --megabytes 40
mkdir photos && tar -xf PHOTOS.tar -C photos      # there; then training.train --data photos
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np

from superres.degrade import jpeg
from superres.files import atomic_write
from training.data import find_images, read_hr


def pack(folders, out, megabytes, size=480, seed=0):
    """Write a tar file of at most ``megabytes`` of JPEG crops, ``size`` pixels or less each way, at quality 95.

    Every folder has the same share. FileNotFoundError for a folder without images, ValueError if not one crop fits.
    """
    rng = np.random.default_rng(seed)
    paths = [find_images(folder) for folder in folders]
    limit = 1_000_000 * megabytes - tarfile.RECORDSIZE  # for what ends the archive
    with atomic_write(out) as file, tarfile.open(fileobj=file, mode="w") as archive:
        while True:
            choices = paths[rng.integers(len(paths))]
            data = jpeg(crop(read_hr(choices[rng.integers(len(choices))]), size, rng), quality=95, subsampling=0)
            entry = tarfile.TarInfo(f"{len(archive.getmembers()):05d}.jpg")
            entry.size = len(data)
            if archive.offset + tarfile.BLOCKSIZE * (1 + -(-len(data) // tarfile.BLOCKSIZE)) > limit:
                break
            archive.addfile(entry, io.BytesIO(data))
        if not archive.getmembers():
            raise ValueError(f"{out}: not one crop of {size} pixels fits into {megabytes:g} MB")


def crop(image, size, rng):
    top, left = (rng.integers(max(length - size, 0) + 1) for length in image.shape[:2])
    return image[top : top + size, left : left + size]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT.tar")
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs")
    parser.add_argument("--megabytes", type=float, default=40, help="size of the file at most (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the crops (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        pack(args.data, args.out, args.megabytes, seed=args.seed)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
