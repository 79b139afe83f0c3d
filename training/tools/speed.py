"""Time ``apply_srgan`` against the course's way, the plain Keras graph through ``predict``, as a Markdown table.

python -m training.tools.speed
"""

import functools
import timeit

import numpy as np
from tqdm import tqdm

from srgan import apply_srgan, load_generator
from superres import SCALE
from superres.images.image import to_uint8
from superres.images.measures import markdown_table
from training import CommandLine

SIZES = ((64, 64), (128, 128), (341, 268))  # width, height of the low-resolution image
ROUNDS = 3
WAYS = {
    "course": lambda image: to_uint8(load_generator().predict(image[None], verbose=0)[0]),
    "float32": lambda image: apply_srgan(image, dtype="float32"),
    "bfloat16": lambda image: apply_srgan(image, dtype="bfloat16"),
}


def ratios() -> str:
    """Seconds per megapixel of output of the course's way, and how often as fast ours is."""
    rows = []
    for width, height in tqdm(SIZES, unit="size"):
        base, *others = race(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        megapixels = SCALE**2 * width * height / 1e6
        rows.append((f"{width}x{height}", f"{base / megapixels:.2f}", *(f"{base / other:.2f}x" for other in others)))
    return markdown_table(("LR size", "course (s/MP)", "float32", "bfloat16"), rows)


def race(image):
    """Median seconds of each way on one image, run in turn; the first round is not counted."""
    ways = [functools.partial(way, image) for way in WAYS.values()]
    rounds = [[timeit.timeit(way, number=1) for way in ways] for _ in range(1 + ROUNDS)]
    return np.median(rounds[1:], axis=0)


if __name__ == "__main__":
    CommandLine("training.tools.speed", __doc__).parse_args()
    print(ratios())
