import functools
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from PIL import Image  # noqa: E402

import superres.network.backend  # noqa: E402, F401  (quietens TensorFlow before anything else imports it)


@pytest.fixture(scope="session", autouse=True)
def same_arithmetic_everywhere():
    """dtype "auto" is float32 on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("superres.network.inference.has_native_bfloat16", lambda: False)
        yield


# The same examples in every run, however slow the machine is.
settings.register_profile(
    "repeatable",
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items):
    """The notebook first: it takes as long as all the rest."""
    items.sort(key=lambda item: item.path.stem != "test_notebook")


@pytest.fixture(autouse=True)
def float32():
    """Training sets Keras' precision for the whole process."""
    import keras

    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def randomise(model, seed=0):
    """Set random weights, biases, slopes and batch statistics included, of a size that keeps signals in range."""
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
    """The image from the plain Keras graph, clipped and rounded, as in the course."""
    return np.clip(model(image[None], training=False)[0], 0, 255).round().astype(np.uint8)


def difference(a, b):
    """Largest and mean difference in grey levels of two uint8 images of one shape."""
    assert a.shape == b.shape and a.dtype == b.dtype == np.uint8
    gap = np.abs(a.astype(int) - b)
    return gap.max(), gap.mean()


@pytest.fixture(scope="session")
def photo():
    """A real low-resolution image with odd height and width."""
    from superres.images.files import read_image

    return read_image(ROOT / "images" / "flowers_lr.jpg")[40:89, 50:107].copy()


def mutations(originals, count, seed=0):
    """``count`` damaged files: bytes of an original changed, removed, repeated or inserted, or the end cut off."""
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


@pytest.fixture
def bfloat16():
    """Skips a test where TensorFlow takes the processor for one with bfloat16, and ONEDNN_MAX_CPU_ISA forbids it."""
    tf = pytest.importorskip("tensorflow")
    try:
        tf.nn.conv2d(tf.zeros((1, 8, 8, 16), "bfloat16"), tf.zeros((3, 3, 16, 16), "bfloat16"), 1, "SAME")
    except tf.errors.AbortedError:
        pytest.skip("oneDNN computes no bfloat16")


# Training


@pytest.fixture
def photos(tmp_path, rng):
    """A folder of three smooth random images, 130 x 170 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        coarse = rng.integers(0, 256, (14, 18, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((170, 130), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def noise(tmp_path, rng):
    """A folder of one image of noise, 72 x 72 pixels."""
    folder = tmp_path / "noise"
    folder.mkdir()
    Image.fromarray(rng.integers(0, 256, (72, 72, 3), dtype=np.uint8)).save(folder / "0.png")
    return folder


@pytest.fixture
def vgg(tmp_path, rng):
    """A feature network's file: VGG19 cut after block2_conv2, four channels wide."""
    shapes = {"preprocess": (1, 1, 3, 3), "block1_conv1": (3, 3, 3, 4)}
    shapes |= {name: (3, 3, 4, 4) for name in ("block1_conv2", "block2_conv1", "block2_conv2")}
    arrays = {f"{name}/kernel": rng.normal(0, 0.3, shape).astype("float32") for name, shape in shapes.items()}
    arrays |= {f"{name}/bias": rng.normal(0, 0.3, shape[-1]).astype("float32") for name, shape in shapes.items()}
    np.savez(tmp_path / "vgg.npz", **arrays)
    return tmp_path / "vgg.npz"


@pytest.fixture
def tiny(monkeypatch):
    """Networks small enough to train in a test."""
    from superres.network.models import generator, srcnn
    from training import adversarial, train

    small = functools.partial(generator, blocks=1, channels=8)
    networks = {"srcnn": functools.partial(srcnn, filters=(8, 4)), "srresnet": small, "srgan": small}
    monkeypatch.setattr(train, "NETWORKS", networks)
    monkeypatch.setattr(train, "discriminator", functools.partial(adversarial.discriminator, channels=2))


@pytest.fixture
def eager():
    """Steps run eagerly: for a few of them, compiling takes longer than running."""
    tf = pytest.importorskip("tensorflow")
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def run(method, photos, out, *options):
    """``python -m training.train`` with small batches."""
    from training import train

    common = ["--data", photos, "--out", out, "--batch", 2, "--patch", 16, "--checkpoint", 2, "--dtype", "float32"]
    train.main([str(argument) for argument in (method, *common, *options)])
