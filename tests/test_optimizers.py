import keras
import numpy as np
import pytest
from keras import ops

from training import optimizers


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 8, 16)])
def test_muon_steps_are_orthogonal_and_as_large_as_adams(rng, shape):
    start, gradient = rng.normal(size=(2, *shape)).astype("float32")
    kernel = keras.Variable(start)
    optimizers.Muon(0.1).apply([ops.convert_to_tensor(gradient)], [kernel])
    step = (start - ops.convert_to_numpy(kernel)).reshape(-1, 16)
    left, _, right = np.linalg.svd(gradient.reshape(-1, 16), full_matrices=False)
    assert np.corrcoef(step.ravel(), (left @ right).ravel())[0, 1] > 0.95
    assert 0.01 < np.sqrt(np.mean(step**2)) < 0.03  # Adam's: 0.1 at the first step, about 0.02 later


@pytest.mark.parametrize("shape", [(3, 3, 2, 8), (1, 1, 4, 8)])
def test_two_muon_steps_against_numpy(rng, shape):
    start, *gradients = rng.normal(size=(3, *shape)).astype("float32")
    kernel, muon = keras.Variable(start), optimizers.Muon(0.1)
    expected, momentum = start.reshape(-1, 8), 0
    for gradient in gradients:
        muon.apply([ops.convert_to_tensor(gradient)], [kernel])
        momentum = 0.95 * momentum + gradient.reshape(-1, 8)
        x = gradient.reshape(-1, 8) + 0.95 * momentum  # Nesterov
        x = x / np.linalg.norm(x)
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
        expected = expected - 0.1 * 0.2 * np.sqrt(max(x.shape)) * x
    np.testing.assert_allclose(ops.convert_to_numpy(kernel).reshape(-1, 8), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 9, 3, 16), (9, 9, 16, 3), (16,)])
def test_muon_leaves_images_and_vectors_to_adam(rng, shape):
    start, gradient = rng.normal(size=(2, *shape)).astype("float32")
    variables = [keras.Variable(start) for _ in range(2)]
    for optimizer, variable in zip((optimizers.Muon, keras.optimizers.Adam), variables, strict=True):
        optimizer(0.1).apply([ops.convert_to_tensor(gradient)], [variable])
    np.testing.assert_array_equal(*variables)


def test_convolutions_of_one_shape_take_the_steps_that_each_would_take_alone(rng):
    shapes = [(3, 3, 4, 8), (3, 3, 4, 8), (1, 1, 8, 4), (8,), (9, 9, 3, 4)]
    starts, gradients = ([rng.normal(size=shape).astype("float32") for shape in shapes] for _ in range(2))
    together = [keras.Variable(start) for start in starts]
    alone = [keras.Variable(start) for start in starts]
    muon, others = optimizers.Muon(0.1), [optimizers.Muon(0.1) for _ in shapes]
    for _ in range(2):
        muon.apply(list(map(ops.convert_to_tensor, gradients)), together)
        for optimizer, gradient, variable in zip(others, gradients, alone, strict=True):
            optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    for variable, expected, start in zip(together, alone, starts, strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(variable, start)


@pytest.mark.parametrize(
    ("step", "progress", "rate"),
    [(0, 0, 0), (50, 0, 0.005), (100, 0, 0.01), (600, 0.5, (0.01 + 1e-6) / 2), (1100, 1, 1e-6), (1100, 1.1, 1e-6),
     (50, 0.5, (0.01 + 1e-6) / 4)],
)  # fmt: skip
def test_rate_warms_up_and_follows_a_cosine(step, progress, rate):
    assert optimizers.learning_rate(0.01, step, progress) == pytest.approx(rate, rel=1e-6)


def test_gradients_are_clipped_to_a_common_norm():
    optimizer = optimizers.optimizer(keras.optimizers.Adam)
    gradients = np.float32([3, 4]), np.float32([0, 12])  # of norm 13 together
    variables = [keras.Variable(np.zeros(2, "float32")) for _ in gradients]
    optimizer.apply(list(map(ops.convert_to_tensor, gradients)), variables)
    for momentum, velocity, gradient in zip(optimizer._momentums, optimizer._velocities, gradients, strict=True):
        clipped = gradient * 0.5 / 13
        np.testing.assert_allclose(momentum, 0.1 * clipped, rtol=1e-5)
        np.testing.assert_allclose(velocity, 0.01 * clipped**2, rtol=1e-5)
