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

from superres import SCALE
from training.adversarial import SRGAN
from training.data import DEGRADATIONS, Patches, read_hr, training_pair

COPIES = 12  # degraded copies of a photograph


class Photographs(NamedTuple):
    """Photographs, ``COPIES`` degraded copies of each, and which of them are in one folder, as arrays."""

    hr: jax.Array  # (n, 3), the pixels of all photographs, row by row
    lr: jax.Array  # those of all copies
    height: jax.Array  # of each photograph's copies, in pixels
    width: jax.Array
    start: jax.Array  # the number of LR pixels, of one copy each, before a photograph's
    folder_start: jax.Array  # each folder's first photograph
    folder_size: jax.Array  # photographs in each folder
    clean: jax.Array | None = None  # with targets, the pixels of each photograph's clean input
    target: jax.Array | None = None


class ResidentPatches(Patches):
    """The patches of ``Patches``, all photographs and ``COPIES`` degraded copies of each in the accelerator's memory.

    Batch ``n`` depends on the arguments and on ``n`` alone.
    """

    def __init__(self, folders, batch=16, patch=24, seed=0, degradations=DEGRADATIONS, targets=None):
        """The arguments and errors of ``Patches``."""
        super().__init__(folders, batch, patch, seed, degradations, targets)
        paths = [path for paths in self.folders for path in paths]
        with ThreadPoolExecutor() as pool:
            originals, copies, *taught = zip(*pool.map(self.load, range(len(paths)), paths), strict=True)
        sizes = np.array([image.shape[:2] for image in originals]) // SCALE
        pixels = sizes.prod(axis=1)
        counts = np.array([len(paths) for paths in self.folders])
        arrays = (
            join(originals),
            join(image for images in copies for image in images),
            *sizes.T,
            np.cumsum(pixels) - pixels,
            np.cumsum(counts) - counts,
            counts,
            *map(join, taught),
        )
        self.photographs = Photographs(*map(jnp.asarray, arrays))

    def load(self, index, path):
        rng = np.random.default_rng((self.seed, index))
        hr = read_hr(path)
        return hr, [self.degraded(hr, rng) for _ in range(COPIES)], *self.taught(path, hr)

    def __getitem__(self, n):
        return self.draw(self.photographs, n)

    def draw(self, photographs, n):
        """Batch ``n`` as ``Patches`` gives it, for compiled code.

        The ``photographs`` are an argument of that code: read from this object, they would be a constant in it.
        """
        keys = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), n), 6)
        folder, image, y, x, copy, orientation = (
            functools.partial(jax.random.randint, key, (self.batch,), 0) for key in keys
        )
        folder = folder(len(self.folders))
        image = photographs.folder_start[folder] + image(photographs.folder_size[folder])
        height, width, start = (array[image] for array in (photographs.height, photographs.width, photographs.start))
        y, x, copy, orientation = y(height - self.patch + 1), x(width - self.patch + 1), copy(COPIES), orientation(8)
        small = width, y, x, self.patch, orientation
        large = SCALE**2 * start, SCALE * width, SCALE * y, SCALE * x, SCALE * self.patch, orientation
        batch = cut(photographs.lr, COPIES * start + copy * height * width, *small), cut(photographs.hr, *large)
        if not self.targets:
            return batch
        return *batch, cut(photographs.clean, start, *small), cut(photographs.target, *large)


def join(images):
    """The pixels of images (h, w, 3), row by row: (n, 3)."""
    return np.concatenate([image.reshape(-1, 3) for image in images])


def cut(pixels, start, width, y, x, side, orientation):
    """Square patches (b, side, side, 3) of images that lie one after the other in ``pixels`` (n, 3), row by row.

    For each patch: where its image starts, the image's width, the patch's place, one of eight orientations.
    """
    start, width, y, x, orientation = (each[:, None, None] for each in (start, width, y, x, orientation))
    rows, columns = jnp.mgrid[:side, :side]
    rows, columns = jnp.where(orientation & 1, columns, rows), jnp.where(orientation & 1, rows, columns)
    rows = jnp.where(orientation & 2, side - 1 - rows, rows)
    columns = jnp.where(orientation & 4, side - 1 - columns, columns)
    return pixels[start + (y + rows) * width + x + columns].astype(jnp.float32)


def resident_steps(trainer: SRGAN, patches: ResidentPatches):
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
        trainer.auxiliary_variables,
        trainer.optimizer.variables,
        trainer.auxiliary_optimizer.variables,
        [*discriminator, trainer.crop_seed.state],
    ]


def training_step(trainer, patches):
    """``SRGAN.train_step`` on batch ``n`` as a function without side effects, to the new state and the terms."""
    network, auxiliary, *_, others = variables(trainer)

    def step(state, photographs, n):
        weights, auxiliary_weights, optimizer, auxiliary_optimizer, other_values = state
        (lr, clean), (hr, target) = training_pair("srgan", patches.draw(photographs, n))

        def losses(weights, auxiliary_weights):
            values = [*weights, *auxiliary_weights, *other_values]
            with keras.StatelessScope(zip([*network, *auxiliary, *others], values, strict=True)) as scope:
                terms = trainer.losses(lr, clean, hr, target)
            # Spectral normalisation assigns its kernels in the forward pass. Unlike a tape's, the gradient passes
            # through it.
            assigned = [[scope.get_current_value(variable) for variable in group] for group in (auxiliary, others)]
            return (terms["loss"], terms.get("discriminator", 0.0)), (assigned, terms)

        _, gradient, ((auxiliary_weights, other_values), terms) = jax.vjp(
            losses, weights, auxiliary_weights, has_aux=True
        )
        network_gradients, projections = gradient((1.0, 0.0))
        weights, optimizer = trainer.optimizer.stateless_apply(optimizer, network_gradients, weights)
        if auxiliary:
            # The discriminator's of its own loss, the projections', which come last, of the generator's.
            _, auxiliary_gradients = gradient((0.0, 1.0))
            count = len(auxiliary) - len(trainer.projection_variables)
            auxiliary_weights, auxiliary_optimizer = trainer.auxiliary_optimizer.stateless_apply(
                auxiliary_optimizer, [*auxiliary_gradients[:count], *projections[count:]], auxiliary_weights
            )
        return [weights, auxiliary_weights, optimizer, auxiliary_optimizer, other_values], terms

    return step
