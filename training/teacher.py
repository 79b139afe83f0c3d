"""Training targets with a teacher's fine detail and everything else from SRResNet.

    python -m training.teacher --data PHOTOS --teacher gan_generator.h5 --out TARGETS
    python -m training.train srgan --data PHOTOS --targets TARGETS ...

The teacher sees the clean low-resolution image, the student later a degraded one (learning with privileged
information, Vapnik and Vashist 2009; distillation, Hinton et al. 2015). The target of an image is R + w H(T - R), R
SRResNet's result, T the teacher's and H what a Gaussian blur takes away. Targets are computed once, for whole images,
into a folder of PNG files, each named after the SHA-256 of its image file. Run again, only missing ones are computed.
"""

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from superres import SCALE
from superres.degrade import degrade
from superres.files import atomic_write, read_image, save_image
from superres.weights import load_generator
from training.data import find_images, read_hr, to_uint8

MANIFEST = "manifest.json"


class Targets:
    """A folder of targets, checked against their images: ``targets[path]`` is RGB uint8 (4h, 4w, 3).

    Raises FileNotFoundError for a folder without targets or an image without one, ValueError for targets made by
    another teacher or of another size.
    """

    def __init__(self, folder, paths, teacher=None):
        self.folder = Path(folder)
        manifest = read_manifest(self.folder)
        if teacher is not None and fingerprint(load_generator(teacher)) != manifest["teacher"]:
            raise ValueError(f"{folder}: these targets were made by another teacher than {teacher}")
        self.files = {path: target_file(self.folder, path) for path in paths}
        for path, file in self.files.items():
            if not file.is_file():
                raise FileNotFoundError(f"{folder}: no target for {path}; run python -m training.teacher on it")
            with Image.open(file) as target, Image.open(path) as image:
                # Sorted, since EXIF data may have turned the image.
                if sorted(target.size) != sorted(side // SCALE * SCALE for side in image.size):
                    raise ValueError(f"{file}: the target is {target.size}, but its image {path} is {image.size}")

    def __getitem__(self, path):
        return read_image(self.files[path])


def target_file(folder: Path, path: Path) -> Path:
    return folder / f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]}.png"


def read_manifest(folder: Path) -> dict:
    """How the targets in ``folder`` were made: hashes of teacher and base, weight, sigma."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return {key: manifest[key] for key in ("teacher", "base", "weight", "sigma")}
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{folder}: no folder of targets; make one with python -m training.teacher") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / MANIFEST}: damaged, or no description of targets: {error}") from error


def fingerprint(model: keras.Model) -> str:
    """SHA-256 of a model's weights."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def load_teacher(source: str) -> keras.Model:
    """A x4 generator from whatever ``load_generator`` takes; raises its errors, and ValueError for another scale."""
    model = load_generator(source)
    scale = model(np.zeros((1, 8, 8, 3), "float32")).shape[1] / 8
    if scale != SCALE:
        raise ValueError(f"{source}: the teacher scales by {scale:g}, expected a generator that scales by {SCALE}")
    return model


def upscaled(lr: np.ndarray, model: keras.Model, tile: int = 128, margin: int = 48) -> np.ndarray:
    """An image, RGB uint8 (h, w, 3), through a generator: (4h, 4w, 3).

    Without TensorFlow on tiles of one size, for which the model is compiled once, with ``margin`` pixels around each,
    more than the radius of the generator's receptive field.
    """
    if keras.backend.backend() == "tensorflow":
        from superres.inference import upscale  # needs TensorFlow

        return upscale(lr, model)
    height, width = lr.shape[:2]
    padding = [(margin, margin + -side % tile) for side in (height, width)]
    side = tile + 2 * margin
    padded = np.pad(lr, [*padding, (0, 0)], "symmetric")
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (side, side, 3))[::tile, ::tile, 0]
    results = model.predict(tiles.reshape(-1, side, side, 3).astype("float32"), batch_size=1, verbose=0)
    inner = slice(SCALE * margin, SCALE * (margin + tile))
    results = np.stack(np.split(results[:, inner, inner], len(tiles)))  # (rows, columns, height, width, 3)
    image = np.concatenate(np.concatenate(results, axis=1), axis=1)
    return to_uint8(image[: SCALE * height, : SCALE * width])


def target(base: np.ndarray, teacher: np.ndarray, weight: float, sigma: float) -> np.ndarray:
    """``base`` + ``weight`` H(``teacher`` - ``base``), H what a Gaussian blur of ``sigma`` pixels takes away.

    All images are RGB uint8 (h, w, 3); the result is rounded and clipped.
    """
    difference = teacher.astype(np.float32) - base
    high = difference - cv2.GaussianBlur(difference, (0, 0), sigma)
    return to_uint8(base + weight * high)


def make_targets(paths: list[Path], folder: Path, teacher: keras.Model, weight: float, sigma: float) -> None:
    """Write the targets of the images that have none yet into ``folder``.

    Raises ValueError for a sigma of 0 or less, or where the folder's other targets were made with other settings.
    """
    if sigma <= 0:
        raise ValueError(f"--sigma must be above 0, got {sigma:g}")
    base = load_generator("srresnet")
    manifest = {"teacher": fingerprint(teacher), "base": fingerprint(base), "weight": weight, "sigma": sigma}
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        with atomic_write(folder / MANIFEST) as file:
            file.write(json.dumps(manifest, indent=2).encode())
    elif differing := [key for key, value in read_manifest(folder).items() if manifest[key] != value]:
        raise ValueError(f"{folder}: holds targets of another {' and '.join(differing)}; give another folder")
    for path in tqdm(paths, unit="image"):
        file = target_file(folder, path)
        if not file.exists():
            lr = degrade(read_hr(path), "clean")
            save_image(file, target(upscaled(lr, base), upscaled(lr, teacher), weight, sigma))


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.teacher", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs")
    add("--teacher", required=True, metavar="FILE", help="a generator x4, whatever srgan.load_generator takes")
    add("--out", type=Path, required=True, metavar="TARGETS", help="folder for the targets")
    add("--weight", type=float, default=0.7, help="of the teacher's detail (default %(default)s)")
    add("--sigma", type=float, default=3, help="of the Gaussian, pixels (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        paths = [path for folder in args.data for path in find_images(folder)]
        make_targets(paths, args.out, load_teacher(args.teacher), args.weight, args.sigma)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
