"""Images of every size and kind through a network: tiles without seams, grey, alpha, precision."""

import gc
import os
import subprocess
import sys
import weakref

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, difference, plain, randomise
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from srgan import apply_srgan
from superres.images.image import bicubic_upscale
from superres.network import backend, weights
from superres.network.inference import TiledUpscaler, Upscaler, spans, tiled, upscaler_for
from superres.network.models import generator, srcnn

SMALL = randomise(generator(blocks=1, channels=4))


@given(st.integers(1, 5000), st.integers(1, 1200))
def test_spans_cover_evenly(length, most):
    cut = spans(length, most)
    sizes = [stop - start for start, stop in cut]
    assert [start for start, _ in cut[1:]] == [stop for _, stop in cut[:-1]]
    assert (cut[0][0], cut[-1][1]) == (0, length)
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and len(cut) == -(-length // most)


def test_tiled_gives_each_tile_its_surroundings(rng):
    image = rng.integers(0, 256, (23, 31, 3), np.uint8)
    blur = lambda x: cv2.blur(x, (5, 5), borderType=cv2.BORDER_ISOLATED | cv2.BORDER_REPLICATE)  # noqa: E731
    np.testing.assert_array_equal(tiled(blur, image, 2, 7), blur(image))
    assert (tiled(blur, image, 1, 7) != blur(image)).any()


def test_srcnn_refines_the_bicubic_enlargement(rng):
    model = randomise(srcnn())
    image = rng.integers(0, 256, (19, 40, 3), np.uint8)
    upscaled = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert difference(TiledUpscaler(model, 1)(image, tile=33), plain(model, upscaled))[0] <= 1


def test_grey_stays_grey(rng):
    grey = rng.integers(0, 256, (9, 12), np.uint8)
    colour = apply_srgan(np.dstack([grey] * 3), SMALL)
    result = apply_srgan(grey, SMALL)
    assert result.shape == (36, 48)
    np.testing.assert_array_equal(result, cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY))


def test_rgba_keeps_its_alpha(rng):
    rgba = rng.integers(1, 256, (9, 12, 4), np.uint8)
    result = apply_srgan(rgba, SMALL)
    np.testing.assert_array_equal(result[..., :3], apply_srgan(rgba[..., :3].copy(), SMALL))
    alpha = cv2.resize(rgba[..., 3], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(result[..., 3], alpha)


def test_hidden_colours_do_not_matter(rng):
    rgba = rng.integers(0, 256, (9, 12, 4), np.uint8)
    rgba[:, 5:, 3] = 0
    other = np.where(rgba[..., 3:] == 0, 255 - rgba, rgba)
    other[..., 3] = rgba[..., 3]
    np.testing.assert_array_equal(apply_srgan(rgba, SMALL), apply_srgan(other, SMALL))


@pytest.mark.parametrize(
    "image, said",
    [
        (np.zeros((4, 4, 3), "float32"), "float32"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        ([[1, 2], [3, 4]], "list"),
        (None, "NoneType"),
    ],
)
def test_anything_else_is_said_to_be_wrong(image, said):
    with pytest.raises(ValueError, match=f"expected an? .*got .*{said}"):
        apply_srgan(image, SMALL)


# Models of the user's own


def courses_generator(blocks=2, channels=8, skip=True):
    """The course's network as its notebooks write it: no names, Lambda layers, tanh in the last convolution."""

    def shuffled(x):
        x = layers.Conv2D(4 * channels, 3, padding="same")(x)
        return layers.PReLU(shared_axes=[1, 2])(layers.Lambda(lambda x: tf.nn.depth_to_space(x, 2))(x))

    inputs = keras.Input((None, None, 3))
    x = layers.Lambda(lambda x: x / 255.0)(inputs)
    x = first = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(channels, 9, padding="same")(x))
    for _ in range(blocks):
        y = layers.BatchNormalization(momentum=0.8, epsilon=0.01)(layers.Conv2D(channels, 3, padding="same")(x))
        y = layers.Conv2D(channels, 3, padding="same")(layers.PReLU(shared_axes=[1, 2])(y))
        x = layers.Add()([x, layers.BatchNormalization(momentum=0.8)(y)])
    x = layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same")(x))
    x = shuffled(shuffled(layers.Add()([x, first]) if skip else x))
    x = layers.Conv2D(3, 9, padding="same", activation="tanh")(x)
    return randomise(keras.Model(inputs, layers.Lambda(lambda x: (x + 1) * 127.5)(x)))


def nearest(scale, channels=3):
    """A model that is no generator: it repeats pixels, then blurs."""
    inputs = keras.Input((None, None, channels))
    x = layers.UpSampling2D(scale)(inputs)
    return keras.Model(inputs, layers.AveragePooling2D(3, 1, padding="same")(x))


class Subclassed(keras.Model):
    def __init__(self, scale, channels=3):
        super().__init__()
        self.inner = keras.Sequential([layers.UpSampling2D(scale), layers.Conv2D(channels, 3, padding="same")])
        self.inner.build((None, None, None, channels))

    def call(self, x):
        return self.inner(x)


def test_the_same_network_under_other_names_runs_in_strips(photo):
    model = courses_generator()
    assert isinstance(upscaler_for(model), Upscaler)
    most, mean = difference(apply_srgan(photo, model), plain(model, photo))
    assert most <= 1 and mean < 0.01


@pytest.mark.filterwarnings("ignore:this processor has no bfloat16")
@pytest.mark.usefixtures("bfloat16")
def test_the_same_layers_connected_otherwise_run_as_they_are(photo):
    model = courses_generator(skip=False)
    for dtype in ("float32", "bfloat16"):
        assert isinstance(upscaler_for(model, dtype), TiledUpscaler)
    assert isinstance(upscaler_for(courses_generator(), "bfloat16"), Upscaler)
    assert difference(apply_srgan(photo, model), plain(model, photo))[0] <= 1


@pytest.mark.parametrize(
    "model", [nearest(4), keras.Sequential([keras.Input((None, None, 3)), nearest(4)]), Subclassed(4)]
)
def test_any_model_of_scale_4_runs_in_tiles_without_seams(model, rng):
    image = rng.integers(0, 256, (50, 70, 3), np.uint8)
    assert difference(upscaler_for(model)(image, tile=64), plain(model, image))[0] <= 1


def test_a_model_of_scale_1_is_given_the_bicubic_upscaling(rng):
    image = rng.integers(0, 256, (30, 40, 3), np.uint8)
    assert difference(apply_srgan(image, nearest(1)), plain(nearest(1), bicubic_upscale(image)))[0] <= 1


@pytest.mark.parametrize(
    "model, said",
    [
        (nearest(2), r"makes \(26, 36, 3\) of \(13, 18, 3\)"),
        (nearest(3), r"makes \(39, 54, 3\)"),
        (nearest(4, channels=1), r"takes \(None, None, None, 1\)"),
        (Subclassed(scale=4, channels=1), "fails"),
        (keras.Sequential([keras.Input((24, 24, 3)), layers.UpSampling2D(4)]), r"takes \(None, 24, 24, 3\)"),
        (keras.Sequential([keras.Input((None, None, 3)), layers.UpSampling2D(4), layers.Conv2D(1, 1)]), "makes"),
        (keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(3, 5), layers.UpSampling2D(4)]), "makes"),
        (np.mean, "Keras model, got _ArrayFunctionDispatcher"),
        (3, "Keras model, got int"),
    ],
)
def test_other_models_are_refused_in_one_sentence(model, said, rng):
    with pytest.raises(ValueError, match=f"expected a .*{said}") as caught:
        apply_srgan(rng.integers(0, 256, (4, 4, 3), np.uint8), model)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("make", [lambda: generator(blocks=1, channels=4), srcnn, lambda: Subclassed(4)])
