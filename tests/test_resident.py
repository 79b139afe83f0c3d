"""Training on a GPU with JAX, here on a CPU."""

import csv
import functools
import os
import subprocess
import sys

import keras
import ml_dtypes
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from superres.network.models import generator
from training import adversarial, data, losses, resident, settings, train


def test_batches_depend_on_seed_and_number_alone(photos):
    one, again, other = (resident.ResidentPatches([photos], batch=4, patch=16, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one[7][0], again[7][0])
    assert not np.array_equal(one[7][0], one[8][0])
    assert not np.array_equal(one[7][0], other[7][0])
    # The degraded copies, not just the draw of patches, are the seed's.
    np.testing.assert_array_equal(one.photographs.hr[0], other.photographs.hr[0])
    assert not np.array_equal(one.photographs.lr, other.photographs.lr)


def test_patches_are_aligned_in_every_orientation(photos):
    patches = resident.ResidentPatches([photos], batch=64, patch=16, shares={"clean": 1})
    lr, hr = map(np.asarray, patches[0])
    assert lr.shape == (64, 16, 16, 3) and hr.shape == (64, 64, 64, 3) and lr.dtype == hr.dtype == np.float32
    means = hr.reshape(64, 16, 4, 16, 4, 3).mean((2, 4))
    inner = slice(2, -2)
    assert np.abs(lr - means)[:, inner, inner].mean((1, 2, 3)).max() < 3
    assert np.abs(lr[:, 1:] - means[:, :-1])[:, inner, inner].mean() > 5


def test_a_patch_is_any_window_in_any_orientation():
    """Two images one after the other."""
    sizes = np.array([(18, 20), (17, 30)])
    start = np.array([0, 18 * 20])
    rng, seen = np.random.default_rng(0), set()
    for _ in range(20):
        image, y, x, orientation = (rng.integers(limit, size=64) for limit in (2, 2, 3, 8))
        width = sizes[image, 1]
        patches = np.asarray(resident.window(16, start[image], width, y, x, orientation))
        seen |= set(zip(image, y, x, orientation, strict=True))
        for i, patch in enumerate(patches):
            whole = np.arange(np.prod(sizes[image[i]])).reshape(sizes[image[i]]) + start[image[i]]
            window = whole[y[i] : y[i] + 16, x[i] : x[i] + 16]
            orientations = [np.rot90(side, turns) for side in (window, window[:, ::-1]) for turns in range(4)]
            assert sum(np.array_equal(patch, each) for each in orientations) == 1
    one = [np.array([value]) for value in (0, 20, 0, 0)]
    corners = [np.asarray(resident.window(16, *one, np.array([orientation]))) for orientation in range(8)]
    assert len({patch.tobytes() for patch in corners}) == 8
    assert len(seen) == 2 * 2 * 3 * 8


def test_folders_have_equal_shares_and_degradations_theirs(photos, tmp_path, monkeypatch):
    (tmp_path / "black").mkdir()
    Image.new("RGB", (130, 170)).save(tmp_path / "black" / "0.png")
    names = []

    def degrade(hr, degradation, rng):
        names.append(degradation)
        return hr[::4, ::4]

    monkeypatch.setattr(data, "degrade", degrade)
    monkeypatch.setattr(resident, "COPIES", 500)
    patches = resident.ResidentPatches([photos, tmp_path / "black"], batch=1000, patch=8)
    assert {name: names.count(name) / len(names) for name in data.SHARES} == pytest.approx(data.SHARES, abs=0.05)
    lr, hr = map(np.asarray, patches[0])
    black = lr.max((1, 2, 3)) == 0
    assert black.mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(hr.max((1, 2, 3)) == 0, black)


def test_every_place_is_drawn_in_every_orientation(tmp_path):
    """A photograph whose pixels know their place, three rows and four columns larger than a patch."""
    place = np.stack([*np.mgrid[:72, :76], np.zeros((72, 76))], -1).astype(np.uint8)
    Image.fromarray(place).save(tmp_path / "0.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "degrade", lambda hr, *_: hr[::4, ::4])
        patch.setattr(resident, "soften", lambda hr, rng: hr)
        patches = resident.ResidentPatches([tmp_path], batch=2000, patch=16)
    seen = set()
    for lr in np.asarray(patches[0][0]):
        orientation = np.sign(lr[1, 0] - lr[0, 0]), np.sign(lr[0, 1] - lr[0, 0])
        seen.add((*lr.min((0, 1)), *np.concatenate(orientation)))
    assert len(seen) == 3 * 4 * 8


def test_a_copy_is_of_its_own_photograph(tmp_path):
    """Photographs of one grey each, of different sizes; softened, they are brighter; copies know their number."""
    for i, size in enumerate([(64, 80), (100, 72), (72, 72)]):
        Image.new("RGB", size, (80 * i,) * 3).save(tmp_path / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        numbers = iter(range(10_000))
        patch.setattr(data, "degrade", lambda hr, *_: hr[::4, ::4] + np.uint8(next(numbers) % (2 * resident.COPIES)))
        patch.setattr(resident, "soften", lambda hr, rng: hr + np.uint8(40))
        patch.setattr(resident.ThreadPoolExecutor, "map", lambda pool, *arguments: map(*arguments))
        patches = resident.ResidentPatches([tmp_path], batch=1000, patch=16)
    lr, hr = map(np.asarray, patches[0])
    assert (np.ptp(hr, axis=(1, 2, 3)) == 0).all() and (np.ptp(lr, axis=(1, 2, 3)) == 0).all()
    lr, hr = lr[:, 0, 0, 0], hr[:, 0, 0, 0]
    assert set(hr) == {0, 40, 80, 120, 160, 200}
    assert set(lr - hr) == set(range(2 * resident.COPIES))
    soft = hr % 80 == 40
    np.testing.assert_array_equal(soft, lr - hr >= resident.COPIES)
    assert soft.mean() == pytest.approx(settings.SOFT, abs=0.05)


def test_softened_originals_are_the_targets_of_their_inputs(noise):
    patches = resident.ResidentPatches([noise], batch=40, patch=16, shares={"clean": 1})
    lr, hr = map(np.asarray, patches[0])
    means = hr.reshape(40, 16, 4, 16, 4, 3).mean((2, 4))
    correlation = [np.corrcoef(*sides)[0, 1] for sides in zip(lr.reshape(40, -1), means.reshape(40, -1), strict=True)]
    assert min(correlation) > 0.8
    softness = hr.std((1, 2, 3)) / data.read_hr(patches.folders[0][0]).std()
    assert np.mean(softness < 0.8) == pytest.approx(settings.SOFT, abs=0.15) and np.median(softness) > 0.9


def test_more_pixels_than_can_be_numbered_are_refused(photos, monkeypatch):
    """Three images of 2^31 pixels together, which an int32 cannot number."""
    monkeypatch.setattr(data, "image_size", lambda path: (2**16, 2**15 // 3 + 1))
    monkeypatch.setattr(resident.ResidentPatches, "load", None)
    with pytest.raises(ValueError, match="the photographs have 2148 megapixels, --resident takes 2147 at most"):
        resident.ResidentPatches([photos])


def networks(features):
    """A trainer of small networks with the same weights in every process, and a batch."""
    rng = np.random.default_rng(0)
    network = generator(blocks=1, channels=8)
    # Not ours: through its spectral normalisation the gradient passes on JAX alone.
    discriminator = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(1, 3, padding="same")])
    weights = {"content": 1.0, "adversarial": 0.5, "pixel": 10.0, "checkerboard": 2.0}
    trainer = adversarial.Trainer(network, weights, 64, losses.feature_network([features]), discriminator)
    trainer.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    for model in (network, discriminator):
        model.set_weights([rng.normal(0, 0.1, array.shape) for array in model.get_weights()])
    return trainer, tuple(rng.uniform(0, 255, (2, side, side, 3)).astype("float32") for side in (16, 64))


def trained(trainer):
    """The weights that a step changes."""
    variables = [*trainer.network.trainable_variables, *trainer.discriminator_variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def in_another_process(features, photos, folder):
    """Run with JAX as backend: a step of ``networks``, saved as step.npz, and a run of the command line."""
    trainer, batch = networks(features)
    noise, adversarial.NOISE = adversarial.NOISE, 0.0  # of the backend's own

    class Batch:
        photographs = None

        def draw(self, photographs, n):
            return batch

    (terms,) = resident.resident_steps(trainer, Batch())(1)
    arrays = {name: np.asarray(term) for name, term in terms.items()}
    np.savez(f"{folder}/step.npz", *trained(trainer), **arrays)
    adversarial.NOISE = noise

    train.NETWORKS["srgan"] = functools.partial(generator, blocks=1, channels=8)
    train.discriminator = functools.partial(adversarial.discriminator, channels=2)
    write_checkpoint = train.write_checkpoint

    def write_more(args, trainer, average, sample, step):
        write_checkpoint(args, trainer, average, sample, step)
        discriminator, others = trainer.state[1], trainer.state[-1]
        judge = trainer.discriminator
        texture = keras.Model(judge.input, judge.get_layer("texture").output)
        arrays = {f"other{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(others)}
        arrays |= {f"judge{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(discriminator)}
        arrays["colours"] = keras.ops.convert_to_numpy(trainer.fast_network(batch[0]))
        arrays["texture"] = keras.ops.convert_to_numpy(texture(np.full((1, 16, 16, 3), 140, "float32")))
        np.savez(f"{folder}/more_{step}.npz", **arrays)

    train.write_checkpoint = write_more
    options = ["--steps", "3", "--batch", "2", "--patch", "8", "--checkpoint", "2", "--dtype", "mixed_bfloat16"]
    options += ["--resident", "--validate", photos]
    train.main(["srgan", "--data", photos, "--out", f"{folder}/run", "--vgg", features, *options])


def test_jax(photos, tmp_path, vgg, tiny, monkeypatch):
    arguments = ", ".join(repr(str(path)) for path in (vgg, photos, tmp_path))
    paths = [str(ROOT), str(ROOT / "tests")]
    # Only inference needs TensorFlow.
    code = (
        f"import sys; sys.path[:0] = {paths}; sys.modules['superres.network.inference'] = None; "
        f"import test_resident; test_resident.in_another_process({arguments})"
    )
    # Compiling takes longer than running: as little optimisation as possible.
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

    # The step is that of the other backends.
    monkeypatch.setattr(adversarial, "NOISE", 0.0)
    trainer, batch = networks(vgg)
    start = trained(trainer)
    terms = trainer.train_step(batch)
    with np.load(tmp_path / "step.npz") as arrays:
        saved = dict(arrays)
    for name, term in terms.items():
        assert float(saved.pop(name)) == pytest.approx(float(term), rel=1e-3), name
    for array, other, first in zip(saved.values(), trained(trainer), start, strict=True):
        assert np.abs(array - other).max() <= 0.02 * np.abs(other - first).max() + 1e-5

    # The run leaves its files.
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "3"]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert Image.open(tmp_path / "run" / "sample_000003.png").size == (3 * 32, 2 * 32)
    with np.load(tmp_path / "run" / "state.npz") as state:
        counts = [int(state[name]) for name in state.files if state[name].ndim == 0 and state[name].dtype.kind == "i"]
    assert counts == [3, 3]  # both optimizers' steps
    assert all(np.isfinite(float(row[name])) for row in rows for name in ("distance", "validation_real", "gradient"))
    # The crop's seed and spectral normalisation's vectors are carried from step to step, and nothing is rounded to
    # bfloat16: colours, kernels, what the discriminator sees.
    before, after = (dict(np.load(tmp_path / f"more_{step}.npz")) for step in (2, 3))
    others = [name for name in after if name.startswith("other") and after[name].size > 1]
    assert len(others) == 9 and not any(np.array_equal(before[name], after[name]) for name in others)
    kernels = [array for name, array in after.items() if name.startswith("judge") and array.ndim == 4]
    assert len(kernels) == 9 and all(np.mean(rounded(kernel) == kernel) < 0.1 for kernel in kernels)
    assert np.mean(rounded(after["colours"] / 255) == after["colours"] / 255) < 0.1
    assert 127.5 * np.abs(after["texture"]).max() < 1e-3


def rounded(array):
    return array.astype(ml_dtypes.bfloat16).astype("float32")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [("srgan", [], "no training but with jax and --resident"), ("srcnn", ["--resident"], "--resident is for")],
)
def test_what_jax_cannot_do_is_one_sentence(method, options, message, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(SystemExit):
        train.main([method, "--data", str(photos), "--out", str(tmp_path / "run"), *options])
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
