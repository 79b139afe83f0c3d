"""Train the SRCNN, the SRResNet or the SRGAN on folders of photographs.

    python -m training.train srresnet --data PHOTOS --out runs/srresnet
    python -m training.train srgan    --data PHOTOS --out runs/srgan --start runs/srresnet/srresnet_x4.keras
    python -m training.train @training/recipes/srgan.txt --data PHOTOS --out runs/srgan

A recipe is a file of such options. The run directory gets a row of log.csv every 50 steps and, at every checkpoint,
METHOD_x4_STEP.keras (the exponential moving average of the weights, float32; the last one as METHOD_x4.keras too), a
sheet of sample patches (low resolution, result, original) and state.npz. The same command again takes a killed run up
at its last checkpoint. On a GPU: KERAS_BACKEND=jax and --resident.
"""

import csv
import io
import itertools
import json
import time
import zipfile

import keras
import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from superres.images.files import atomic_write
from superres.images.image import to_uint8
from superres.images.measures import psnr
from superres.network.models import generator, srcnn
from training import CommandLine, errors_in_one_line, settings
from training.adversarial import Trainer, discriminator
from training.data import EnlargedPatches, Patches, find_originals, low_resolution, read_hr
from training.initialise import start_as_upscaler, start_from
from training.losses import content_loss, feature_network
from training.optimizers import Muon, learning_rate, optimizer
from training.settings import LOG_EVERY

NETWORKS = {"srcnn": srcnn, "srresnet": generator, "srgan": generator}
STATE = "state.npz"


def prepare(args) -> tuple:
    """The patches, what trains on them (as of its last checkpoint), a network for its average, the validation.

    Raises OSError or ValueError for whatever is wrong with the arguments and files, before any long work.
    """
    settings.complete(args)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy("float32")  # of what is published, and measured
    average = NETWORKS[args.method]()
    validation = Validation(args) if args.validate else None
    keras.config.set_dtype_policy(args.dtype)
    patches = patches_class(args)(args.data, args.batch, args.patch, args.seed, args.degradations)
    network = NETWORKS[args.method]()
    keep_ends_in_float32(network)
    if args.start:
        start_from(args.start, network)
    else:
        start_as_upscaler(network)
    trainer = prepare_trainer(args, network)
    if (args.out / STATE).exists():
        restore(args, trainer)
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


def patches_class(args):
    if args.resident:
        from training.resident import ResidentPatches  # needs JAX

        return ResidentPatches
    return EnlargedPatches if args.method == "srcnn" else Patches


def prepare_trainer(args, network):
    features = feature_network(args.vgg) if "content" in args.weights else None
    judge = discriminator() if "adversarial" in args.weights else None
    trainer = Trainer(network, args.weights, args.crop, features, judge)
    trainer.compile(optimizer(Muon, use_ema=True, ema_momentum=args.ema), optimizer(keras.optimizers.Adam))
    return trainer


def train(args, patches, trainer, average, validation):
    """Train from the step that ``prepare`` restored to the end, with a checkpoint every ``args.checkpoint`` steps."""
    done = int(trainer.optimizer.iterations)
    log = Log(args.out / "log.csv", done)
    sample, steps = patches[0], steps_of(args, trainer, patches)
    bar = tqdm(initial=done, total=None if args.minutes else args.steps, desc=args.method, unit="step")
    start = time.monotonic() - log.seconds
    while (progress := progress_of(args, done, time.monotonic() - start)) < 1:
        count = min(every - done % every for every in (args.checkpoint, LOG_EVERY))
        count = count if args.minutes else min(count, args.steps - done)
        set_learning_rates(args, trainer, done + count, progress)
        terms = []
        for each in steps(count):
            terms.append(each)
            bar.update()
        done += count
        means = {name: float(ops.mean(ops.stack([each[name] for each in terms]))) for name in terms[0]}
        seconds = time.monotonic() - start
        row = {"step": done, "seconds": seconds, "learning_rate": float(trainer.optimizer.learning_rate)} | means
        if done % args.checkpoint == 0 or progress_of(args, done, seconds) >= 1:
            write_checkpoint(args, trainer, average, sample, done)
            row |= validation.measure(patches, average, trainer) if validation else {}
        log.write(row)
        bar.set_postfix(means)


def progress_of(args, step, seconds):
    """The share of a run that is done: of its minutes, or of its steps."""
    return seconds / (60 * args.minutes) if args.minutes else step / args.steps


def set_learning_rates(args, trainer, step, progress):
    trainer.optimizer.learning_rate = learning_rate(args.learning_rate, step, progress)
    trainer.discriminator_optimizer.learning_rate = learning_rate(args.discriminator_rate, step, progress)


