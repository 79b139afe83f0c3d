import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import superres.backend  # noqa: E402, F401  (quietens TensorFlow before anything else imports it)


@pytest.fixture(scope="session", autouse=True)
def same_arithmetic_everywhere():
    """dtype "auto" is float32 on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("superres.inference.has_native_bfloat16", lambda: False)
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def randomise(model, seed=0):
    """Random weights of a size that keeps signals in range, biases, slopes and batch statistics included."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            fan_in = np.prod(variable.shape[:-1]) if len(variable.shape) == 4 else 1
            low, high = (0.5, 1.5) if "variance" in variable.path or "gamma" in variable.path else (-0.3, 0.6)
            scale = 0.8 / np.sqrt(fan_in)
            values = rng.normal(0, scale, variable.shape) if fan_in > 1 else rng.uniform(low, high, variable.shape)
            variable.assign(values)
    return model


def plain(model, image):
    """The plain Keras graph's image, clipped and rounded, as the course does it."""
    return np.clip(model(image[None], training=False)[0], 0, 255).round().astype(np.uint8)


def difference(a, b):
    """Largest and mean difference in grey levels of two uint8 images of one shape."""
    assert a.shape == b.shape and a.dtype == b.dtype == np.uint8
    gap = np.abs(a.astype(int) - b)
    return gap.max(), gap.mean()


@pytest.fixture(scope="session")
def photo():
    """A real low-resolution image, odd in size."""
    from superres.files import read_image

    return read_image(ROOT / "images" / "dogs_lr.jpg")[40:89, 50:107].copy()


def mutations(originals, count, seed=0):
    """``count`` damaged files: bytes changed, cut out of or spliced into one of the originals, or its end missing."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(originals[rng.integers(len(originals))])
        for _ in range(rng.integers(1, 5)):
            at, length = rng.integers(len(data)), rng.integers(1, 20)
            change = rng.choice(["flip", "set", "cut", "repeat", "splice", "end"], p=[0.3, 0.2, 0.1, 0.1, 0.2, 0.1])
            if change == "flip":
                data[at] ^= 1 << rng.integers(8)
            elif change == "set":
                data[at] = rng.choice([0, 1, 127, 128, 255])
            elif change == "cut":
                del data[at : at + length]
            elif change == "repeat":
                data[at:at] = data[at : at + length]
            elif change == "splice":
                other = originals[rng.integers(len(originals))]
                start = rng.integers(len(other))
                data[at:at] = other[start : start + length]
            else:
                del data[at:]
            data = data or bytearray(1)
        yield bytes(data)
