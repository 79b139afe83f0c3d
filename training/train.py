"""Train the SRCNN, the SRResNet or the SRGAN on folders of photographs.

    python -m training.train srcnn    --data PHOTOS --out runs/srcnn
    python -m training.train srresnet --data PHOTOS --out runs/srresnet
    python -m training.train srgan    --data PHOTOS --out runs/srgan --start runs/srresnet/srresnet_x4.keras

The run directory gets, at every checkpoint, METHOD_x4.keras (the exponential moving average of the weights, float32),
a sheet of sample patches (low resolution, result, original), state.npz and the rows of log.csv. The same command
again takes a killed run up at its last checkpoint. KERAS_BACKEND chooses the framework (tried: tensorflow, jax).
"""

import argparse
import csv
import os
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from PIL import Image
from tqdm import tqdm

from superres.network import SCALE, DepthToSpace, generator, srcnn, subpixel_convolution
from superres.weights import load_generator
from training.data import DEGRADATIONS, Patches, upscale_inputs
from training.losses import (
    adversarial_loss,
    checkerboard_loss,
    content_loss,
    discriminator,
    discriminator_loss,
    feature_network,
    l1_loss,
    l2_loss,
)

NETWORKS = {"srcnn": srcnn, "srresnet": generator, "srgan": generator}
LEARNING_RATES = {"srcnn": 1e-3, "srresnet": 5e-4, "srgan": 1e-4}
SMALL = 0.01  # of the usual initial weights, where they would disturb the image that a network starts from
WARM_UP = 100  # steps
LOG_EVERY = 50  # steps
STATE = "state.npz"

# The perceptual loss is content + ADVERSARIAL x adversarial + PIXEL x L1 + CHECKERBOARD x checkerboard.
ADVERSARIAL = 0.01
PIXEL = 10
CHECKERBOARD = 5


def start_as_upscaler(model):
    """Set a fresh generator to bilinear enlargement, or an SRCNN to identity, so that it need not learn to copy.

    The first three channels carry RGB from layer to layer; each sub-pixel step copies them to its four sub-pixels and
    the tail smooths the copies, which together is exactly bilinear interpolation. What else goes into these channels
    starts small; all other kernels start as in He et al. 2015.
    """
    hat = np.array([1, 2, 2, 2, 1]) / 8
    for layer in model.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        kernel = np.array(keras.initializers.HeNormal()(layer.kernel.shape))
        if layer.name in ("up1", "up2"):
            carry_rgb(kernel, copies=4)
        elif layer.name == "tail":
            carry_rgb(kernel, stencil=np.outer(hat, hat))
        elif layer.name == "trunk":
            kernel *= SMALL
        elif layer.name.endswith("_conv2"):
            kernel *= 0.1
        elif not layer.name.endswith("_conv1"):
            carry_rgb(kernel)
        layer.kernel.assign(kernel)


