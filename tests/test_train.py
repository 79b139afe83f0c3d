import contextlib
import csv
import itertools
from pathlib import Path
from unittest.mock import Mock

import cv2
import keras
import ml_dtypes
import numpy as np
import pytest
from conftest import ROOT, randomise, run
from keras import ops
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from superres.images.degrade import degrade
from superres.images.measures import psnr
from superres.network.models import generator, srcnn
from training import adversarial, data, initialise, losses, optimizers, settings, train


def weights(path):
    return keras.models.load_model(path, compile=False).get_weights()


def rows(out):
    return list(csv.DictReader((out / "log.csv").open()))


@pytest.fixture
def prepared(photos, tmp_path, tiny, monkeypatch):
    """A function of a method and options that gives what ``train.prepare`` makes of them, and its arguments."""

    def prepare(method, *options):
        with monkeypatch.context() as patch:
            result = []
            patch.setattr(train, "train", lambda *arguments: result.extend(arguments))
            run(method, photos, tmp_path / "run", *options)
        return result

    return prepare


# Start


def test_generator_starts_as_bilinear_upscaler(rng, monkeypatch):
    lr = cv2.GaussianBlur(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), (0, 0), 2).astype("float32")
    bilinear = cv2.resize(lr, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    inner = slice(16, -16)

    def psnr():
        network = generator()
        initialise.start_as_upscaler(network)
        return -20 * np.log10(np.sqrt(np.mean((network(lr[None])[0] - bilinear)[inner, inner] ** 2)) / 255 + 1e-9)

    assert psnr() > 25
    monkeypatch.setattr(initialise, "SMALL", 0)  # exactly bilinear but for what else goes into the channels of RGB
    assert psnr() > 100


def test_fast_tail_is_the_same_map_with_the_same_gradients(rng):
    network = generator(blocks=1, channels=8)
    for layer in network.layers:
        layer.set_weights([rng.normal(0, 0.2, array.shape) for array in layer.get_weights()])
    fast = initialise.with_fast_tail(network)
    lr, hr = (rng.uniform(0, 255, (2, side, side, 3)).astype("float32") for side in (8, 32))
    np.testing.assert_allclose(fast(lr), network(lr), rtol=1e-5, atol=0.01)
    # Both have the same variables: one step of plain gradient descent shows the gradients.
    before = network.get_weights()
    steps = []
    for model in (network, fast):
        model.set_weights(before)
        model.compile(keras.optimizers.SGD(1.0), loss=losses.l2_loss)
        model.train_on_batch(lr, hr)
        steps.append([after - start for after, start in zip(network.get_weights(), before, strict=True)])
    for plain, quick in zip(*steps, strict=True):
        np.testing.assert_allclose(quick, plain, rtol=1e-3, atol=1e-4 * np.abs(plain).max())


def test_run_starts_from_given_weights():
    network = generator()
    initialise.start_from("srresnet", network)
    np.testing.assert_array_equal(network.get_weights()[0], initialise.load_generator("srresnet").get_weights()[0])
    with pytest.raises(ValueError, match="another network"):
        initialise.start_from("srresnet", generator(blocks=2))


def test_start_and_seed_are_heeded(prepared, tmp_path):
    def network(*options):
        return prepared("srresnet", *options)[2].network.get_weights()

    given = generator(blocks=1, channels=8)
    initialise.start_as_upscaler(given)
    given.save(tmp_path / "given.keras")
    assert all(map(np.array_equal, network("--start", tmp_path / "given.keras"), given.get_weights()))
    one, again, other = (network("--seed", seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert prepared("srresnet", "--seed", 3)[1].seed == 3


# Options


def test_options_of_the_srgan(prepared, vgg, tmp_path):
    (tmp_path / "recipe.txt").write_text(
        f"--vgg '{vgg}'  # a comment\n\n# --steps 9\n--steps 7 --ema 0.5\n"
        "--learning-rate 1e-2 --discriminator-rate 2e-3\n"
    )
    options = f"@{tmp_path / 'recipe.txt'}", "--weights", "pixel=3", "--crop", 40
    args, patches, trainer, *_ = prepared("srgan", *options)
    assert trainer.crop == 40
    assert (args.steps, args.ema, args.vgg) == (7, 0.5, [str(vgg)])
    assert trainer.loss_weights == settings.WEIGHTS["srgan"] | {"pixel": 3}
    train.set_learning_rates(args, trainer, step=100, progress=0)
    rates = trainer.optimizer.learning_rate, trainer.discriminator_optimizer.learning_rate
    assert list(map(float, rates)) == pytest.approx([1e-2, 2e-3])
    assert (patches.batch, patches.patch, patches.degradations) == (2, 16, list(settings.SHARES))
    assert patches.shares == pytest.approx(list(settings.SHARES.values()))


@pytest.mark.parametrize(("method", "rate"), [("srcnn", 1e-3), ("srresnet", 5e-4), ("srgan", 1e-4)])
def test_learning_rates_of_their_own_by_default(method, rate, prepared, vgg):
    args, _, trainer, *_ = prepared(method, "--vgg", vgg)
    train.set_learning_rates(args, trainer, step=100, progress=0)
    assert float(trainer.optimizer.learning_rate) == pytest.approx(rate)
    if method == "srgan":
        assert float(trainer.discriminator_optimizer.learning_rate) == pytest.approx(rate)


def test_the_srresnet_learns_from_l1_alone(prepared):
    trainer = prepared("srresnet")[2]
    assert trainer.loss_weights == {"pixel": 1} and trainer.features is None and trainer.discriminator is None


def test_the_crop_is_of_half_the_patch_and_a_multiple_of_8(prepared):
    assert [prepared("srresnet", "--patch", patch)[2].crop for patch in (8, 15, 24)] == [16, 24, 48]


def test_degradations_have_the_shares_asked_for(prepared):
    patches = prepared("srresnet", "--degradations", "gif", "clean=0.3")[1]
    assert dict(zip(patches.degradations, patches.shares, strict=True)) == pytest.approx({"gif": 0.25, "clean": 0.75})


def test_a_term_of_weight_0_loads_nothing(prepared, monkeypatch):
    monkeypatch.setattr(train, "feature_network", None)
    trainer = prepared("srgan", "--weights", "content=0", "adversarial=0")[2]
    assert trainer.features is None and trainer.discriminator is None


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("srresnet", ["--data", "{tmp}/empty"], "no images"),
        ("srresnet", ["--patch", 40], "170x130 pixels are less than a patch of 160x160"),
        ("srresnet", ["--start", "{tmp}/none.keras"], "none.keras: no such weights file"),
        ("srresnet", ["--start", "srcnn"], "srcnn holds another network than generator"),
        ("srresnet", ["--validate", "{tmp}/empty"], "no images"),
        *(("srresnet", [f"--{name}", 0], f"--{name}: expected 1 or more") for name in ("steps", "batch", "checkpoint")),
        ("srresnet", ["--patch", 7], "--patch: expected 8 or more, got 7"),
        ("srresnet", ["--seed", -1], "--seed: expected 0 or more, got -1"),
        ("srresnet", ["--learning-rate", 0], "--learning-rate: expected a number above 0, got 0"),
        ("srresnet", ["--discriminator-rate", -1], "--discriminator-rate: expected a number above 0, got -1"),
        *(("srresnet", ["--minutes", value], "--minutes: expected a number above") for value in (0, -1, "nan", "inf")),
        *(("srresnet", ["--ema", value], "--ema: expected a number from 0 to less than 1") for value in (1, -0.1)),
        ("srresnet", ["--steps", "many"], "invalid"),
        ("srresnet", ["--weights", "pixel=2"], "--weights is for the srgan: the srresnet has pixel=1"),
        ("srgan", ["--weights", *(f"{term}=0" for term in settings.WEIGHTS["srgan"])], "expected one above 0"),
        (
            "srgan",
            ["--weights", "detail=1"],
            "unknown name 'detail', expected content, adversarial, pixel, checkerboard",
        ),
        *(
            ("srgan", ["--weights", f"pixel={value}"], "expected 0 or a number above it")
            for value in (-1, "nan", "inf")
        ),
        ("srgan", ["--weights", "pixel=much"], "invalid"),
        ("srgan", ["--degradations", "blur"], "unknown name 'blur', expected clean, cv2, gif, jpeg, photo"),
        *(("srgan", ["--degradations", f"gif={value}"], "expected a number above 0") for value in (0, "nan")),
        ("srgan", ["--degradations", "clean=much"], "invalid"),
        ("srgan", ["--vgg", "{tmp}/none.npz"], "none.npz"),
        ("srgan", ["--vgg", "{tmp}/other.npz"], "holds no VGG19 features"),
        ("srgan", ["--vgg", "{tmp}/photos/0.png"], "0.png is no .npz file"),
        ("srgan", ["--vgg", "{tmp}/cut.npz"], "cut.npz is no .npz file"),
        *(("srgan", ["--crop", side], "--crop must be a multiple of 8 from 16 to 64") for side in (8, 36, 72)),
        ("srgan", ["--resident"], "--resident is for the srresnet and the srgan on KERAS_BACKEND=jax"),
    ],
)
def test_bad_input_is_one_sentence(method, options, message, photos, tmp_path, tiny, capsys):
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", **{"dense/kernel": np.zeros(1), "dense/bias": np.zeros(1)})
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:-30])
    with pytest.raises(SystemExit) as exit:
        run(method, photos, tmp_path / "run", *(str(option).format(tmp=tmp_path) for option in options))
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


