"""Train the SRCNN, the SRResNet or the SRGAN on folders of photographs.

    python -m training.train srresnet --data PHOTOS --out runs/srresnet
    python -m training.train srgan    --data PHOTOS --out runs/srgan --start runs/srresnet/srresnet_x4.keras
    python -m training.train @training/recipes/srgan.txt --data PHOTOS --out runs/srgan --targets TARGETS

A recipe is a file of such options. The run directory gets, at every checkpoint, METHOD_x4.keras (the exponential
moving average of the weights, float32), a sheet of sample patches (low resolution, result, original), state.npz and
the rows of log.csv. The same command again takes a killed run up at its last checkpoint. KERAS_BACKEND chooses the
framework (tried: tensorflow, torch; jax with --resident, for a GPU).
"""

import argparse
import csv
import itertools
import os
import shlex
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from superres import SCALE
from superres.backend import has_native_bfloat16
from superres.measures import psnr
from superres.network import generator, srcnn
from training.adversarial import SRGAN, discriminator
from training.data import (
    DEGRADATIONS,
    Patches,
    bicubic_upscale,
    find_images,
    find_originals,
    low_resolution,
    read_hr,
    to_uint8,
    training_pair,
)
from training.initialise import start_as_upscaler, start_from
from training.losses import HINT_BORDER, WEIGHTS, feature_network, l2_loss
from training.optimizers import Muon, optimizer
from training.teacher import Targets, load_teacher

NETWORKS = {"srcnn": srcnn, "srresnet": generator, "srgan": generator}
LEARNING_RATES = {"srcnn": 1e-3, "srresnet": 5e-4, "srgan": 1e-4}
LOG_EVERY = 50  # steps
STATE = "state.npz"


def prepare(args: argparse.Namespace) -> tuple:
    """The patches, what trains on them (as of its last checkpoint), a network for its average, validation images.

    Raises OSError or ValueError for whatever is wrong with the arguments and files, before any long work.
    """
    if min(args.steps, args.batch, args.checkpoint) < 1:
        raise ValueError("--steps, --batch and --checkpoint must be 1 or more")
    if args.patch < 8:
        raise ValueError(f"--patch must be 8 or more, got {args.patch}")
    for option in ("learning_rate", "auxiliary_rate"):
        if (rate := getattr(args, option)) is not None and rate <= 0:
            raise ValueError(f"--{option.replace('_', '-')} must be above 0, got {rate:g}")
    on_jax = keras.backend.backend() == "jax"
    if args.resident and (not on_jax or args.method == "srcnn"):
        raise ValueError("--resident is for the srresnet and the srgan on KERAS_BACKEND=jax")
    if on_jax and args.method != "srcnn" and not args.resident:
        raise ValueError(f"on KERAS_BACKEND=jax the {args.method} trains with --resident")
    if args.targets and args.method != "srgan":
        raise ValueError(f"--targets are for the srgan, the {args.method} learns from the originals")
    keras.utils.set_random_seed(args.seed)
    average = NETWORKS[args.method]()  # before the precision is set: what is published is float32
    keras.config.set_dtype_policy(args.dtype)
    patches = prepare_patches(args)
    network = NETWORKS[args.method]()
    network.get_layer("to_0_255").dtype_policy = "float32"  # bfloat16 would round to whole grey levels
    if args.start:
        start_from(args.start, network)
    else:
        start_as_upscaler(network)
    trainer = prepare_trainer(args, network)
    if (args.out / STATE).exists():
        restore(args.out / STATE, state(trainer))
    validation = validation_pairs(args) if args.validate else []
    args.out.mkdir(parents=True, exist_ok=True)
    return patches, trainer, average, validation


def prepare_patches(args):
    targets, kind = None, Patches
    if args.resident:
        from training.resident import ResidentPatches as kind  # needs JAX
    if args.targets:
        paths = [path for folder in args.data for path in find_images(folder)]
        targets = Targets(args.targets, paths, args.teacher)
    return kind(args.data, args.batch, args.patch, args.seed, dict(args.degradations), targets)


def validation_pairs(args):
    """Up to eight whole images: the clean input as the network takes it and the original, RGB in [0, 255]."""
    pairs = []
    for path in find_originals(args.validate)[:8]:
        hr = read_hr(path)
        lr = low_resolution(path, hr, "clean")
        pairs.append((bicubic_upscale(lr) if args.method == "srcnn" else lr, hr))
    return pairs


def prepare_trainer(args, network):
    """What trains the network: the compiled Keras model of an SRCNN, or an ``SRGAN``, for SRResNet with L1 alone."""
    peak = args.learning_rate or LEARNING_RATES[args.method]
    muon = optimizer(Muon, peak, args.steps, use_ema=True, ema_momentum=args.ema)
    if args.method == "srcnn":
        network.compile(muon, loss=l2_loss)
        muon.build(network.trainable_variables)
        return network
    weights = WEIGHTS | dict(args.weights)
    if args.method == "srresnet":
        weights = dict.fromkeys(WEIGHTS, 0.0) | {"pixel": 1.0}
    if weights["hint"] and not (args.teacher and args.targets):
        raise ValueError("a hint loss needs --teacher and --targets")
    if weights["hint"] and args.patch <= 2 * HINT_BORDER:
        raise ValueError(f"a hint loss needs a --patch of more than {2 * HINT_BORDER}, got {args.patch}")
    if args.crop is not None and not (16 <= args.crop <= SCALE * args.patch and args.crop % 8 == 0):
        raise ValueError(f"--crop must be a multiple of 8 from 16 to {SCALE * args.patch}, got {args.crop}")
    teacher = load_teacher(args.teacher) if weights["hint"] else None
    features = feature_network(args.vgg) if weights["content"] else None
    trainer = SRGAN(network, weights, args.patch, features, discriminator(), teacher, args.crop)
    trainer.compile(muon, optimizer(keras.optimizers.Adam, args.auxiliary_rate or peak, args.steps))
    return trainer


