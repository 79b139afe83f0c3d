"""Training on a GPU: the photographs stay in its memory, and one compiled function cuts a batch and takes a step (JAX).

The data reaches the GPU once, so that no step waits for the CPU to read and degrade photographs.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from tqdm import tqdm

from superres import SCALE
from training.adversarial import Trainer
from training.data import SHARES, SOFT, Patches, read_hr, soften

SOFT_COPIES = round(16 * SOFT)  # degraded copies of a photograph's softened version
COPIES = 16 - SOFT_COPIES  # of the photograph as it is


class Photographs(NamedTuple):
    """Photographs, as they are or softened, and degraded copies of each: their pixels (n, 3), row by row."""

    hr: jax.Array
    lr: jax.Array


class Layout(NamedTuple):
    """Where in the arrays of ``Photographs`` each photograph is, and which are in one folder."""

    height: jax.Array  # of each photograph's copies, in pixels
    width: jax.Array
    start: jax.Array  # the number of LR pixels, of one copy each, before a photograph's
    folder_start: jax.Array  # each folder's first photograph
    folder_size: jax.Array  # photographs in each folder


class ResidentPatches(Patches):
    """The patches of ``Patches``, all photographs and degraded copies of each in the accelerator's memory.

    Batch ``n`` depends on the arguments and on ``n`` alone; its first patches are the softened ones.
    """

    def __init__(self, folders, batch=16, patch=24, seed=0, shares=SHARES):
        """The arguments and errors of ``Patches``."""
        super().__init__(folders, batch, patch, seed, shares)
        self.soft = round(SOFT * batch)
        paths = [path for paths in self.folders for path in paths]
        with ThreadPoolExecutor() as pool:
            loaded = pool.map(self.load, range(len(paths)), paths)
            sharp, soft = zip(*tqdm(loaded, total=len(paths), desc="photographs", unit="image"), strict=True)
        sizes = np.array([hr.shape[:2] for hr, _ in sharp]) // SCALE
        pixels = sizes.prod(axis=1)
        counts = np.array([len(paths) for paths in self.folders])
        layout = Layout(*map(jnp.asarray, (*sizes.T, np.cumsum(pixels) - pixels, np.cumsum(counts) - counts, counts)))
        self.photographs = layout, join(sharp), join(soft)

    def load(self, index, path):
        """A photograph and its copies, and the same of its softened version."""
        rng = np.random.default_rng((self.seed, index))
        hr = read_hr(path)
        return [
            (version, [self.degraded(version, rng) for _ in range(copies)])
            for version, copies in ((hr, COPIES), (soften(hr, rng), SOFT_COPIES))
        ]

    def __getitem__(self, n):
        return jax.jit(self.draw)(self.photographs, n)

    def draw(self, photographs, n):
        """Batch ``n`` as ``Patches`` gives it, for compiled code.

        The ``photographs`` are an argument of that code: read from this object, they would be a constant in it.
        """
        layout, sharp, soft = photographs
        keys = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), n), 6)
        folder, image, y, x, copy, orientation = (
            functools.partial(jax.random.randint, key, (self.batch,), 0) for key in keys
        )
        folder = folder(len(self.folders))
        image = layout.folder_start[folder] + image(layout.folder_size[folder])
        height, width, start = (array[image] for array in (layout.height, layout.width, layout.start))
        y, x, orientation = y(height - self.patch + 1), x(width - self.patch + 1), orientation(8)

        def patches(version, copies, part):
            small = copies * start + copy(copies) * height * width, width, y, x, orientation
            large = SCALE**2 * start, SCALE * width, SCALE * y, SCALE * x, orientation
            sides = (version.lr, self.patch, small), (version.hr, SCALE * self.patch, large)
            return [cut(pixels, side, *(each[part] for each in place)) for pixels, side, place in sides]

        parts = patches(soft, SOFT_COPIES, slice(self.soft)), patches(sharp, COPIES, slice(self.soft, None))
        return tuple(map(jnp.concatenate, zip(*parts, strict=True)))


def join(loaded):
    """Images and their degraded copies as ``Photographs``."""
    hr, copies = zip(*loaded, strict=True)
    sides = hr, [image for images in copies for image in images]
    return Photographs(*(jnp.asarray(np.concatenate([image.reshape(-1, 3) for image in side])) for side in sides))


def cut(pixels, side, start, width, y, x, orientation):
    """Square patches (b, side, side, 3) of images that lie one after the other in ``pixels`` (n, 3), row by row.

    For each patch: where its image starts, the image's width, the patch's place, one of eight orientations.
    """
    start, width, y, x, orientation = (each[:, None, None] for each in (start, width, y, x, orientation))
    rows, columns = jnp.mgrid[:side, :side]
    rows, columns = jnp.where(orientation & 1, columns, rows), jnp.where(orientation & 1, rows, columns)
    rows = jnp.where(orientation & 2, side - 1 - rows, rows)
    columns = jnp.where(orientation & 4, side - 1 - columns, columns)
    return pixels[start + (y + rows) * width + x + columns].astype(jnp.float32)


def resident_steps(trainer: Trainer, patches: ResidentPatches):
    """A generator function of a count: that many steps of training, of each the terms of the loss.

    ``trainer``'s variables have their new values only when it is exhausted.
    """
    step = jax.jit(training_step(trainer, patches), donate_argnums=0)

    def steps(count):
        first = int(trainer.optimizer.iterations)
        groups = variables(trainer)
        state = [[variable.value for variable in group] for group in groups]
        for n in range(first, first + count):
            state, terms = step(state, patches.photographs, n)
            yield terms
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    return steps


def variables(trainer):
    """All that a step changes: weights, the variables of both optimizers, and what else changes in a forward pass."""
    discriminator = trainer.discriminator.non_trainable_variables if trainer.discriminator else []
    return [
        trainer.network.trainable_variables,
        trainer.discriminator_variables,
        trainer.optimizer.variables,
        trainer.discriminator_optimizer.variables,
        [*discriminator, trainer.crop_seed.state],
    ]


def training_step(trainer, patches):
    """``Trainer.train_step`` on batch ``n`` as a function without side effects, to the new state and the terms."""
    network, discriminator, *_, others = variables(trainer)

    def step(state, photographs, n):
        weights, discriminator_weights, optimizer, discriminator_optimizer, other_values = state
        lr, hr = patches.draw(photographs, n)

        def losses(weights, discriminator_weights):
            values = [*weights, *discriminator_weights, *other_values]
            with keras.StatelessScope(zip([*network, *discriminator, *others], values, strict=True)) as scope:
                terms = trainer.losses(lr, hr)
            # Spectral normalisation assigns its kernels in the forward pass. Unlike a tape's, the gradient passes
            # through it.
            assigned = [[scope.get_current_value(variable) for variable in group] for group in (discriminator, others)]
            return (terms["loss"], terms.get("discriminator", 0.0)), (assigned, terms)

        _, gradient, ((discriminator_weights, other_values), terms) = jax.vjp(
            losses, weights, discriminator_weights, has_aux=True
        )
        generator_gradients, _ = gradient((1.0, 0.0))
        weights, optimizer = trainer.optimizer.stateless_apply(optimizer, generator_gradients, weights)
        if discriminator:
            _, discriminator_gradients = gradient((0.0, 1.0))
            discriminator_weights, discriminator_optimizer = trainer.discriminator_optimizer.stateless_apply(
                discriminator_optimizer, discriminator_gradients, discriminator_weights
            )
        return [weights, discriminator_weights, optimizer, discriminator_optimizer, other_values], terms

    return step