# The loop


@pytest.mark.parametrize("method", ["srcnn", "srresnet"])
def test_training_leaves_its_files(method, photos, tmp_path, tiny, eager, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 2)
    out = tmp_path / "run"
    run(method, photos, out, "--steps", 5, "--degradations", "clean", "--checkpoint", 3, "--validate", photos)
    assert [row["step"] for row in rows(out)] == ["2", "3", "4", "5"]
    assert [bool(row["psnr"]) for row in rows(out)] == [False, True, False, True]
    assert sorted(path.name for path in out.glob("*.keras")) == [
        f"{method}_x4.keras", f"{method}_x4_000003.keras", f"{method}_x4_000005.keras"
    ]  # fmt: skip
    assert all(map(np.array_equal, *(weights(out / f"{method}_x4{step}.keras") for step in ("", "_000005"))))
    assert not np.array_equal(*(weights(out / f"{method}_x4_00000{step}.keras")[0] for step in (3, 5)))
    side = 48 if method == "srcnn" else 64
    assert Image.open(out / "sample_000005.png").size == (3 * side, 2 * side)
    published = keras.models.load_model(out / f"{method}_x4.keras", compile=False)
    assert not list(out.glob("unfinished*"))

    psnr = []
    for path in photos.iterdir():
        hr = np.asarray(Image.open(path))[:128, :168]
        lr = degrade(hr, "clean")
        if method == "srcnn":
            lr = cv2.resize(lr, (168, 128), interpolation=cv2.INTER_CUBIC)
        sr = np.clip(np.rint(published(lr[None].astype("float32"))[0]), 0, 255).astype(np.uint8)
        a, b = (rgb2ycbcr(image)[4:-4, 4:-4, 0] for image in (hr, sr))
        psnr.append(peak_signal_noise_ratio(a, b, data_range=255))
    assert float(rows(out)[-1]["psnr"]) == pytest.approx(np.mean(psnr), abs=1e-3)


