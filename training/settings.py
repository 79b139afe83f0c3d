"""The settings of a run: what they are, their defaults and ranges, and what to know before changing them.

The constants hold for every run; the options are those of ``python -m training.train``, and of the recipes.
"""

import argparse
import math
from pathlib import Path

from superres import SCALE
from superres.network.backend import has_native_bfloat16, keras

# Low-resolution inputs, and the share of each. See ``superres.images.degrade.degrade``.
SHARES = {"clean": 0.35, "cv2": 0.20, "gif": 0.10, "jpeg": 0.15, "photo": 0.20}

# Share of originals that are softened first, and by a Gaussian of which sigmas (pixels): many photographs are as soft,
# and a network that never saw one sharpens every contour.
SOFT = 0.4
SOFTNESS = 0.5, 1.6

# Each network minimises a weighted sum of terms: see ``training.losses``. More `pixel` gives higher PSNR and a softer
# image; `adversarial` from 0.1 to 0.3 was published; `checkerboard` at 0 lets a pattern of 4 pixels appear.
WEIGHTS = {
    "srcnn": {"l2": 1.0},
    "srresnet": {"pixel": 1.0},
    "srgan": {"content": 1.0, "adversarial": 0.1, "pixel": 10.0, "checkerboard": 5.0},
}

# Gaussian noise on what the discriminator sees, real and fake alike, in grey levels. Without it, it learns to measure
# noise that nobody can see, and wins.
NOISE = 4.0

# Peaks of the learning rate, after a linear warm-up of some steps and before a cosine decay. For a network that is
# trained already, a third of it.
LEARNING_RATES = {"srcnn": 1e-3, "srresnet": 5e-4, "srgan": 1e-4}
WARM_UP = 100
BETAS = 0.9, 0.99  # of Adam
GRADIENT_NORM = 0.5  # the gradients' global norm is clipped to it

LOG_EVERY = 50  # steps

# Options that do not change what a run computes, only where it finds and leaves its files.
PLACES = {"data", "out", "start", "vgg", "validate", "checkpoint"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    add = parser.add_argument
    add("method", choices=WEIGHTS)

    # Files
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs, each with an equal share")
    add("--out", type=Path, required=True, metavar="RUN_DIR", help="where the run's files go, and are taken up from")
    add("--start", metavar="FILE.keras", help="weights to start from (default: those of a bilinear upscaler)")
    add("--vgg", nargs="+", metavar="FILE.npz", help="VGG19 for the content term (default: keras.applications's)")
    add("--validate", metavar="DIR", help="images to measure at every checkpoint, eight at most")
    add("--checkpoint", type=COUNT, default=1000, metavar="STEPS",
        help="steps between checkpoints, of 6 MB each (default: %(default)s)")  # fmt: skip

    # Length
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=COUNT, default=100_000,
        help="length of the run and of its schedule (default: %(default)s)")  # fmt: skip
    length.add_argument("--minutes", type=POSITIVE, help="the same by time, that of earlier parts of the run included")

    # Batches
    add("--batch", type=COUNT, default=16, help="patches in a batch (default: %(default)s)")
    add("--patch", type=ranged(int, lambda side: side >= 8, "8 or more"), default=24,
        help="side of a low-resolution patch, pixels (default: %(default)s; 48 in the published runs)")  # fmt: skip
    add("--degradations", nargs="+", type=named(SHARES, POSITIVE), default=SHARES, metavar="NAME[=SHARE]",
        help=f"low-resolution inputs to draw (default: {in_words(SHARES)})")  # fmt: skip
    add("--seed", type=ranged(int, lambda seed: seed >= 0, "0 or more"), default=0,
        help="of initial weights and batches (default: %(default)s)")  # fmt: skip

    # Loss, of the srgan
    weights = WEIGHTS["srgan"]
    add("--weights", nargs="+", type=named(weights, NOT_NEGATIVE), default={}, metavar="TERM=WEIGHT",
        help=f"of the SRGAN's loss (default: {in_words(weights)})")  # fmt: skip
    add("--crop", type=int, metavar="PIXELS",
        help="side of what the content and adversarial terms, which take most of the time, see of a patch "
        "(default: half of it)")  # fmt: skip

    # Optimizers
    add("--learning-rate", type=POSITIVE, metavar="RATE", help=f"peak (default: {in_words(LEARNING_RATES)})")
    add("--discriminator-rate", type=POSITIVE, metavar="RATE", help="peak of the discriminator's (default: the same)")
    add("--ema", type=ranged(float, lambda momentum: 0 <= momentum < 1, "a number from 0 to less than 1"),
        default=0.999, help="momentum of the moving average of weights (default: %(default)s)")  # fmt: skip

    # Machine
    add("--dtype", choices=["float32", "mixed_bfloat16"],
        default="mixed_bfloat16" if has_native_bfloat16() else "float32",
        help="default: mixed_bfloat16 where the processor computes it, here %(default)s")  # fmt: skip
    add("--resident", action="store_true", help="keep all photographs in the memory of a GPU (KERAS_BACKEND=jax)")


def complete(args: argparse.Namespace) -> None:
    """Fill in the defaults that depend on the method. Raises ValueError for options that do not go together."""
    if args.weights and args.method != "srgan":
        raise ValueError(f"--weights is for the srgan: the {args.method} has {in_words(WEIGHTS[args.method])}")
    weights = WEIGHTS[args.method] | dict(args.weights)
    args.weights = {term: weight for term, weight in weights.items() if weight}
    if not args.weights:
        raise ValueError("--weights: expected one above 0")
    args.degradations = dict(args.degradations)
    args.learning_rate = args.learning_rate or LEARNING_RATES[args.method]
    args.discriminator_rate = args.discriminator_rate or args.learning_rate
    side = SCALE * args.patch
    args.crop = side // 2 // 8 * 8 if args.crop is None else args.crop
    if not (16 <= args.crop <= side and args.crop % 8 == 0):
        raise ValueError(f"--crop must be a multiple of 8 from 16 to {side}, got {args.crop}")
    backend = keras.backend.backend()
    if args.resident and (backend != "jax" or args.method == "srcnn"):
        raise ValueError("--resident is for the srresnet and the srgan on KERAS_BACKEND=jax")
    if not args.resident and backend != "tensorflow":
        raise ValueError(f"on KERAS_BACKEND={backend} there is no training but with jax and --resident")


def recipe(args: argparse.Namespace) -> dict:
    """The options that make a run what it is, beside its photographs and the weights that it starts from."""
    return {option: value for option, value in vars(args).items() if option not in PLACES}


def ranged(kind, valid, words):
    """The type of an argument: a number that is ``valid``, in ``words``."""

    def number(text):
        if not valid(value := kind(text)):
            raise argparse.ArgumentTypeError(f"expected {words}, got {text}")
        return value

    return number


COUNT = ranged(int, lambda count: count >= 1, "1 or more")
POSITIVE = ranged(float, lambda number: 0 < number < math.inf, "a number above 0")
NOT_NEGATIVE = ranged(float, lambda number: 0 <= number < math.inf, "0 or a number above it")


def named(defaults, number):
    """The type of an argument NAME=NUMBER, or NAME for its default: a pair."""

    def pair(text):
        name, _, value = text.partition("=")
        if name not in defaults:
            raise argparse.ArgumentTypeError(f"unknown name {name!r}, expected {', '.join(defaults)}")
        return name, number(value) if value else defaults[name]

    return pair


def in_words(numbers):
    return " ".join(f"{name}={number:g}" for name, number in numbers.items())
