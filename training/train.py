"""Train the SRCNN, the SRResNet or the SRGAN on folders of photographs.

    python -m training.train srresnet --data PHOTOS --out runs/srresnet
    python -m training.train srgan    --data PHOTOS --out runs/srgan --start runs/srresnet/srresnet_x4.keras
    python -m training.train @training/recipes/srgan.txt --data PHOTOS --out runs/srgan

A recipe is a file of such options. The run directory gets, at every checkpoint, METHOD_x4.keras (the exponential
moving average of the weights, float32), a sheet of sample patches (low resolution, result, original), state.npz and
the rows of log.csv. The same command again takes a killed run up at its last checkpoint. On a GPU: KERAS_BACKEND=jax
and --resident.
"""

import argparse
import csv
import itertools
import json
import shlex
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from superres import SCALE
from superres.images.files import atomic_write
from superres.images.image import to_uint8
from superres.images.measures import psnr
from superres.network.backend import has_native_bfloat16
from superres.network.models import generator, srcnn
from training import errors_in_one_line
from training.adversarial import Trainer, discriminator
from training.data import SHARES, Patches, find_originals, low_resolution, read_hr, srcnn_input, training_pair
from training.initialise import start_as_upscaler, start_from
from training.losses import WEIGHTS, feature_network, l2_loss
from training.optimizers import Muon, learning_rate, optimizer

NETWORKS = {"srcnn": srcnn, "srresnet": generator, "srgan": generator}
LEARNING_RATES = {"srcnn": 1e-3, "srresnet": 5e-4, "srgan": 1e-4}
LOG_EVERY = 50  # steps
STATE = "state.npz"
# The options that make a recipe: with others, a run is another run.
RECIPE = (
    "method", "steps", "minutes", "batch", "patch", "crop", "degradations", "seed", "weights", "learning_rate",
    "discriminator_rate", "ema", "dtype", "resident",
)  # fmt: skip


def prepare(args: argparse.Namespace) -> tuple:
    """The patches, what trains on them (as of its last checkpoint), a network for its average, validation images.

    Raises OSError or ValueError for whatever is wrong with the arguments and files, before any long work.
    """
    if min(args.steps, args.batch, args.checkpoint) < 1:
        raise ValueError("--steps, --batch and --checkpoint must be 1 or more")
    if args.patch < 8:
        raise ValueError(f"--patch must be 8 or more, got {args.patch}")
    for option in ("minutes", "learning_rate", "discriminator_rate"):
        if (value := getattr(args, option)) is not None and not 0 < value < float("inf"):
            raise ValueError(f"--{option.replace('_', '-')} must be above 0, got {value:g}")
    on_jax = keras.backend.backend() == "jax"
    if args.resident and (not on_jax or args.method == "srcnn"):
        raise ValueError("--resident is for the srresnet and the srgan on KERAS_BACKEND=jax")
    if on_jax and args.method != "srcnn" and not args.resident:
        raise ValueError(f"on KERAS_BACKEND=jax the {args.method} trains with --resident")
    keras.utils.set_random_seed(args.seed)
    average = NETWORKS[args.method]()  # before the precision is set: what is published is float32
    keras.config.set_dtype_policy(args.dtype)
    patches = prepare_patches(args)
    network = NETWORKS[args.method]()
    keep_ends_in_float32(network)
    if args.start:
        start_from(args.start, network)
    else:
        start_as_upscaler(network)
    trainer = prepare_trainer(args, network)
    if (args.out / STATE).exists():
        restore(args, trainer)
    validation = validation_pairs(args) if args.validate else []
    args.out.mkdir(parents=True, exist_ok=True)
    return patches, trainer, average, validation