@pytest.mark.usefixtures("bfloat16")
def test_checkpoints_are_measured_in_float32_and_change_nothing(prepared, vgg, photos, rng, monkeypatch):
    monkeypatch.setattr(adversarial, "NOISE", 0.0)
    keras.config.set_dtype_policy("mixed_bfloat16")  # of an earlier run in this process
    Image.fromarray(rng.integers(0, 256, (133, 141, 3), np.uint8)).save(photos / "3.png")
    options = "--vgg", vgg, "--validate", photos, "--dtype", "mixed_bfloat16"
    _, patches, trainer, average, validation = prepared("srgan", *options)
    start = [np.array(variable) for variable in itertools.chain(*trainer.state)]
    measured = validation.measure(patches, average, trainer)
    assert all(map(np.array_equal, itertools.chain(*trainer.state), start))

    keras.config.set_dtype_policy("float32")
    features = losses.feature_network([vgg])
    expected = {"psnr": [], "distance": [], "validation_real": [], "validation_fake": []}
    for path in sorted(photos.iterdir()):
        hr = data.read_hr(path)
        sr = np.clip(np.rint(average(degrade(hr, "clean")[None].astype("float32"))), 0, 255)
        expected["psnr"].append(psnr(hr, sr[0].astype(np.uint8)))
        expected["distance"].append(losses.content_loss(features(hr[None].astype("float32")), features(sr)))
        rows, columns = (slice(side // 8 * 8) for side in hr.shape[:2])
        for name, image in (("validation_real", hr[None]), ("validation_fake", sr)):
            expected[name].append(np.mean(trainer.discriminator(image[:, rows, columns])))
    assert len(expected["psnr"]) == 4
    assert measured == pytest.approx({name: np.mean(values) for name, values in expected.items()}, rel=1e-3, abs=1e-5)


def test_published_weights_are_the_moving_average(prepared, eager, monkeypatch):
    """ema x old + (1 - ema) x new; it starts at the first step's weights."""
    args, patches, trainer, average, validation = prepared("srcnn", "--steps", 3, "--ema", 0.8)
    steps, step = [], trainer.train_on_batch

    def recorded(*arguments, **options):
        logs = step(*arguments, **options)
        steps.append(trainer.network.get_weights())
        return logs

    monkeypatch.setattr(trainer, "train_on_batch", recorded)
    train.train(args, patches, trainer, average, validation)
    assert not np.array_equal(steps[0][0], steps[2][0])
    for published, first, second, third in zip(weights(args.out / "srcnn_x4.keras"), *steps, strict=True):
        expected = 0.8 * (0.8 * first + 0.2 * second) + 0.2 * third
        np.testing.assert_allclose(published, expected, rtol=1e-5, atol=1e-7)


def test_a_killed_run_is_taken_up_where_it_was(photos, tmp_path, tiny, vgg, eager, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 1)
    options = ["--steps", 2, "--checkpoint", 1, "--vgg", vgg, "--learning-rate", 1e-2, "--weights", "adversarial=1"]
    run("srgan", photos, tmp_path / "whole", *options)

    patch_stream = data.Patches.stream

    def killed_in_step_2(patches, start):
        yield from itertools.islice(patch_stream(patches, start), 1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(data.Patches, "stream", killed_in_step_2)
        run("srgan", photos, tmp_path / "killed", *options)
    with np.load(tmp_path / "killed" / "state.npz") as state:
        before = dict(state)
    run("srgan", photos, tmp_path / "killed", *options)

    whole, resumed = (dict(np.load(tmp_path / name / "state.npz")) for name in ("whole", "killed"))
    assert whole.keys() == resumed.keys() and whole.pop("recipe") == resumed.pop("recipe")
    for name in whole:
        np.testing.assert_allclose(resumed[name], whole[name], rtol=1e-3, atol=1e-5)
    # Everything moves: the generator, the discriminator, both optimizers and the crop's seed.
    same = [name for name in whole if np.array_equal(before[name], whole[name])]
    assert not [name for name in same if before[name].any() and before[name].size > 1]
    assert len(same) < 20
    for one, other in zip(*(rows(tmp_path / name) for name in ("whole", "killed")), strict=True):
        del one["seconds"], other["seconds"]
        assert {name: float(value or 0) for name, value in one.items()} == pytest.approx(
            {name: float(value or 0) for name, value in other.items()}, rel=1e-3
        )


@pytest.mark.parametrize("name", ["state.npz", "srcnn_x4.keras"])
def test_a_checkpoint_that_fails_leaves_the_last_one(name, photos, tmp_path, tiny, eager, monkeypatch):
    """The second time that a file is written, half of it is, and then the disk is full."""
    written, atomic_write = [], train.atomic_write

    @contextlib.contextmanager
    def full_disk(path):
        with atomic_write(path) as file:
            yield file
            if path.name == name:
                written.append(Path(file.name).read_bytes())
                if len(written) == 2:
                    Path(file.name).write_bytes(written[1][:100])
                    raise OSError("no space left")

    monkeypatch.setattr(train, "atomic_write", full_disk)
    with pytest.raises(OSError, match="no space left"):
        run("srcnn", photos, tmp_path / "run", "--steps", 2, "--checkpoint", 1)
    assert (tmp_path / "run" / name).read_bytes() == written[0]
    assert not list((tmp_path / "run").glob(".*"))


def test_a_resumed_log_ends_at_the_step_that_is_resumed(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    log = train.Log(path, 0)
    for step in (1, 2, 3):
        log.write({"step": step, "seconds": 10.0 * step, "loss": 0.5})
    before = path.read_bytes()
    resumed = train.Log(path, 2)
    assert resumed.seconds == 20 and path.read_bytes() == before
    # Killed while it is written, it has the rows that it had.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.csv.DictWriter, "writerows", Mock(side_effect=KeyboardInterrupt))
        resumed.write({"step": 3, "seconds": 30.0, "loss": 0.25})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    resumed = train.Log(path, 2)
    resumed.write({"step": 3, "seconds": 40.0, "loss": 0.25, "psnr": 30})
    table = [(row["step"], row["loss"], row["psnr"]) for row in rows(tmp_path)]
    assert table == [("1", "0.5", ""), ("2", "0.5", ""), ("3", "0.25", "30")]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("srresnet", [], "state.npz is of a run with method srcnn, not srresnet"),
        ("srcnn", ["--steps", 2], "steps 1, not 2"),
        ("srcnn", ["--seed", 4, "--degradations", "clean"], "seed 0, not 4"),
        ("srcnn", ["--crop", 16], "crop 32, not 16"),
        ("srcnn", ["--ema", 0.5], "ema 0.999, not 0.5"),
        ("srcnn", ["--learning-rate", 0.5], "learning_rate 0.001, not 0.5"),
    ],
)
def test_a_state_of_another_recipe_is_refused(method, options, message, photos, tmp_path, tiny, eager, capsys):
    run("srcnn", photos, tmp_path / "run", "--steps", 1)
    with pytest.raises(SystemExit):
        run(method, photos, tmp_path / "run", "--steps", 1, *options)
    error = capsys.readouterr().err
    assert message in error and error.splitlines()[-1].startswith("python -m training.train: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update(recipe=str(state["recipe"]).replace("crop", "cut")), "crop None, not 32"),
        (lambda state: state.pop("arr_0"), "state.npz is of other networks, from another revision of the code"),
    ],
)
def test_a_state_of_another_revision_is_refused(change, message, photos, tmp_path, tiny, eager, capsys):
    run("srcnn", photos, tmp_path / "run", "--steps", 1)
    state = dict(np.load(tmp_path / "run" / "state.npz"))
    change(state)
    np.savez(tmp_path / "run" / "state.npz", **state)
    with pytest.raises(SystemExit):
        run("srcnn", photos, tmp_path / "run", "--steps", 1)
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("spoil", [lambda data: data[:-100], lambda data: b"", lambda data: b"no archive"])
def test_a_damaged_state_is_one_sentence(spoil, photos, tmp_path, tiny, eager, capsys):
    run("srcnn", photos, tmp_path / "run", "--steps", 1)
    capsys.readouterr()
    state = tmp_path / "run" / "state.npz"
    state.write_bytes(spoil(state.read_bytes()))
    with pytest.raises(SystemExit):
        run("srcnn", photos, tmp_path / "run", "--steps", 1)
    error = capsys.readouterr().err
    assert "state.npz is damaged, or no state of a run" in error and error.count("\n") == 1


def test_minutes_end_a_run_and_its_schedule_earlier_parts_included(photos, tmp_path, tiny, eager, monkeypatch):
    """Six seconds, by a clock that goes on by one with each step, and long between the two parts of the run."""
    monkeypatch.setattr(train, "LOG_EVERY", 2)
    batches, clock, killed_at = data.Patches.stream, [0], 4

    def stream(patches, start):
        for n, batch in enumerate(batches(patches, start), start):
            if n == killed_at:
                raise KeyboardInterrupt
            clock[0] += 1
            yield batch

    monkeypatch.setattr(data.Patches, "stream", stream)
    monkeypatch.setattr(train.time, "monotonic", lambda: clock[0])
    options = ["--minutes", 0.1, "--checkpoint", 4, "--learning-rate", 1e-2]
    with pytest.raises(KeyboardInterrupt):
        run("srcnn", photos, tmp_path / "run", *options)
    clock[0], killed_at = 1000, None
    run("srcnn", photos, tmp_path / "run", *options)
    log = rows(tmp_path / "run")
    assert [(row["step"], row["seconds"]) for row in log] == [("2", "2.0"), ("4", "4.0"), ("6", "6.0")]
    rates = [float(row["learning_rate"]) for row in log]
    schedule = [optimizers.learning_rate(1e-2, step, progress) for step, progress in ((2, 0), (4, 1 / 3), (6, 2 / 3))]
    assert rates == pytest.approx(schedule, rel=1e-6)


def test_training_lowers_the_loss(rng, eager):
    """One batch over and over: no noise in the data, so the loss of a sound optimizer falls."""
    network = initialise.with_fast_tail(generator(blocks=1, channels=8))
    randomise(network)
    network.compile(train.optimizer(train.Muon), loss=losses.l1_loss)
    network.optimizer.learning_rate = 1e-3
    lr, hr = (rng.uniform(0, 255, (2, side, side, 3)).astype("float32") for side in (8, 32))
    steps = [network.train_on_batch(lr, hr) for _ in range(12)]
    assert steps[-1] < 0.95 * steps[0]


@pytest.mark.usefixtures("bfloat16")
def test_srgan_trains_generator_and_discriminator_in_mixed_precision(photos, tmp_path, tiny, vgg):
    policy = keras.config.dtype_policy()
    try:
        run("srgan", photos, tmp_path / "run", "--steps", 2, "--vgg", vgg, "--dtype", "mixed_bfloat16")
    finally:
        keras.config.set_dtype_policy(policy)
    (row,) = rows(tmp_path / "run")
    published = keras.models.load_model(tmp_path / "run" / "srgan_x4.keras")
    assert published.get_layer("head").compute_dtype == "float32"
    names = "content", "adversarial", "pixel", "checkerboard", "discriminator", "loss"
    terms = {name: float(row[name]) for name in names}
    total = sum(weight * terms[name] for name, weight in settings.WEIGHTS["srgan"].items())
    assert terms["loss"] == pytest.approx(total, rel=1e-2)
    assert np.isfinite(list(terms.values())).all()


@pytest.mark.parametrize("network", [generator, srcnn])
@pytest.mark.usefixtures("bfloat16")
def test_in_mixed_precision_colours_are_not_rounded(network, rng):
    """The first and last layers are those of float32, what is between them is not."""
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    exact = network()
    initialise.start_as_upscaler(exact)
    for layer in exact.layers:
        if isinstance(layer, keras.layers.PReLU):
            layer.alpha.assign(rng.uniform(0.1, 0.3, layer.alpha.shape))
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = network()
    train.keep_ends_in_float32(mixed)
    mixed.set_weights(exact.get_weights())
    for model in (mixed, initialise.with_fast_tail(mixed)):
        colours = np.asarray(model(images)) / 255
        assert np.mean(colours.astype(ml_dtypes.bfloat16).astype("float32") == colours) < 0.01
        assert len(np.unique(colours)) > 0.5 * colours.size
        assert 0 < np.abs(255 * colours - exact(images)).mean() < 1
    first, *_, up2, _ = (layer.name for layer in exact.layers if isinstance(layer, keras.layers.Conv2D))
    np.testing.assert_allclose(*(after(first, model)(images) for model in (mixed, exact)), rtol=1e-4, atol=1e-5)
    if network is generator:  # from the last convolution in bfloat16 on, exact
        features = after(up2, mixed)(images)
        rest = keras.Model(exact.get_layer(up2).output, exact.output)
        for model in (mixed, initialise.with_fast_tail(mixed)):
            np.testing.assert_allclose(model(images), rest(ops.cast(features, "float32")), atol=0.01)


def after(layer, model):
    return keras.Model(model.input, model.get_layer(layer).output)


@pytest.mark.parametrize("recipe", sorted((ROOT / "training" / "recipes").glob("*.txt")), ids=lambda path: path.stem)
def test_recipes_are_options_that_exist(recipe, tmp_path, tiny, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        train.main([f"@{recipe}", "--data", str(tmp_path / "empty"), "--out", str(tmp_path / "run")])
    said = "KERAS_BACKEND=jax" if "--resident" in recipe.read_text() else "no images"
    assert said in capsys.readouterr().err