def test_weights_that_are_no_numbers_are_refused(make, value, rng):
    model = randomise(make())
    weights = model.get_weights()
    weights[-2].flat[0] = value
    model.set_weights(weights)
    with pytest.raises(ValueError, match="makes values that are infinite or no numbers"):
        apply_srgan(rng.integers(0, 256, (4, 4, 3), np.uint8), model)


def test_a_model_that_runs_only_eagerly_is_refused(rng):
    class Eager(Subclassed):
        def call(self, x):
            return self.inner(x) if tf.reduce_max(x) > 0 else self.inner(-x)

    with pytest.raises(ValueError, match="expected a model .* but .* fails: ") as caught:
        apply_srgan(rng.integers(0, 256, (4, 4, 3), np.uint8), Eager(4))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore:this processor has no bfloat16")
@pytest.mark.usefixtures("bfloat16")
def test_results_do_not_depend_on_the_users_keras_settings(photo, tmp_path):
    config = keras.config
    usual = config.image_data_format(), config.dtype_policy(), config.floatx()
    for name, model in (("generator", generator(blocks=1, channels=4)), ("srcnn", srcnn((5, 4)))):
        randomise(model).save_weights(tmp_path / f"{name}.weights.h5")

    def results():
        models = [weights.load.__wrapped__(str(path), None, shared=True) for path in sorted(tmp_path.iterdir())]
        return [apply_srgan(photo, model, dtype=dtype) for model in models for dtype in ("float32", "bfloat16")]

    expected = results()
    try:
        config.set_image_data_format("channels_first")
        config.set_dtype_policy("mixed_bfloat16")
        np.testing.assert_array_equal(results(), expected)
        config.set_floatx("float16")
        np.testing.assert_array_equal(results(), expected)
    finally:
        for restore, value in zip(
            (config.set_image_data_format, config.set_dtype_policy, config.set_floatx), usual, strict=True
        ):
            restore(value)


def test_another_backend_of_keras_is_refused_in_one_sentence(photo, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="^Keras runs on jax, expected TensorFlow: KERAS_BACKEND=tensorflow sets it$"):
        apply_srgan(photo, SMALL)


def test_a_backend_of_keras_that_is_missing_is_named():
    command = [sys.executable, "-c", "import sys; sys.modules['torch'] = None; import superres.network.backend"]
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ValueError: Keras cannot be imported: ") and "expected TensorFlow as its backend" in said