def carry_rgb(kernel, stencil=((1,),), copies=1):
    """Let the first three filters, in each of ``copies`` equal groups, pass the first three channels on (in place)."""
    radius = len(stencil) // 2
    middle = kernel.shape[0] // 2
    window = slice(middle - radius, middle + radius + 1)
    for first in range(0, kernel.shape[-1], kernel.shape[-1] // copies):
        for channel in range(3):
            kernel[..., first + channel] *= SMALL
            kernel[window, window, channel, first + channel] += stencil


class FastTail(layers.Layer):
    """The generator's last PReLU and tail, moved before the last sub-pixel step: a CPU trains them faster.

    The tail becomes a 5x5 convolution before the sub-pixel step (see ``subpixel_convolution``). It has no weights of
    its own.
    """

    def __init__(self, prelu, tail):
        super().__init__(dtype=tail.dtype_policy)
        self.prelu, self.tail = prelu, tail
        # Which of the tail's weights each weight of the moved kernel is, counted from 1; 0 where it is none.
        shape = tail.kernel.shape
        self.source, _ = subpixel_convolution(np.arange(1, 1 + np.prod(shape)).reshape(shape), np.zeros(shape[-1]))

    def call(self, x):
        x = ops.relu(x) - ops.tile(self.prelu.alpha, (1, 1, 4)) * ops.relu(-x)
        weights = ops.reshape(self.tail.kernel, (-1,))
        kernel = ops.take(ops.concatenate([ops.zeros(1, weights.dtype), weights]), self.source)
        return ops.conv(x, kernel, padding="same") + ops.tile(self.tail.bias, 4)


def with_fast_tail(model):
    """The same generator, weights shared, as a graph that trains faster."""
    x = FastTail(model.get_layer("up2_prelu"), model.get_layer("tail"))(model.get_layer("up2").output)
    return keras.Model(model.input, model.get_layer("to_0_255")(DepthToSpace()(x)), name=model.name)


class Muon(keras.optimizers.Adam):
    """Muon (Jordan et al. 2024) for the convolutions from features to features, Adam for all other weights.

    A kernel (k, k, c, f) is taken as a matrix (k k c, f). The steps are scaled to the size of Adam's (Liu et al. 2025),
    so that both share a learning rate. Keras' own Muon takes matrices alone.
    """

    MOMENTUM = 0.95

    def update_step(self, gradient, variable, learning_rate):
        if len(variable.shape) != 4 or 3 in variable.shape[-2:]:
            return super().update_step(gradient, variable, learning_rate)
        momentum = self._momentums[self._get_variable_index(variable)]
        self.assign(momentum, self.MOMENTUM * momentum + gradient)
        step = ops.reshape(gradient + self.MOMENTUM * momentum, (-1, variable.shape[-1]))
        step = 0.2 * max(step.shape) ** 0.5 * orthogonalised(step)
        self.assign_sub(variable, learning_rate * ops.reshape(step, variable.shape))


def orthogonalised(matrix):
    """Nearly the orthogonal factor of a matrix's polar decomposition: singular values between 0.7 and 1.2.

    Five Newton-Schulz steps with the coefficients of Jordan et al.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return ops.transpose(orthogonalised(ops.transpose(matrix)))
    matrix = matrix / (ops.norm(matrix) + keras.config.epsilon())
    for _ in range(5):
        gram = ops.matmul(ops.transpose(matrix), matrix)
        matrix = 3.4445 * matrix + ops.matmul(matrix, -4.7750 * gram + 2.0315 * ops.matmul(gram, gram))
    return matrix


class RandomCrop(layers.Layer):
    """A random window of ``size`` pixels, the same for the whole batch."""

    def __init__(self, size):
        super().__init__(dtype="float32")
        self.size = size
        self.seed = keras.random.SeedGenerator()

    def call(self, x):
        batch, height, _, channels = ops.shape(x)
        corner = keras.random.randint((2,), 0, height - self.size + 1, seed=self.seed)
        return ops.slice(x, (0, corner[0], corner[1], 0), (batch, self.size, self.size, channels))


class PerceptualTraining(keras.Model):
    """A generator that learns from the perceptual loss, with the discriminator and the VGG19 features frozen."""

    def __init__(self, network, discriminator, features, crop):
        super().__init__(name="perceptual_training")
        self.network, self.discriminator, self.features, self.crop = network, discriminator, features, crop
        self.terms = [keras.metrics.Mean(name) for name in ("content", "adversarial", "pixel", "checkerboard")]

    def call(self, lr, training=None):
        return self.network(lr, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # Without the crop VGG19's pooling would always meet the sub-pixel grid in the same phase and imprint it.
        hr, sr = ops.split(self.crop(ops.concatenate([y, y_pred])), 2)
        real, fake = ops.split(self.discriminator(ops.concatenate([hr, sr]), training=training), 2)
        losses = (
            content_loss(self.features(hr), self.features(sr)),
            adversarial_loss(real, fake),
            l1_loss(y, y_pred),
            checkerboard_loss(y, y_pred),
        )
        for term, loss in zip(self.terms, losses, strict=True):
            term.update_state(loss)
        content, adversarial, pixel, checkerboard = losses
        return content + ADVERSARIAL * adversarial + PIXEL * pixel + CHECKERBOARD * checkerboard


class Adversarial:
    """SRGAN: discriminator and generator in turn, with the part of a compiled Keras model's interface used here."""

    def __init__(self, network, features, patch, optimizer, discriminator_optimizer):
        # The discriminator halves its image three times.
        crop = RandomCrop(SCALE * patch * 2 // 3 // 8 * 8)
        self.discriminator = discriminator()
        self.discriminator_training = keras.Sequential([crop, self.discriminator])
        self.discriminator_training.compile(
            discriminator_optimizer, loss=lambda _, y: discriminator_loss(*ops.split(y, 2))
        )
        discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.discriminator.trainable = False
        self.training = PerceptualTraining(network, self.discriminator, features, crop)
        self.training.compile(optimizer)
        self.optimizer = optimizer
        self.network, self.crop = network, crop

    @property
    def weights(self):
        discriminator = [*self.discriminator.weights, *self.discriminator_training.optimizer.variables]
        return [*self.network.weights, *discriminator, self.crop.seed.state]

    def train_on_batch(self, lr, hr, return_dict=True):
        images = np.concatenate([hr, self.network.predict_on_batch(lr)])
        self.discriminator.trainable = True
        discriminator_logs = self.discriminator_training.train_on_batch(images, np.zeros(len(images)), return_dict=True)
        self.discriminator.trainable = False
        return {"discriminator": discriminator_logs["loss"]} | self.training.train_on_batch(lr, hr, return_dict=True)


def prepare(args):
    """The patches, what trains on them (as far as its last checkpoint), and a network for its average.

    Raises OSError or ValueError for whatever is wrong with the arguments and files, before any long work.
    """
    keras.utils.set_random_seed(args.seed)
    patches = Patches(args.data, args.batch, args.patch, args.seed, args.degradations)
    average = NETWORKS[args.method]()  # before the precision is set: what is published is float32
    keras.config.set_dtype_policy(args.dtype)
    network = NETWORKS[args.method]()
    network.get_layer("to_0_255").dtype_policy = "float32"  # bfloat16 would round to whole grey levels
    if args.start:
        start_from(args.start, network)
    else:
        start_as_upscaler(network)

    def schedule(pace=1):
        peak = pace * (args.learning_rate or LEARNING_RATES[args.method])
        warm_up = min(WARM_UP, args.steps // 2)
        return keras.optimizers.schedules.CosineDecay(
            0.0, args.steps - warm_up, alpha=1e-6 / peak, warmup_target=peak, warmup_steps=warm_up
        )

    common = {"beta_1": 0.9, "beta_2": 0.99, "global_clipnorm": 0.5}
    muon = Muon(schedule(), use_ema=True, ema_momentum=args.ema, **common)
    if args.method == "srgan":
        # The discriminator learns faster than the generator (Heusel et al. 2017).
        adam = keras.optimizers.Adam(schedule(pace=2), **common)
        trainer = Adversarial(with_fast_tail(network), feature_network(args.vgg), args.patch, muon, adam)
    elif args.method == "srresnet":
        trainer = with_fast_tail(network)
        trainer.compile(muon, loss=l1_loss)
    else:
        trainer = network
        trainer.compile(muon, loss=l2_loss)
    trainer.optimizer.build(network.trainable_variables)
    if (args.out / STATE).exists():
        restore(args.out / STATE, state(trainer))
    return patches, trainer, average


def start_from(source, network):
    """Copy the weights that ``load_generator`` finds; its errors, and ValueError for another network."""
    weights = load_generator(source).get_weights()
    if [array.shape for array in weights] != [tuple(variable.shape) for variable in network.weights]:
        raise ValueError(f"{source} holds another network than {network.name}")
    network.set_weights(weights)


def train(args, patches, trainer, average):
    """Train from the step that ``prepare`` restored up to ``args.steps``, with a checkpoint now and then."""
    args.out.mkdir(parents=True, exist_ok=True)
    first = int(trainer.optimizer.iterations)
    log = Log(args.out / "log.csv", first)
    prepare_batch = upscale_inputs if args.method == "srcnn" else lambda lr, hr: (lr, hr)
    sample = prepare_batch(*patches[0])
    progress = tqdm(range(first, args.steps), initial=first, total=args.steps, desc=args.method, unit="step")
    recent = []
    for step, batch in zip(progress, patches.stream(first), strict=False):
        recent.append(trainer.train_on_batch(*prepare_batch(*batch), return_dict=True))
        done = step + 1
        if done % LOG_EVERY == 0 or done == args.steps:
            means = {name: float(np.mean([logs[name] for logs in recent])) for name in recent[0]}
            log.write({"step": done, "learning_rate": float(trainer.optimizer.learning_rate)} | means)
            progress.set_postfix(means)
            recent.clear()
        if done % args.checkpoint == 0 or done == args.steps:
            trainer.optimizer.finalize_variable_values(average.trainable_variables)
            write_atomically(args.out / f"{args.method}_x4.keras", average.save)
            write_atomically(args.out / f"sample_{done:06d}.png", sample_sheet(average, *sample).save)
            write_atomically(args.out / STATE, lambda path: np.savez(path, *map(ops.convert_to_numpy, state(trainer))))


class Log:
    """A CSV file of one row per report; opened again, without the rows after the step that is resumed."""

    def __init__(self, path, step):
        rows = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
        self.path = path
        path.unlink(missing_ok=True)
        for row in rows:
            if int(row["step"]) <= step:
                self.write(row)

    def write(self, row):
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def state(trainer):
    """The variables that a run is continued from, in a fixed order."""
    return [*trainer.weights, *trainer.optimizer.variables]


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
    scale = hr.shape[1] // lr.shape[1]
    # Not `predict`: in JAX it would take the arrays for its own that the network shares with the optimizer's average.
    columns = lr.repeat(scale, axis=1).repeat(scale, axis=2), ops.convert_to_numpy(network(lr)), hr
    sheet = np.concatenate(np.concatenate(columns, axis=2))
    return Image.fromarray(np.clip(np.rint(sheet), 0, 255).astype(np.uint8))


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rates = ", ".join(f"{method} {rate:g}" for method, rate in LEARNING_RATES.items())
    add = parser.add_argument
    add("method", choices=NETWORKS)
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of photographs, each with an equal share")
    add("--out", type=Path, required=True, metavar="RUN_DIR", help="where the run's files go, and are taken up from")
    add("--steps", type=int, default=100_000, help="length of the run and of its schedule (default %(default)s)")
    add("--batch", type=int, default=16, help="patches in a batch (default %(default)s)")
    add("--patch", type=int, default=24, help="side of a low-resolution patch, pixels (default %(default)s)")
    add(
        "--degradations",
        nargs="+",
        choices=DEGRADATIONS,
        default=list(DEGRADATIONS),
        help="low-resolution inputs to draw (default: all)",
    )
    add("--seed", type=int, default=0, help="of initial weights and batches (default %(default)s)")
    add("--start", metavar="FILE.keras", help="weights to start from (default: those of a bilinear upscaler)")
    add("--vgg", nargs="+", metavar="FILE.npz", help="VGG19 for the content loss (default: keras.applications's)")
    add("--dtype", choices=["float32", "mixed_bfloat16"], default="float32", help="bfloat16: GPUs and CPUs with AMX")
    add("--learning-rate", type=float, metavar="RATE", help=f"peak, at step {WARM_UP} (default: {rates})")
    add("--ema", type=float, default=0.999, help="momentum of the moving average of weights (default %(default)s)")
    add("--checkpoint", type=int, default=1000, metavar="STEPS", help="steps between checkpoints (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        prepared = prepare(args)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    train(args, *prepared)


if __name__ == "__main__":
    main()