def keep_ends_in_float32(network):
    """Bfloat16 would round colours to whole grey levels, and round the first kernel so that what is trained around it
    makes images a grey level darker in float32.
    """
    first, *_, last = (layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    last_prelu = [layer for layer in network.layers if isinstance(layer, keras.layers.PReLU)][-1:]
    for layer in (network.get_layer("to_unit"), first, *last_prelu, last, network.get_layer("to_0_255")):
        layer.dtype_policy = "float32"


def prepare_patches(args):
    patches = Patches
    if args.resident:
        from training.resident import ResidentPatches as patches  # needs JAX
    return patches(args.data, args.batch, args.patch, args.seed, dict(args.degradations))


def validation_pairs(args):
    """Up to eight whole images: the clean input as the network takes it and the original, RGB in [0, 255]."""
    pairs = []
    for path in find_originals(args.validate)[:8]:
        hr = read_hr(path)
        lr = low_resolution(path, hr, "clean")
        pairs.append((srcnn_input(lr) if args.method == "srcnn" else lr, hr))
    return pairs


def prepare_trainer(args, network):
    """What trains the network: the compiled Keras model of an SRCNN, or a ``Trainer``, for SRResNet with L1 alone."""
    muon = optimizer(Muon, use_ema=True, ema_momentum=args.ema)
    if args.method == "srcnn":
        network.compile(muon, loss=l2_loss)
        muon.build(network.trainable_variables)
        return network
    weights = WEIGHTS | dict(args.weights)
    if args.method == "srresnet":
        weights = dict.fromkeys(WEIGHTS, 0.0) | {"pixel": 1.0}
    if args.crop is not None and not (16 <= args.crop <= SCALE * args.patch and args.crop % 8 == 0):
        raise ValueError(f"--crop must be a multiple of 8 from 16 to {SCALE * args.patch}, got {args.crop}")
    features = feature_network(args.vgg) if weights["content"] else None
    trainer = Trainer(network, weights, args.patch, features, discriminator(), args.crop)
    trainer.compile(muon, optimizer(keras.optimizers.Adam))
    return trainer


def train(args, patches, trainer, average, validation):
    """Train from the step that ``prepare`` restored to the end, with a checkpoint every ``args.checkpoint`` steps."""
    done = int(trainer.optimizer.iterations)
    log = Log(args.out / "log.csv", done)
    sample = training_pair(args.method, patches[0])
    if args.resident:
        from training.resident import resident_steps  # needs JAX

        steps = resident_steps(trainer, patches)
    else:
        steps = streamed_steps(args.method, trainer, patches)
    bar = tqdm(initial=done, total=None if args.minutes else args.steps, desc=args.method, unit="step")
    start, recent = time.monotonic() - log.seconds, []
    while (progress := progress_of(args, done, time.monotonic() - start)) < 1:
        count = min(every - done % every for every in (args.checkpoint, LOG_EVERY))
        count = count if args.minutes else min(count, args.steps - done)
        set_learning_rates(args, trainer, done + count, progress)
        for terms in steps(count):
            recent.append(terms)
            bar.update()
        done += count
        means = {name: float(ops.mean(ops.stack([terms[name] for terms in recent]))) for name in recent[0]}
        seconds = time.monotonic() - start
        checkpoint = done % args.checkpoint == 0 or progress_of(args, done, seconds) >= 1
        if checkpoint:
            trainer.optimizer.finalize_variable_values(average.trainable_variables)
            with atomic_write(args.out / f"{args.method}_x4.keras") as file:
                average.save(file.name)
            with atomic_write(args.out / f"sample_{done:06d}.png") as file:
                sample_sheet(average, *sample).save(file)
            with atomic_write(args.out / STATE) as file:
                save_state(file, args, trainer)
        row = {"step": done, "seconds": seconds, "learning_rate": float(trainer.optimizer.learning_rate)} | means
        log.write(row | {"psnr": validate(average, validation) if checkpoint and validation else ""})
        bar.set_postfix(means)
        recent.clear()


def progress_of(args, step, seconds):
    """The share of a run that is done: of its minutes, or of its steps."""
    return seconds / (60 * args.minutes) if args.minutes else step / args.steps


def set_learning_rates(args, trainer, step, progress):
    peak = args.learning_rate or LEARNING_RATES[args.method]
    trainer.optimizer.learning_rate = learning_rate(peak, step, progress)
    if args.method == "srgan":
        trainer.discriminator_optimizer.learning_rate = learning_rate(args.discriminator_rate or peak, step, progress)


def streamed_steps(method, trainer, patches):
    """A generator function of a count: that many steps on batches from a thread, of each the terms of the loss."""
    stream = patches.stream(int(trainer.optimizer.iterations))

    def steps(count):
        for batch in itertools.islice(stream, count):
            yield trainer.train_on_batch(*training_pair(method, batch), return_dict=True)

    return steps


def validate(network, pairs):
    """Mean PSNR on Y in dB of a network over pairs of its input and the original, (h, w, 3) each."""
    results = ((to_uint8(ops.convert_to_numpy(network(lr[None].astype("float32"))[0])), hr) for lr, hr in pairs)
    return float(np.mean([psnr(hr, sr) for sr, hr in results]))


class Log:
    """A CSV file of one row per report; opened again, without the rows after the step that is resumed."""

    def __init__(self, path, step):
        rows = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
        self.path, self.seconds = path, 0.0
        path.unlink(missing_ok=True)
        for row in rows:
            if int(row["step"]) <= step:
                self.write(row)

    def write(self, row):
        self.seconds = float(row["seconds"])
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def state(trainer):
    """The variables that a run is resumed from, in a fixed order."""
    weights = trainer.state if isinstance(trainer, Trainer) else trainer.weights
    return [*weights, *trainer.optimizer.variables]


def recipe(args):
    """What a run depends on, beside its photographs and the weights that it starts from, as JSON."""
    return json.dumps({option: getattr(args, option) for option in RECIPE})


def save_state(file, args, trainer):
    np.savez(file, *map(ops.convert_to_numpy, state(trainer)), recipe=recipe(args))


def restore(args, trainer):
    """Take a run up from its state; raises ValueError for that of another recipe, or a damaged file."""
    path, variables = args.out / STATE, state(trainer)
    try:
        with np.load(path) as arrays:
            values = dict(arrays)
        then, now = json.loads(str(values.pop("recipe"))), json.loads(recipe(args))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no state of a run: {error}") from error
    if different := [f"{option} {then[option]}, not {now[option]}" for option in RECIPE if then[option] != now[option]]:
        raise ValueError(f"{path} is of a run with {'; '.join(different)}: use another --out, or the same options")
    for variable, value in zip(variables, values.values(), strict=True):
        variable.assign(value)


def sample_sheet(network, lr, hr):
    """A Pillow image with a row per patch: low resolution in large pixels, the network's result, the original."""
    lr, hr = map(np.asarray, (lr, hr))
    scale = hr.shape[1] // lr.shape[1]
    # Not `predict`: in JAX it would take the arrays for its own that the network shares with the optimizer's average.
    columns = lr.repeat(scale, axis=1).repeat(scale, axis=2), ops.convert_to_numpy(network(lr)), hr
    return Image.fromarray(to_uint8(np.concatenate(np.concatenate(columns, axis=2))))


class RecipeParser(argparse.ArgumentParser):
    """Reads ``@FILE`` as options, any number in a line, with comments."""

    def convert_arg_line_to_args(self, line):
        return shlex.split(line, comments=True)


def loss_weight(text):
    """An argument ``TERM=WEIGHT``."""
    name, _, value = text.partition("=")
    if name not in WEIGHTS:
        raise argparse.ArgumentTypeError(f"unknown term {name!r}, expected one of {', '.join(WEIGHTS)}")
    return name, float(value)


def degradation_share(text):
    """An argument ``NAME`` or ``NAME=SHARE``."""
    name, _, share = text.partition("=")
    if name not in SHARES:
        raise argparse.ArgumentTypeError(f"unknown degradation {name!r}, expected one of {', '.join(SHARES)}")
    share = float(share or SHARES[name])
    if not 0 < share < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a share above 0, got {text!r}")
    return name, share


def main(arguments=None):
    parser = RecipeParser(
        prog="python -m training.train", description=__doc__, fromfile_prefix_chars="@",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    rates = ", ".join(f"{method} {rate:g}" for method, rate in LEARNING_RATES.items())
    weights = ", ".join(f"{term}={weight:g}" for term, weight in WEIGHTS.items())
    shares = ", ".join(f"{name}={share:g}" for name, share in SHARES.items())
    add = parser.add_argument
    add("method", choices=NETWORKS)
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs, each with an equal share")
    add("--out", type=Path, required=True, metavar="RUN_DIR", help="where the run's files go, and are taken up from")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=100_000,
        help="length of the run and of its schedule (default %(default)s)")  # fmt: skip
    length.add_argument("--minutes", type=float, help="the same by time, that of earlier parts of the run included")
    add("--batch", type=int, default=16, help="patches in a batch (default %(default)s)")
    add("--patch", type=int, default=24, help="side of a low-resolution patch, pixels (default %(default)s)")
    add("--degradations", nargs="+", type=degradation_share, default=list(SHARES.items()), metavar="NAME[=SHARE]",
        help=f"low-resolution inputs to draw (default: {shares})")  # fmt: skip
    add("--seed", type=int, default=0, help="of initial weights and batches (default %(default)s)")
    add("--start", metavar="FILE.keras", help="weights to start from (default: those of a bilinear upscaler)")
    add("--vgg", nargs="+", metavar="FILE.npz", help="VGG19 for the content loss (default: keras.applications's)")
    add("--weights", nargs="+", type=loss_weight, default=[], metavar="TERM=WEIGHT",
        help=f"of the SRGAN's loss (default: {weights})")  # fmt: skip
    add("--crop", type=int, metavar="PIXELS",
        help="side of what the content and adversarial terms see of a patch (default: half of it)")  # fmt: skip
    add("--resident", action="store_true", help="keep all photographs in the memory of a GPU (JAX)")
    add("--dtype", choices=["float32", "mixed_bfloat16"],
        default="mixed_bfloat16" if has_native_bfloat16() else "float32",
        help="default: mixed_bfloat16 where the CPU computes it, as here: %(default)s")  # fmt: skip
    add("--learning-rate", type=float, metavar="RATE", help=f"peak (default: {rates})")
    add("--discriminator-rate", type=float, metavar="RATE", help="peak of the discriminator's (default: the same)")
    add("--ema", type=float, default=0.999, help="momentum of the moving average of weights (default %(default)s)")
    add("--validate", metavar="DIR", help="images whose PSNR is logged at every checkpoint, eight at most")
    add("--checkpoint", type=int, default=1000, metavar="STEPS", help="steps between checkpoints (default %(default)s)")
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        prepared = prepare(args)
    train(args, *prepared)


if __name__ == "__main__":
    main()