def steps_of(args, trainer, patches):
    """A generator function of a count: that many steps, of each the terms of the loss."""
    if args.resident:
        from training.resident import resident_steps  # needs JAX

        return resident_steps(trainer, patches)
    stream = patches.stream(int(trainer.optimizer.iterations))

    def steps(count):
        for batch in itertools.islice(stream, count):
            yield trainer.train_on_batch(*batch, return_dict=True)

    return steps


def write_checkpoint(args, trainer, average, sample, step):
    trainer.optimizer.finalize_variable_values(average.trainable_variables)
    for name in (f"{args.method}_x4_{step:06d}.keras", f"{args.method}_x4.keras"):
        with atomic_write(args.out / name) as file:
            average.save(file.name)
    with atomic_write(args.out / f"sample_{step:06d}.png") as file:
        sample_sheet(average, *sample).save(file)
    with atomic_write(args.out / STATE) as file:
        values = map(ops.convert_to_numpy, itertools.chain(*trainer.state))
        np.savez(file, *values, recipe=json.dumps(settings.recipe(args)))


def restore(args, trainer):
    """Take a run up from its state; raises ValueError for that of another recipe, or a damaged file."""
    path, variables = args.out / STATE, list(itertools.chain(*trainer.state))
    try:
        with np.load(path) as arrays:
            values = dict(arrays)
        then = json.loads(str(values.pop("recipe")))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no state of a run: {error}") from error
    now = json.loads(json.dumps(settings.recipe(args)))
    if different := [f"{name} {then.get(name)}, not {now[name]}" for name in now if then.get(name) != now[name]]:
        raise ValueError(f"{path} is of a run with {'; '.join(different)}: use another --out, or the same options")
    if [array.shape for array in values.values()] != [tuple(variable.shape) for variable in variables]:
        raise ValueError(f"{path} is of other networks, from another revision of the code: use another --out")
    for variable, value in zip(variables, values.values(), strict=True):
        variable.assign(value)


class Validation:
    """Measures networks on up to eight whole images that they are not trained on, in float32."""

    def __init__(self, args):
        """Raises the errors of ``find_originals``, ``read_hr`` and ``feature_network``."""
        originals = [(path, read_hr(path)) for path in find_originals(args.validate)[:8]]
        self.pairs = [(low_resolution(path, hr, "clean"), hr) for path, hr in originals]
        self.features = feature_network(args.vgg) if args.vgg or "content" in args.weights else None

    def measure(self, patches, network, trainer):
        """Means by name: PSNR on Y (dB); "distance", the content term, that is LPIPS's form on the features that the
        run is trained on, uncalibrated; the discriminator's logits.
        """
        rows = []
        for lr, hr in self.pairs:
            inputs = patches.network_input(lr)[None].astype("float32")
            sr = to_uint8(ops.convert_to_numpy(network(inputs)[0]))
            real, fake = (image[None].astype("float32") for image in (hr, sr))
            row = {"psnr": psnr(hr, sr)}
            if self.features:
                row["distance"] = content_loss(self.features(real), self.features(fake))
            if trainer.discriminator:
                height, width = (side // 8 * 8 for side in hr.shape[:2])
                logits = trainer.logits(np.concatenate([real, fake])[:, :height, :width], seed=0)
                row |= zip(("validation_real", "validation_fake"), ops.mean(logits, (1, 2, 3)), strict=True)
            rows.append(row)
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


class Log:
    """A CSV file of a row per report, whole at any time; opened again, without the rows after the step resumed."""

    def __init__(self, path, step):
        rows = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
        self.path, self.rows = path, [row for row in rows if int(row["step"]) <= step]
        self.seconds = float(self.rows[-1]["seconds"]) if self.rows else 0.0

    def write(self, row):
        self.rows.append(row)
        with atomic_write(self.path) as file, io.TextIOWrapper(file, newline="") as text:
            writer = csv.DictWriter(text, dict.fromkeys(itertools.chain(*self.rows)))
            writer.writeheader()
            writer.writerows(self.rows)


def sample_sheet(network, lr, hr):
    """A Pillow image with a row per patch: low resolution in large pixels, the network's result, the original."""
    lr, hr = map(np.asarray, (lr, hr))
    scale = hr.shape[1] // lr.shape[1]
    # Not `predict`: in JAX it would take the arrays for its own that the network shares with the optimizer's average.
    columns = lr.repeat(scale, axis=1).repeat(scale, axis=2), ops.convert_to_numpy(network(lr)), hr
    return Image.fromarray(to_uint8(np.concatenate(np.concatenate(columns, axis=2))))


def main(arguments=None):
    parser = CommandLine("training.train", __doc__)
    settings.add_options(parser)
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        prepared = prepare(args)
    train(args, *prepared)


if __name__ == "__main__":
    main()
