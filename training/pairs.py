"""Pairs of a poor photograph and what a teacher makes of it, x4, to learn from by regression.

    python -m training.pairs runs/pairs/DIV2K --data DIV2K --teacher realesrgan-x4plus --count 1000
    python -m training.pairs runs/originals/DIV2K --data DIV2K --count 1000        # the same, originals for targets

The folder gets 00000_LRx4.png (64x64) and 00000_HR.png (256x256), ...: ``--data`` of ``training.train`` takes it as it
is. A teacher is a network of the ncnn library, NAME.param and NAME.bin, from "data", RGB in [0, 1], to "output", the
same x4, such as Real-ESRGAN's (Wang et al. 2021). The same command again goes on where it ended.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from superres import SCALE, quiet
from superres.images.degrade import photograph
from superres.images.files import save_image
from superres.images.image import to_uint8
from training import CommandLine, errors_in_one_line
from training.data import find_originals, read_hr

SIDE = 64  # of the low-resolution image, pixels
MARGIN = 4  # around it, for the teacher alone
REGION = 88  # of the photograph that is degraded, in low-resolution pixels: JPEG's blocks fall differently in each pair


class Teacher:
    """A x4 network of the ncnn library on the processor: uint8 (h, w, 3) to uint8 (4h, 4w, 3)."""

    def __init__(self, stem: str):
        """Raises FileNotFoundError without ``stem``.param or .bin, ValueError for damaged ones."""
        import ncnn

        self.net = ncnn.Net()
        for suffix, load in ((".param", self.net.load_param), (".bin", self.net.load_model)):
            if not Path(stem + suffix).is_file():
                raise FileNotFoundError(f"no such file of a teacher: {stem + suffix}")
            with quiet():
                failed = load(stem + suffix)
            if failed:
                raise ValueError(f"{stem + suffix} is damaged, or not of the ncnn library")
        with quiet():
            self(np.zeros((8, 8, 3), np.uint8))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        import ncnn

        extractor = self.net.create_extractor()
        pixels = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255  # a Mat does not keep it alive
        extractor.input("data", ncnn.Mat(pixels))
        failed, result = extractor.extract("output")
        large = np.array(result).transpose(1, 2, 0) if not failed else np.empty(0)
        if large.shape != (SCALE * image.shape[0], SCALE * image.shape[1], 3) or not np.isfinite(large).all():
            raise ValueError(f"the teacher makes {large.shape} of an image of {image.shape}, or no numbers")
        return to_uint8(255 * large)


def draw_pair(paths, noise, rng):
    """A degraded part of a photograph, with a margin for the teacher, and the original without: uint8 arrays."""
    path = paths[rng.integers(len(paths))]
    hr = read_hr(path)
    if min(hr.shape[:2]) < (least := SCALE * (SIDE + 2 * MARGIN)):
        raise ValueError(f"{path}: {hr.shape[1]}x{hr.shape[0]} pixels, expected at least {least}x{least}")
    hr = cut(hr, SCALE * REGION, SCALE, rng)[0]
    lr = photograph(hr, rng, noise)
    lr, (y, x) = cut(lr, SIDE + 2 * MARGIN, 1, rng)
    y, x = SCALE * (y + MARGIN), SCALE * (x + MARGIN)
    return lr, hr[y : y + SCALE * SIDE, x : x + SCALE * SIDE]


def cut(image, side, multiple, rng):
    """A random square of an image, or all of a shorter side, and its corner: multiples of a number of pixels."""
    corner = [multiple * int(rng.integers(max(length - side, 0) // multiple + 1)) for length in image.shape[:2]]
    rows, columns = (slice(start, start + side) for start in corner)
    return image[rows, columns], corner


def write_pairs(out: Path, folder: Path, count: int, noise=(0.0, 30.0), seed=0, teacher=None) -> None:
    """Write the pairs that are missing of ``count``; pair ``n`` depends on the arguments but ``count`` alone.

    noise: a range, grey levels.  teacher: function of a degraded image; None takes the original for the target.

    Raises FileNotFoundError for a folder without images, ValueError for an image or a range that is too small.
    """
    if not 0 <= noise[0] <= noise[1] < np.inf or count < 1:
        raise ValueError(f"expected noise from 0 up, and 1 pair or more; got {noise[0]} to {noise[1]}, {count} pairs")
    paths = find_originals(folder)
    out.mkdir(parents=True, exist_ok=True)
    for n in tqdm(range(count), unit="pair"):
        target = out / f"{n:05d}_HR.png"
        if target.exists():
            continue
        lr, hr = draw_pair(paths, noise, np.random.default_rng((seed, n)))
        if teacher:
            border = SCALE * MARGIN
            hr = teacher(lr)[border:-border, border:-border]
        save_image(out / f"{n:05d}_LRx4.png", lr[MARGIN:-MARGIN, MARGIN:-MARGIN])
        save_image(target, hr)  # last: it says that the pair is complete


def main(arguments=None):
    parser = CommandLine("training.pairs", __doc__)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write to")
    add("--data", type=Path, required=True, metavar="DIR", help="folder of photographs")
    add("--teacher", metavar="STEM", help="its files, without .param and .bin (default: none)")
    add("--count", type=int, default=1000, help="of pairs (default %(default)s)")
    add("--noise", type=float, nargs=2, default=(0, 30), metavar=("LEAST", "MOST"),
        help="range of the noise, grey levels (default: 0 30)")  # fmt: skip
    add("--seed", type=int, default=0, help="of photographs and degradations (default %(default)s)")
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        teacher = Teacher(args.teacher) if args.teacher else None
        write_pairs(args.out, args.data, args.count, args.noise, args.seed, teacher)


if __name__ == "__main__":
    main()
