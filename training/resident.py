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
from training.data import Patches, read_hr, soften
from training.settings import SHARES, SOFT

COPIES = 8  # degraded copies of a photograph, and as many of its softened version


class Photographs(NamedTuple):
    """All photographs one after the other, row by row, and where each of them is."""

    hr: jax.Array  # (2, 16 n, 3), uint8: as they are, softened
    lr: jax.Array  # (2, COPIES, n, 3), uint8: degraded copies of both
    height: jax.Array  # of each photograph, in LR pixels
    width: jax.Array
    start: jax.Array  # the number of LR pixels before a photograph's
    folder_start: jax.Array  # each folder's first photograph
    folder_size: jax.Array  # photographs in each folder


class ResidentPatches(Patches):
    """The patches of ``Patches``, all photographs and degraded copies of each in the accelerator's memory.

    Batch ``n`` depends on the arguments and on ``n`` alone.
    """

    def __init__(self, folders, batch=16, patch=24, seed=0, shares=SHARES):
        """The arguments and errors of ``Patches``, and ValueError for more pixels than an int32 can number."""
        super().__init__(folders, batch, patch, seed, shares)
        if self.pixels >= 2**31:
            raise ValueError(
                f"the photographs have {self.pixels / 1e6:.0f} megapixels, --resident takes {2**31 / 1e6:.0f} at most"
            )
        paths = [path for paths in self.folders for path in paths]
        with ThreadPoolExecutor() as pool:
            loaded = pool.map(self.load, range(len(paths)), paths)
            sizes, hr, lr = zip(*tqdm(loaded, total=len(paths), desc="photographs", unit="image"), strict=True)
        sizes, counts = np.array(sizes), np.array([len(paths) for paths in self.folders])
        pixels = sizes.prod(axis=1)
        arrays = np.concatenate(hr, 1), np.concatenate(lr, 2), *sizes.T, np.cumsum(pixels) - pixels
        self.photographs = Photographs(*map(jnp.asarray, (*arrays, np.cumsum(counts) - counts, counts)))

    def load(self, index, path):
        """A photograph's size, its pixels as it is and softened, and those of the degraded copies."""
        rng = np.random.default_rng((self.seed, index))
        hr = read_hr(path)
        versions = [hr, soften(hr, rng)]
        copies = [self.degraded(version, rng) for version in versions for _ in range(COPIES)]
        return copies[0].shape[:2], np.reshape(versions, (2, -1, 3)), np.reshape(copies, (2, COPIES, -1, 3))

    def __getitem__(self, n):
        return jax.jit(self.draw)(self.photographs, n)

    def draw(self, photographs, n):
        """Batch ``n`` as ``Patches`` gives it, for compiled code.

        The ``photographs`` are an argument of that code: read from this object, they would be a constant in it.
        """
        hr, lr, *places, folder_start, folder_size = photographs
        soft_key, *keys = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), n), 7)
        soft = jax.random.bernoulli(soft_key, SOFT, (self.batch,)).astype(int)
        folder, image, y, x, copy, orientation = (
            functools.partial(jax.random.randint, key, (self.batch,), 0) for key in keys
        )
        folder = folder(len(self.folders))
        image = folder_start[folder] + image(folder_size[folder])
        height, width, start = (array[image] for array in places)
        y, x, orientation = y(height - self.patch + 1), x(width - self.patch + 1), orientation(8)
        small = window(self.patch, start, width, y, x, orientation)
        large = window(SCALE * self.patch, SCALE**2 * start, SCALE * width, SCALE * y, SCALE * x, orientation)
        soft, copy = soft[:, None, None], copy(COPIES)[:, None, None]
        return lr[soft, copy, small].astype(jnp.float32), hr[soft, large].astype(jnp.float32)


def window(side, start, width, y, x, orientation):
    """Where the pixels of square patches (b, side, side) are in images that lie one after the other, row by row.

    For each patch: where its image starts, the image's width, the patch's place, one of eight orientations.
    """
    start, width, y, x, orientation = (each[:, None, None] for each in (start, width, y, x, orientation))
    rows, columns = jnp.mgrid[:side, :side]
    rows, columns = jnp.where(orientation & 1, columns, rows), jnp.where(orientation & 1, rows, columns)
    rows = jnp.where(orientation & 2, side - 1 - rows, rows)
    columns = jnp.where(orientation & 4, side - 1 - columns, columns)
    return start + (y + rows) * width + x + columns


def resident_steps(trainer: Trainer, patches: ResidentPatches):
    """A generator function of a count: that many steps of training, of each the terms of the loss.

    ``trainer``'s variables have their new values only when it is exhausted.
    """
    step = jax.jit(training_step(trainer, patches), donate_argnums=0)

    def steps(count):
        first = int(trainer.optimizer.iterations)
        groups = trainer.state
        state = [[variable.value for variable in group] for group in groups]
        for n in range(first, first + count):
            state, terms = step(state, patches.photographs, n)
            yield terms
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    return steps


def training_step(trainer, patches):
    """``Trainer.train_step`` on batch ``n`` as a function without side effects, to the new state and the terms."""
    network, discriminator, *_, others = trainer.state

    def step(state, photographs, n):
        weights, discriminator_weights, optimizer, discriminator_optimizer, other_values = state
        lr, hr = patches.draw(photographs, n)

        def losses(weights, discriminator_weights, shifts):
            values = [*weights, *discriminator_weights, *other_values]
            with keras.StatelessScope(zip([*network, *discriminator, *others], values, strict=True)) as scope:
                terms = trainer.losses(lr, hr, shifts)
            # Spectral normalisation assigns its kernels in the forward pass. Unlike a tape's, the gradient passes
            # through it.
            assigned = [[scope.get_current_value(variable) for variable in group] for group in (discriminator, others)]
            return (terms["loss"], terms.get("discriminator", 0.0)), (assigned, terms)

        _, gradient, ((discriminator_weights, other_values), terms) = jax.vjp(
            losses, weights, discriminator_weights, [jnp.zeros_like(hr), jnp.zeros_like(hr)], has_aux=True
        )
        generator_gradients, _, by_shifts = gradient((1.0, 0.0))
        weights, optimizer = trainer.optimizer.stateless_apply(optimizer, generator_gradients, weights)
        if discriminator:
            _, discriminator_gradients, _ = gradient((0.0, 1.0))
            discriminator_weights, discriminator_optimizer = trainer.discriminator_optimizer.stateless_apply(
                discriminator_optimizer, discriminator_gradients, discriminator_weights
            )
        state = [weights, discriminator_weights, optimizer, discriminator_optimizer, other_values]
        return state, terms | trainer.gradient_sums(by_shifts)

    return step
