"""Muon for convolutions."""

import math

import keras
from keras import ops

from training.settings import BETAS, GRADIENT_NORM, WARM_UP


class Muon(keras.optimizers.Adam):
    """Muon (Jordan et al. 2024) for convolutions, Adam for vectors and for convolutions from or to RGB.

    A kernel (k, k, c, f) is treated as a matrix (k k c, f); Keras' own Muon takes matrices alone. The steps are scaled
    to the root mean square of Adam's (Liu et al. 2025), so that both use one learning rate.
    """

    MOMENTUM = 0.95

    def _backend_update_step(self, gradients, variables, learning_rate):
        # Convolutions of one shape take one step together: one after the other, their small matrix products would take
        # a GPU longer than the network does.
        groups = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            if len(variable.shape) == 4 and 3 not in variable.shape[-2:]:
                groups.setdefault(tuple(variable.shape), []).append((gradient, variable))
            else:
                self.update_step(gradient, variable, learning_rate)
        for pairs in groups.values():
            self.update_convolutions(*zip(*pairs, strict=True), learning_rate)

    def update_convolutions(self, gradients, variables, learning_rate):
        """The step of kernels of one shape."""
        momentums = [self._momentums[self._get_variable_index(variable)] for variable in variables]
        for momentum, gradient in zip(momentums, gradients, strict=True):
            self.assign(momentum, self.MOMENTUM * momentum + gradient)
        shape = variables[0].shape
        looked_ahead = [
            gradient + self.MOMENTUM * momentum for momentum, gradient in zip(momentums, gradients, strict=True)
        ]
        matrices = orthogonalised(ops.reshape(ops.stack(looked_ahead), (len(variables), -1, shape[-1])))
        steps = learning_rate * 0.2 * max(matrices.shape[1:]) ** 0.5 * ops.reshape(matrices, (-1, *shape))
        for variable, step in zip(variables, ops.unstack(steps), strict=True):
            self.assign_sub(variable, step)


def orthogonalised(matrices):
    """The orthogonal factors of matrices' polar decompositions, approximately: singular values between 0.7 and 1.2.

    Five Newton-Schulz steps with the coefficients of Jordan et al. 2024 on matrices (b, m, n).
    """
    if matrices.shape[1] < matrices.shape[2]:
        return ops.transpose(orthogonalised(ops.transpose(matrices, (0, 2, 1))), (0, 2, 1))
    matrices = matrices / (ops.norm(matrices, axis=(1, 2), keepdims=True) + keras.config.epsilon())
    for _ in range(5):
        gram = ops.matmul(ops.transpose(matrices, (0, 2, 1)), matrices)
        matrices = 3.4445 * matrices + ops.matmul(matrices, -4.7750 * gram + 2.0315 * ops.matmul(gram, gram))
    return matrices


def optimizer(kind: type, **options) -> keras.optimizers.Optimizer:
    """An optimizer of a class, ``Muon`` or Adam, with the settings of all runs; see ``learning_rate`` for its rate."""
    return kind(0.0, *BETAS, global_clipnorm=GRADIENT_NORM, **options)


def learning_rate(peak: float, step: int, progress: float) -> float:
    """A linear warm-up over ``WARM_UP`` steps to ``peak``, a cosine decay to 1e-6 as ``progress`` goes from 0 to 1."""
    decay = (1 + math.cos(math.pi * min(progress, 1))) / 2
    return min(step / WARM_UP, 1) * (1e-6 + (peak - 1e-6) * decay)