@pytest.mark.parametrize("make", [lambda: generator(blocks=1, channels=4), srcnn])
def test_changed_weights_count_at_once(make, photo):
    model, small = randomise(make()), photo[:9, :7]
    before = apply_srgan(small, model)
    np.testing.assert_array_equal(apply_srgan(small, model), before)
    model.set_weights([weights * 0.9 for weights in model.get_weights()])
    image = small if model.name == "generator" else bicubic_upscale(small)
    assert difference(apply_srgan(small, model), plain(model, image))[0] <= 1
    assert (apply_srgan(small, model) != before).any()


@pytest.mark.filterwarnings("ignore:this processor has no bfloat16")
@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_is_close_to_float32(photo):
    from superres.network.weights import load_generator

    exact, fast = (apply_srgan(photo, load_generator(), dtype=dtype).astype(float) for dtype in ("float32", "bfloat16"))
    mse = np.mean((exact - fast) ** 2)
    assert mse > 0 and 10 * np.log10(255**2 / mse) >= 45


@pytest.mark.filterwarnings("ignore:this processor has no bfloat16")
@pytest.mark.parametrize("make", [lambda: generator(blocks=1, channels=4), srcnn])
@pytest.mark.usefixtures("bfloat16")
def test_a_model_is_made_ready_once_and_let_go(make):
    model = randomise(make())
    assert upscaler_for(model) is upscaler_for(model)
    assert upscaler_for(model) is not upscaler_for(model, "bfloat16")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_an_unknown_dtype_is_refused(rng):
    with pytest.raises(ValueError, match="expected dtype auto, float32 or bfloat16, got 'float16'"):
        apply_srgan(rng.integers(0, 256, (4, 4, 3), np.uint8), SMALL, dtype="float16")


@pytest.fixture
def native(request, monkeypatch):
    monkeypatch.setattr("superres.network.inference.has_native_bfloat16", lambda: request.param)


@pytest.mark.parametrize("native, dtype", [(True, "bfloat16"), (False, "float32")], indirect=["native"])
@pytest.mark.usefixtures("bfloat16")
def test_auto_is_bfloat16_where_the_hardware_has_it(native, dtype, rng):
    model, image = randomise(generator(blocks=1, channels=4)), rng.integers(0, 256, (9, 7, 3), np.uint8)
    assert upscaler_for(model) is upscaler_for(model, "auto") is upscaler_for(model, dtype)
    assert upscaler_for(model).dtype == dtype and upscaler_for(model).strips.dtype == dtype
    np.testing.assert_array_equal(apply_srgan(image, model), apply_srgan(image, model, dtype=dtype))
    assert upscaler_for(srcnn()).dtype == "float32"


@pytest.mark.parametrize("native, count", [(True, 0), (False, 1)], indirect=["native"])
@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_without_hardware_warns_once_and_works(native, count, recwarn, rng):
    model, image = randomise(generator(blocks=1, channels=4)), rng.integers(0, 256, (9, 7, 3), np.uint8)
    results = [apply_srgan(image, model, dtype="bfloat16") for _ in range(2)]
    assert difference(results[0], apply_srgan(image, model, dtype="float32"))[1] < 3
    said = [warning for warning in recwarn if "bfloat16" in str(warning.message)]
    assert len(said) == count and all(warning.filename == __file__ for warning in said)


@pytest.mark.parametrize(
    "gpus, flags, limit, native",
    [
        ([], "fma avx512_bf16 vnni", "DEFAULT", True),
        ([], "fma amx_bf16", "AVX512_CORE_AMX", True),
        ([], "fma avx512_bf16 amx_bf16", "AVX2", False),
        ([], "fma avx512_bf16 amx_bf16", "avx512_core", False),
        ([], "fma avx512_bf16x avx512f", "DEFAULT", False),
        ([], None, "DEFAULT", False),
        ([{"compute_capability": (8, 0)}], "", "AVX2", True),
        ([{"compute_capability": (7, 5)}], "amx_bf16", "DEFAULT", False),
        ([{"compute_capability": (9, 0)}, {}], "", "DEFAULT", False),
    ],
)
def test_bfloat16_is_the_hardwares(gpus, flags, limit, native, monkeypatch):
    def read_text(path):
        if flags is None:
            raise FileNotFoundError(path)
        return flags

    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)
    monkeypatch.setattr(backend.Path, "read_text", read_text)
    assert backend.has_native_bfloat16.__wrapped__() is native


@pytest.mark.parametrize("shape", [(30, 40), (30, 1100, 3), (30, 40, 4)])
@pytest.mark.parametrize("make", [lambda: generator(blocks=1, channels=4), srcnn])
def test_progress_adds_up_to_the_output(make, shape, rng, capsys):
    image, model, done = rng.integers(0, 256, shape, np.uint8), make(), []
    result = apply_srgan(image, model, progress=done.append)
    assert sum(done) == result.shape[0] * result.shape[1] and not capsys.readouterr().err
    apply_srgan(image, model, progress=True)
    assert "100%" in capsys.readouterr().err
