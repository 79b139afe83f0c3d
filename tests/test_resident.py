"""Training on a GPU with JAX, here on a CPU."""

import csv
import functools
import itertools
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
from training import adversarial, data, losses, resident, train


@pytest.fixture(autouse=True)
def few_copies(monkeypatch):
    monkeypatch.setattr(resident, "COPIES", 3)


def test_batches_depend_on_seed_and_number_alone(photos):
    one, again, other = (resident.ResidentPatches([photos], batch=4, patch=8, seed=seed) for seed in (5, 5, 6))
    assert len(one.tiles[0]) == len(one.tiles[1]) == 3 * 3 * resident.TILES
    np.testing.assert_array_equal(one[7][0], again[7][0])
    assert not np.array_equal(one[7][0], one[8][0])
    assert not np.array_equal(one[7][0], other[7][0])
    # The tiles, not just the draw of patches, are the seed's.
    assert not np.array_equal(one.tiles[0], other.tiles[0])


def test_tiles_are_of_the_images_that_the_processor_would_cut(photos):
    """Degraded, softened and oriented as for the processor."""
    patches = resident.ResidentPatches([photos], batch=4, patch=8, seed=5)
    plain = data.Patches([photos], batch=4, patch=24, seed=5)
    for number, tile in enumerate(zip(*map(np.asarray, patches.tiles), strict=True)):
        assert [(side.dtype, side.shape) for side in tile] == [(np.uint8, (24, 24, 3)), (np.uint8, (96, 96, 3))]
        found = windows(*plain.entry(number // resident.TILES), side=24)
        assert any(all(map(np.array_equal, tile, window)) for window in found)


def windows(lr, hr, side):
    """All that a patch may be of two aligned images."""
    for turns, step in itertools.product(range(4), (1, -1)):
        small, large = (np.rot90(image[:, ::step], turns) for image in (lr, hr))
        for y, x in np.ndindex(small.shape[0] - side + 1, small.shape[1] - side + 1):
            yield small[y : y + side, x : x + side], large[4 * y : 4 * (y + side), 4 * x : 4 * (x + side)]


def test_patches_are_aligned(photos):
    patches = resident.ResidentPatches([photos], batch=64, patch=16, shares={"clean": 1})
    lr, hr = map(np.asarray, patches[0])
    assert lr.shape == (64, 16, 16, 3) and hr.shape == (64, 64, 64, 3) and lr.dtype == hr.dtype == np.float32
    means = hr.reshape(64, 16, 4, 16, 4, 3).mean((2, 4))
    inner = slice(2, -2)
    assert np.abs(lr - means)[:, inner, inner].mean((1, 2, 3)).max() < 3
    assert np.abs(lr[:, 1:] - means[:, :-1])[:, inner, inner].mean() > 5


def test_every_place_of_every_tile_is_drawn(photos, monkeypatch):
    """Tiles whose pixels know their number and place."""
    monkeypatch.setattr(resident, "MARGIN", 3)
    patches = resident.ResidentPatches([photos], batch=1000, patch=8)
    count, side = 3, 8 + resident.MARGIN
    place = np.stack(np.broadcast_arrays(np.arange(count)[:, None, None], *np.mgrid[:side, :side]), -1)
    patches.tiles = [place.astype(np.uint8), place.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)]
    lr, hr = map(np.asarray, patches[0])
    assert len(np.unique(lr[:, 0, 0], axis=0)) == count * (resident.MARGIN + 1) ** 2
    np.testing.assert_array_equal(lr.repeat(4, axis=1).repeat(4, axis=2), hr)


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
        tiles = None

        def draw(self, tiles, n):
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
