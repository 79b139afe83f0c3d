"""Muon for convolutions."""

import keras
from keras import ops


class Muon(keras.optimizers.Adam):
    """Muon (Jordan et al. 2024) for convolutions, Adam for vectors and for convolutions from or to RGB.

    A kernel (k, k, c, f) is treated as a matrix (k k c, f); Keras' own Muon takes matrices alone. The steps are scaled
    to the root mean square of Adam's (Liu et al. 2025), so that both use one learning rate.
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
    """The orthogonal factor of a matrix's polar decomposition, approximately: singular values between 0.7 and 1.2.

    Five Newton-Schulz steps with the coefficients of Jordan et al. 2024.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return ops.transpose(orthogonalised(ops.transpose(matrix)))
    matrix = matrix / (ops.norm(matrix) + keras.config.epsilon())
    for _ in range(5):
        gram = ops.matmul(ops.transpose(matrix), matrix)
        matrix = 3.4445 * matrix + ops.matmul(matrix, -4.7750 * gram + 2.0315 * ops.matmul(gram, gram))
    return matrix


def optimizer(kind: type, peak: float, steps: int, warm_up: int = 100, **options) -> keras.optimizers.Optimizer:
    """Muon or Adam with a linear warm-up to ``peak`` and a cosine decay to 1e-6 at ``steps``.

    Gradients are clipped to a global norm of 0.5. kind: the class.  options: its own.
    """
    warm_up = min(warm_up, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, alpha=1e-6 / peak, warmup_target=peak, warmup_steps=warm_up
    )
    return kind(schedule, beta_1=0.9, beta_2=0.99, global_clipnorm=0.5, **options)
