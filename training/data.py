"""An endless, reproducible stream of aligned low- and high-resolution patches from folders of photographs."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from superres import SCALE
from superres.images.degrade import degrade
from superres.images.files import read_image
from superres.images.image import bicubic_upscale, to_uint8
from training.settings import SHARES, SOFT, SOFTNESS

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def read_hr(path: str | Path) -> np.ndarray:
    """An image as RGB uint8 (4h, 4w, 3), cropped at the right and bottom; the errors of ``read_image``."""
    hr = read_image(path)[..., :3]
    height, width = (size // SCALE * SCALE for size in hr.shape[:2])
    return hr[:height, :width]


def find_originals(folder: str | Path) -> list[Path]:
    """Sorted paths of the originals in a folder and below: every NAME_HR.png, or where there are none, every image.

    Raises FileNotFoundError for a folder without images.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"no images ({', '.join(sorted(SUFFIXES))}) in {folder}")
    return [path for path in paths if path.stem.endswith("_HR")] or paths


def low_resolution(path: Path, hr: np.ndarray, degradation: str) -> np.ndarray:
    """The low-resolution input, RGB uint8 (h, w, 3). Beside a NAME_HR.png, NAME_LRx4.png is the ``clean`` one."""
    published = path.with_name(path.name.replace("_HR", "_LRx4"))
    if degradation == "clean" and published != path and published.exists():
        return read_image(published)[..., :3]
    return degrade(hr, degradation)


class Patches:
    """Batches of aligned patches from folders of images; batch ``n`` depends on the arguments and on ``n`` alone.

    Whole images are degraded before patches are cut, since a GIF's palette is of the whole image and JPEG's blocks are
    aligned with it. The images form an endless sequence, each folder with the same share of it, each entry with a
    degradation drawn in its share; batch ``n`` is cut from a window of ``WINDOW`` entries that moves on by one every
    ``STRIDE`` batches. So memory is bounded (about 0.6 GB of 2K photographs), each image is read once for many batches,
    and a stream can be resumed anywhere.
    """

    WINDOW = 64
    STRIDE = 4

    def __init__(self, folders, batch=16, patch=24, seed=0, shares=SHARES):
        """``patch`` is the side of a low-resolution patch in pixels, ``shares`` those in which degradations are drawn.

        Raises FileNotFoundError for a folder without images, ValueError for an image smaller than a patch.
        """
        self.folders = [find_originals(folder) for folder in folders]
        self.batch, self.patch, self.seed = batch, patch, seed
        self.degradations, shares = list(shares), np.array(list(shares.values()))
        self.shares = shares / shares.sum()
        self.window = {}
        for path in (path for paths in self.folders for path in paths):
            with Image.open(path) as image:
                width, height = image.size
            if min(width, height) < SCALE * patch:
                raise ValueError(
                    f"{path}: {width}x{height} pixels are less than a patch of {SCALE * patch}x{SCALE * patch}"
                )

    def __getitem__(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch ``n``: (batch, patch, patch, 3) and (batch, 4 patch, 4 patch, 3), RGB in [0, 255], float32."""
        first = n // self.STRIDE
        rng = np.random.default_rng((self.seed, 0, n))
        patches = [self.cut(*self.entry(first + rng.integers(self.WINDOW)), rng) for _ in range(self.batch)]
        self.window = {index: images for index, images in self.window.items() if index >= first}
        return tuple(np.stack(side).astype(np.float32) for side in zip(*patches, strict=True))

    def entry(self, index):
        """Entry ``index`` of the sequence of images, kept for as long as the window holds it."""
        if index not in self.window:
            self.window[index] = self.draw_image(index)
        return self.window[index]

    def draw_image(self, index):
        """Entry ``index`` of the sequence of images: a whole image, LR and HR."""
        rng = np.random.default_rng((self.seed, 1, index))
        paths = self.folders[rng.integers(len(self.folders))]
        hr = read_hr(paths[rng.integers(len(paths))])
        if rng.random() < SOFT:
            hr = cv2.GaussianBlur(hr, (0, 0), rng.uniform(*SOFTNESS))
        return degrade(hr, rng.choice(self.degradations, p=self.shares), rng), hr

    def cut(self, lr, hr, rng):
        """The same random patch of two aligned images, in one of its eight orientations."""
        y, x = (rng.integers(size - self.patch + 1) for size in lr.shape[:2])
        turns, mirror = rng.integers(4), rng.integers(2)

        def orient(image, scale):
            rows, columns = (slice(scale * start, scale * (start + self.patch)) for start in (y, x))
            patch = image[rows, columns]
            return np.rot90(patch[:, ::-1] if mirror else patch, turns)

        return orient(lr, 1), orient(hr, SCALE)

    def network_input(self, lr):
        """A low-resolution image as the network takes it."""
        return lr

    def stream(self, start=0):
        """Batches from number ``start`` on, endlessly; a thread prepares the next while the last is in use."""
        with ThreadPoolExecutor(1) as worker:
            ahead = worker.submit(self.__getitem__, start)
            for n in count(start + 1):
                ready, ahead = ahead, worker.submit(self.__getitem__, n)
                yield ready.result()


class EnlargedPatches(Patches):
    """The patches for the SRCNN: the low-resolution ones enlarged by bicubic interpolation, both without a border."""

    BORDER = 2 * SCALE  # pixels that lack the context which they have in a whole image

    def __getitem__(self, n):
        inside = slice(self.BORDER, -self.BORDER)
        lr, hr = super().__getitem__(n)
        enlarged = np.stack([self.network_input(patch) for patch in lr])
        return enlarged[:, inside, inside], hr[:, inside, inside]

    def network_input(self, lr):
        return bicubic_upscale(to_uint8(lr)).astype(np.float32)