def train(args, patches, trainer, average, validation):
    """Train from the step that ``prepare`` restored to ``args.steps``, a checkpoint every ``args.checkpoint``."""
    done = int(trainer.optimizer.iterations)
    log = Log(args.out / "log.csv", done)
    sample = training_pair(args.method, patches[0])
    if args.method == "srgan" and trainer.projections and done == 0:
        trainer.fit_projections([training_pair(args.method, patches[8 * n])[0] for n in range(16)])
    if args.resident:
        from training.resident import resident_steps  # needs JAX

        steps = resident_steps(trainer, patches)
    else:
        steps = streamed_steps(args.method, trainer, patches)
    progress = tqdm(initial=done, total=args.steps, desc=args.method, unit="step")
    start, recent = time.monotonic() - log.seconds, []
    while done < args.steps:
        count = min(args.steps - done, *(every - done % every for every in (args.checkpoint, LOG_EVERY)))
        for terms in steps(count):
            recent.append(terms)
            progress.update()
        done += count
        checkpoint = done % args.checkpoint == 0 or done == args.steps
        if checkpoint:
            trainer.optimizer.finalize_variable_values(average.trainable_variables)
            write_atomically(args.out / f"{args.method}_x4.keras", average.save)
            write_atomically(args.out / f"sample_{done:06d}.png", sample_sheet(average, *sample).save)
            write_atomically(args.out / STATE, lambda path: np.savez(path, *map(ops.convert_to_numpy, state(trainer))))
        means = {name: float(np.mean([terms[name] for terms in recent])) for name in recent[0]}
        row = {"step": done, "seconds": time.monotonic() - start}
        row |= {"learning_rate": float(trainer.optimizer.learning_rate)} | means
        log.write(row | {"psnr": validate(average, validation) if checkpoint and validation else ""})
        progress.set_postfix(means)
        recent.clear()


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
    weights = trainer.state if isinstance(trainer, SRGAN) else trainer.weights
    return [*weights, *trainer.optimizer.variables]


def restore(path, variables):
    with np.load(path) as arrays:
        values = [arrays[name] for name in arrays.files]
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise ValueError(f"{path} is the state of another kind of run")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def write_atomically(path, write):
    """Never leave half a file at ``path``, whatever moment the run is killed at."""
    unfinished = path.with_name(f"unfinished_{path.name}")
    write(unfinished)
    os.replace(unfinished, path)


def sample_sheet(network, lr, hr):
    """A Pillow image with a row per patch: low resolution in large pixels, the network's result, the original."""
    lr, hr = (np.asarray(side[0] if isinstance(side, tuple) else side) for side in (lr, hr))
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
    if name not in DEGRADATIONS:
        raise argparse.ArgumentTypeError(f"unknown degradation {name!r}, expected one of {', '.join(DEGRADATIONS)}")
    share = float(share or DEGRADATIONS[name])
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
    shares = ", ".join(f"{name}={share:g}" for name, share in DEGRADATIONS.items())
    add = parser.add_argument
    add("method", choices=NETWORKS)
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs, each with an equal share")
    add("--out", type=Path, required=True, metavar="RUN_DIR", help="where the run's files go, and are taken up from")
    add("--steps", type=int, default=100_000, help="length of the run and of its schedule (default %(default)s)")
    add("--batch", type=int, default=16, help="patches in a batch (default %(default)s)")
    add("--patch", type=int, default=24, help="side of a low-resolution patch, pixels (default %(default)s)")
    add("--degradations", nargs="+", type=degradation_share, default=list(DEGRADATIONS.items()), metavar="NAME[=SHARE]",
        help=f"low-resolution inputs to draw (default: {shares})")  # fmt: skip
    add("--seed", type=int, default=0, help="of initial weights and batches (default %(default)s)")
    add("--start", metavar="FILE.keras", help="weights to start from (default: those of a bilinear upscaler)")
    add("--vgg", nargs="+", metavar="FILE.npz", help="VGG19 for the content loss (default: keras.applications's)")
    add("--targets", metavar="DIR", help="a folder of training.teacher's, to learn from in place of the originals")
    add("--teacher", metavar="FILE", help="the targets' teacher, for the hint loss")
    add("--weights", nargs="+", type=loss_weight, default=[], metavar="TERM=WEIGHT",
        help=f"of the SRGAN's loss (default: {weights})")  # fmt: skip
    add("--crop", type=int, metavar="PIXELS",
        help="side of what the content and adversarial terms see of a patch (default: half of it)")  # fmt: skip
    add("--resident", action="store_true", help="keep all photographs in the memory of a GPU (JAX)")
    add("--dtype", choices=["float32", "mixed_bfloat16"],
        default="mixed_bfloat16" if has_native_bfloat16() else "float32",
        help="default: mixed_bfloat16 where the CPU computes it, as here: %(default)s")  # fmt: skip
    add("--learning-rate", type=float, metavar="RATE", help=f"peak (default: {rates})")
    add("--auxiliary-rate", type=float, metavar="RATE", help="peak of the discriminator's (default: the same)")
    add("--ema", type=float, default=0.999, help="momentum of the moving average of weights (default %(default)s)")
    add("--validate", metavar="DIR", help="images whose PSNR is logged at every checkpoint, eight at most")
    add("--checkpoint", type=int, default=1000, metavar="STEPS", help="steps between checkpoints (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        prepared = prepare(args)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    train(args, *prepared)


if __name__ == "__main__":
    main()
