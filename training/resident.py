"""Training on a GPU: tiles of photographs stay in its memory, and one compiled function draws a batch and takes a step.

No step waits for the CPU to read and degrade photographs. For JAX.
"""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import keras
import numpy as np
from tqdm import tqdm

from superres import SCALE
from training.adversarial import Trainer
from training.data import Patches
from training.settings import SHARES

COPIES = 8  # times that a photograph is degraded, on average
TILES = 8  # of each degraded photograph
MARGIN = 16  # low-resolution pixels by which a tile is wider and higher than a patch


class ResidentPatches(Patches):
    """Patches out of tiles of degraded photographs, drawn once as ``Patches`` does, in the accelerator's memory.

    Batch ``n`` depends on the arguments and on ``n`` alone.
    """

    def __init__(self, folders, batch=16, patch=24, seed=0, shares=SHARES):
        """The arguments and errors of ``Patches``; photographs must be as large as a tile."""
        super().__init__(folders, batch, patch + MARGIN, seed, shares)  # which cuts tiles
        count = COPIES * sum(map(len, self.folders))
        with ThreadPoolExecutor() as pool:
            tiles = list(tqdm(pool.map(self.cut_tiles, range(count)), total=count, desc="photographs", unit="image"))
        self.tiles = [jnp.asarray(np.concatenate(side)) for side in zip(*tiles, strict=True)]

    def cut_tiles(self, index):
        """Tiles of an image of the sequence, (``TILES``, h, w, 3) and (``TILES``, 4h, 4w, 3), uint8."""
        images, rng = self.draw_image(index), np.random.default_rng((self.seed, 2, index))
        return [np.stack(side) for side in zip(*(self.cut(*images, rng) for _ in range(TILES)), strict=True)]

    def __getitem__(self, n):
        return jax.jit(self.draw)(self.tiles, n)

    def draw(self, tiles, n):
        """Batch ``n`` as ``Patches`` gives it, for compiled code.

        The ``tiles`` are an argument of that code: read from this object, they would be a constant in it.
        """
        tile_key, corner_key = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), n))
        tile = jax.random.randint(tile_key, (self.batch,), 0, len(tiles[0]))
        corner = jax.random.randint(corner_key, (self.batch, 2), 0, MARGIN + 1)

        def patches(images, scale):
            side = scale * (self.patch - MARGIN)
            cut = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), (side, side, 3)))
            return cut(images[tile], scale * corner).astype(jnp.float32)

        return patches(tiles[0], 1), patches(tiles[1], SCALE)


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
            state, terms = step(state, patches.tiles, n)
            yield terms
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    return steps


def training_step(trainer, patches):
    """``Trainer.train_step`` on batch ``n`` as a function without side effects, to the new state and the terms."""
    network, discriminator, *_, others = trainer.state

    def step(state, tiles, n):
        weights, discriminator_weights, optimizer, discriminator_optimizer, other_values = state
        lr, hr = patches.draw(tiles, n)

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
