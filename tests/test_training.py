import csv
import functools
import io
import itertools

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres.degrade import degrade
from superres.network import generator, srcnn
from training import adversarial, data, evaluate, initialise, losses, optimizers, speed, train


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
def tiny(monkeypatch):
    """Networks small enough to train in a test."""
    small = functools.partial(generator, blocks=1, channels=8)
    networks = {"srcnn": functools.partial(srcnn, filters=(8, 4)), "srresnet": small, "srgan": small}
    monkeypatch.setattr(train, "NETWORKS", networks)
    monkeypatch.setattr(adversarial, "HINTS", ("block00", "skip"))
    monkeypatch.setattr(train, "discriminator", functools.partial(adversarial.discriminator, channels=2))


@pytest.fixture
def vgg(tmp_path, rng):
    """A feature network's file: VGG19 cut after block2_conv2, four channels wide."""
    shapes = {"preprocess": (1, 1, 3, 3), "block1_conv1": (3, 3, 3, 4)}
    shapes |= {name: (3, 3, 4, 4) for name in ("block1_conv2", "block2_conv1", "block2_conv2")}
    arrays = {f"{name}/kernel": rng.normal(0, 0.3, shape).astype("float32") for name, shape in shapes.items()}
    arrays |= {f"{name}/bias": rng.normal(0, 0.3, shape[-1]).astype("float32") for name, shape in shapes.items()}
    np.savez(tmp_path / "vgg.npz", **arrays)
    return tmp_path / "vgg.npz"


def run(method, photos, out, *options):
    common = ["--data", photos, "--out", out, "--batch", 2, "--patch", 16, "--checkpoint", 2]
    train.main([str(argument) for argument in (method, *common, *options)])


def weights(path):
    return keras.models.load_model(path, compile=False).get_weights()


# Data


def test_degradations_are_those_of_the_libraries(rng):
    hr = cv2.GaussianBlur(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), (0, 0), 2)
    clean = Image.fromarray(hr).resize((24, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(degrade(hr, "clean"), np.asarray(clean))
    np.testing.assert_array_equal(degrade(hr, "cv2"), cv2.resize(hr, (24, 16), interpolation=cv2.INTER_CUBIC))
    palette = clean.quantize(256, method=Image.Quantize.MEDIANCUT)
    gif = clean.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")
    np.testing.assert_array_equal(degrade(hr, "gif"), np.asarray(gif))
    file = io.BytesIO()
    clean.save(file, "JPEG", quality=80)
    np.testing.assert_array_equal(degrade(hr, "jpeg"), np.asarray(Image.open(file)))
    with pytest.raises(ValueError, match="'webp'.*clean, cv2, gif or jpeg"):
        degrade(hr, "webp")


def test_drawn_palettes_have_few_colours_and_keep_the_image(rng):
    hr = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 3)
    hr = cv2.normalize(hr, None, 0, 255, cv2.NORM_MINMAX)
    clean = degrade(hr, "clean").astype(float)
    for _ in range(12):
        lr = degrade(hr, "gif", rng)
        assert len(np.unique(lr.reshape(-1, 3), axis=0)) <= 256
        assert np.abs(lr - clean).mean() < 20
        assert np.abs((lr - clean).mean()) < 3  # dithering must not change the brightness


def test_batches_depend_on_seed_and_number_alone(photos):
    one, other = data.Patches([photos], batch=4, patch=16, seed=5), data.Patches([photos], batch=4, patch=16, seed=5)
    one[0], one[3]
    for a, b in zip(one[200], other[200], strict=True):
        np.testing.assert_array_equal(a, b)
    streamed = [lr for _, (lr, _) in zip(range(3), other.stream(199), strict=False)]
    np.testing.assert_array_equal(streamed[1], one[200][0])
    assert not np.array_equal(streamed[0], streamed[1])
    assert not np.array_equal(one[200][0], data.Patches([photos], batch=4, patch=16, seed=6)[200][0])


def test_patches_are_aligned_in_every_orientation(photos):
    lr, hr = data.Patches([photos], batch=64, patch=16, degradations=["clean"])[0]
    assert lr.shape == (64, 16, 16, 3) and hr.shape == (64, 64, 64, 3) and lr.dtype == hr.dtype == np.float32
    assert lr.min() >= 0 and lr.max() <= 255 and hr.max() > 1
    means = hr.reshape(64, 16, 4, 16, 4, 3).mean((2, 4))
    inner = slice(2, -2)
    assert np.abs(lr - means)[:, inner, inner].mean() < 2
    shifted = np.abs(lr[:, 1:] - means[:, :-1])[:, inner, inner].mean()
    assert shifted > 5


def test_degradations_are_drawn_in_their_shares(photos, monkeypatch):
    drawn = []
    monkeypatch.setattr(data, "degrade", lambda hr, degradation, rng: (drawn.append(degradation), hr[::4, ::4])[1])
    patches = data.Patches([photos], batch=2, patch=16)
    for index in range(1000):
        patches.entry(index)
    shares = {name: drawn.count(name) / 1000 for name in data.DEGRADATIONS}
    assert shares == pytest.approx(data.DEGRADATIONS, abs=0.05)


def test_memory_is_bounded(photos):
    patches = data.Patches([photos], batch=2, patch=16)
    for n in range(300):
        patches[n]
    assert len(patches.window) <= patches.WINDOW


def test_srcnn_batches_are_upscaled_without_border_effects(photos):
    image = data.read_hr(photos / "0.png")
    lr = degrade(image, "clean")
    whole = cv2.resize(lr, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    cut = lr[None, 5:21, 8:24].astype(np.float32)
    large, hr = data.upscale_inputs(cut, image[None, 20:84, 32:96])
    np.testing.assert_allclose(large[0], whole[28:76, 40:88], atol=1)
    np.testing.assert_array_equal(hr[0], image[28:76, 40:88])


# Losses


def test_pixel_losses_are_of_the_unit_range():
    hr, sr = np.full((1, 2, 2, 3), 255, "float32"), np.full((1, 2, 2, 3), 204, "float32")
    assert float(losses.l1_loss(hr, sr)) == pytest.approx(0.2, rel=1e-5)
    assert float(losses.l2_loss(hr, sr)) == pytest.approx(0.04, rel=1e-5)


def test_adversarial_losses_by_hand():
    real, fake = np.array([2.0, 4.0], "float32"), np.array([1.0], "float32")

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    discriminator = -np.mean(np.log(sigmoid(real - 1))) - np.log(1 - sigmoid(1 - 3))
    generator = -np.mean(np.log(1 - sigmoid(real - 1))) - np.log(sigmoid(1 - 3))
    assert float(losses.discriminator_loss(real, fake)) == pytest.approx(discriminator, rel=1e-5)
    assert float(losses.adversarial_loss(real, fake)) == pytest.approx(generator, rel=1e-5)


def test_content_loss_compares_directions():
    hr = np.array([[0, 2], [2, 0]], "float32").reshape(1, 2, 1, 2)
    sr = np.array([[2, 0], [2, -5]], "float32").reshape(1, 2, 1, 2)  # first at a right angle, then the same after ReLU
    expected = 1 / 1.01  # a hundredth of the mean energy keeps the faintest positions down
    assert float(losses.content_loss({"block1_conv2": hr}, {"block1_conv2": sr})) == pytest.approx(expected, abs=1e-3)
    assert float(losses.content_loss({"block1_conv2": hr}, {"block1_conv2": 7 * hr})) == pytest.approx(0, abs=1e-3)


def test_content_loss_of_silent_features_is_a_number():
    silent = ops.zeros((1, 4, 4, 3))
    assert float(losses.content_loss({"conv44": silent}, {"conv44": silent})) == 0
    assert np.isfinite(float(losses.content_loss({"conv44": silent + 1}, {"conv44": silent})))


def test_content_loss_is_blind_to_the_scale_of_channels(rng):
    hr, sr = rng.uniform(size=(2, 2, 8, 8, 4)).astype("float32")
    plain, scaled, weaker = (
        float(losses.content_loss({"conv44": scale * hr}, {"conv44": scale * sr}))
        for scale in (1, 1e-3, np.array([1, 1, 1, 0.3], "float32"))
    )
    assert scaled == pytest.approx(plain, rel=1e-3)
    assert weaker == pytest.approx(plain, rel=0.1)


def test_evenness_loss_sees_dots_and_a_weave_and_nothing_else(rng):
    hr, other = rng.uniform(100, 150, (2, 2, 96, 96, 3)).astype("float32")
    dots = np.ones((4, 4))
    dots[1:3, 1:3] = 2
    dotted = other + (other - 125) * (np.tile(dots, (24, 24)) - 1)[..., None]
    woven = other + 10 * np.tile([[1, -1], [-1, 1]], (48, 48))[..., None]  # the detail's size is the same everywhere
    even, *uneven = (float(losses.checkerboard_loss(hr, sr.astype("float32"))) for sr in (other, dotted, woven))
    assert float(losses.checkerboard_loss(hr, hr)) == 0
    assert 0 < 5 * even < min(uneven)


def test_features_of_a_file(vgg, rng):
    features = losses.feature_network([vgg])
    rgb = rng.uniform(0, 255, (1, 8, 8, 3)).astype("float32")
    arrays = np.load(vgg)
    x = rgb / 255
    for name in ("preprocess", "block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2"):
        if name == "block2_conv1":
            x = ops.max_pool(x, 2)
        x = ops.conv(x, arrays[f"{name}/kernel"], padding="same") + arrays[f"{name}/bias"]
        if name in ("block1_conv2", "block2_conv2"):
            np.testing.assert_allclose(features(rgb)[name], x, atol=1e-4)
        x = x if name == "preprocess" else ops.relu(x)
    assert set(features(rgb)) == {"block1_conv2", "block2_conv2"}
    assert not features.trainable_variables


def test_features_of_a_distilled_network(tmp_path, rng):
    arrays = {"conv0/kernel": np.eye(3, dtype="float32")[None, None], "conv0/bias": np.zeros(3, "float32")}
    arrays |= {"conv41/kernel": rng.normal(size=(3, 3, 3, 4)), "conv41/bias": rng.normal(size=4)}
    arrays |= {"conv41_aux/kernel": rng.normal(size=(1, 1, 4, 6)), "conv41_aux/bias": rng.normal(size=6)}
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    np.savez(tmp_path / "student.npz", **arrays)
    rgb = rng.uniform(0, 255, (1, 8, 8, 3)).astype("float32")
    features = losses.feature_network([tmp_path / "student.npz"])(rgb)
    expected = ops.conv(ops.max_pool(rgb / 255, 2), arrays["conv41/kernel"], padding="same") + arrays["conv41/bias"]
    assert list(features) == ["conv41"]
    np.testing.assert_allclose(features["conv41"], expected, atol=1e-4)


def test_features_of_keras_applications(rng, monkeypatch):
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    monkeypatch.setattr(keras.applications, "VGG19", lambda include_top, weights: vgg)
    rgb = rng.uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    features = losses.feature_network()(rgb)
    assert list(features) == ["block1_conv2", "block2_conv2", "block3_conv1", "block4_conv4", "block5_conv4"]
    truth = keras.Model(vgg.input, [vgg.get_layer(name).output for name in features])
    for ours, theirs in zip(features.values(), truth(keras.applications.vgg19.preprocess_input(rgb)), strict=True):
        np.testing.assert_allclose(ops.relu(ours), theirs, atol=1e-3 * np.max(theirs))


def test_a_failed_download_says_what_to_do(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG19", fail)
    with pytest.raises(ConnectionError, match="--vgg.*URL fetch failure"):
        losses.feature_network()


def test_discriminator_judges_every_pixel(rng):
    logits = adversarial.discriminator(channels=4)(rng.uniform(0, 255, (2, 32, 40, 3)))
    assert logits.shape == (2, 32, 40, 1)


# Training


def test_generator_starts_as_bilinear_upscaler(rng):
    network = generator()
    initialise.start_as_upscaler(network)
    lr = cv2.GaussianBlur(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), (0, 0), 2).astype("float32")
    bilinear = cv2.resize(lr, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    inner = slice(16, -16)
    difference = (network(lr[None])[0] - bilinear)[inner, inner]
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 25


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


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 8, 16)])
def test_muon_steps_are_orthogonal_and_as_large_as_adams(rng, shape):
    start, gradient = rng.normal(size=(2, *shape)).astype("float32")
    kernel = keras.Variable(start)
    optimizers.Muon(0.1).apply([ops.convert_to_tensor(gradient)], [kernel])
    step = (start - ops.convert_to_numpy(kernel)).reshape(-1, 16)
    left, _, right = np.linalg.svd(gradient.reshape(-1, 16), full_matrices=False)
    assert np.corrcoef(step.ravel(), (left @ right).ravel())[0, 1] > 0.95
    assert 0.01 < np.sqrt(np.mean(step**2)) < 0.03  # Adam's: 0.1 at the first step, about 0.02 later


@pytest.mark.parametrize("shape", [(9, 9, 3, 16), (9, 9, 16, 3), (16,)])
def test_muon_leaves_images_and_vectors_to_adam(rng, shape):
    start, gradient = rng.normal(size=(2, *shape)).astype("float32")
    variables = [keras.Variable(start) for _ in range(2)]
    for optimizer, variable in zip((optimizers.Muon, keras.optimizers.Adam), variables, strict=True):
        optimizer(0.1).apply([ops.convert_to_tensor(gradient)], [variable])
    np.testing.assert_array_equal(*variables)


def test_training_leaves_its_files(photos, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 2)
    out = tmp_path / "run"
    run("srcnn", photos, out, "--steps", 5, "--degradations", "clean", "--checkpoint", 3, "--validate", photos)
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "3", "4", "5"]
    assert [bool(row["psnr"]) for row in rows] == [False, True, False, True]
    assert Image.open(out / "sample_000005.png").size == (3 * 48, 2 * 48)
    assert keras.models.load_model(out / "srcnn_x4.keras").get_layer("patches").compute_dtype == "float32"
    assert not list(out.glob("unfinished*"))


def test_training_lowers_the_loss(rng):
    """Always the same batch: without noise in the data, every few steps must be better than the last."""
    network = initialise.with_fast_tail(generator(blocks=1, channels=8))
    network.compile(optimizers.optimizer(optimizers.Muon, 1e-3, 30, warm_up=2), loss=losses.l1_loss)
    lr, hr = (rng.uniform(0, 255, (2, side, side, 3)).astype("float32") for side in (8, 32))
    means = np.mean([[network.train_on_batch(lr, hr) for _ in range(5)] for _ in range(3)], axis=1)
    assert means[0] > 1.02 * means[1] > 1.02**2 * means[2]


def test_published_weights_are_the_moving_average(photos, tmp_path, tiny):
    """ema x old + (1 - ema) x new: the first step's weights are the average's start."""
    for steps in (1, 2):
        run("srresnet", photos, tmp_path / "run", "--steps", 2, "--checkpoint", 1, "--ema", 0.8)
    with np.load(tmp_path / "run" / "state.npz") as arrays:
        after = [arrays[name] for name in arrays.files]


def test_a_killed_run_is_taken_up_where_it_was(photos, tmp_path, tiny, vgg, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 1)
    options = ["--steps", 4, "--vgg", vgg]
    run("srgan", photos, tmp_path / "whole", *options)

    patch_stream = data.Patches.stream

    def killed_in_step_4(patches, start):
        yield from itertools.islice(patch_stream(patches, start), 3)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(data.Patches, "stream", killed_in_step_4)
        run("srgan", photos, tmp_path / "killed", *options)
    run("srgan", photos, tmp_path / "killed", *options)

    names = "whole/srgan_x4.keras", "killed/srgan_x4.keras"
    for whole, resumed in zip(*(weights(tmp_path / name) for name in names), strict=True):
        np.testing.assert_allclose(resumed, whole, rtol=1e-3, atol=1e-5)
    for name in ("whole", "killed"):
        rows = csv.DictReader((tmp_path / name / "log.csv").open())
        assert [row["step"] for row in rows] == ["1", "2", "3", "4"]


def test_srgan_trains_generator_and_discriminator_in_mixed_precision(photos, tmp_path, tiny, vgg):
    policy = keras.config.dtype_policy()
    try:
        run("srgan", photos, tmp_path / "run", "--steps", 2, "--vgg", vgg, "--dtype", "mixed_bfloat16")
    finally:
        keras.config.set_dtype_policy(policy)
    (row,) = csv.DictReader((tmp_path / "run" / "log.csv").open())
    names = "content", "adversarial", "pixel", "checkerboard", "discriminator", "loss"
    terms = {name: float(row[name]) for name in names}
    total = sum(weight * terms.get(name, 0) for name, weight in losses.WEIGHTS.items())
    assert terms["loss"] == pytest.approx(total, rel=1e-2)
    assert np.isfinite(list(terms.values())).all()


def test_run_starts_from_given_weights():
    network = generator()
    initialise.start_from("srresnet", network)
    np.testing.assert_array_equal(network.get_weights()[0], initialise.load_generator("srresnet").get_weights()[0])
    with pytest.raises(ValueError, match="another network"):
        initialise.start_from("srresnet", generator(blocks=2))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("srresnet", ["--data", "{tmp}/empty"], "no images"),
        ("srresnet", ["--patch", 64], "170x130 pixels are less than a patch of 256x256"),
        ("srresnet", ["--start", "{tmp}/none.keras"], "none.keras: no such weights file"),
        ("srgan", ["--vgg", "{tmp}/none.npz"], "none.npz"),
        ("srgan", ["--vgg", "{tmp}/other.npz"], "holds no VGG19 features"),
        ("srgan", ["--vgg", "{tmp}/photos/0.png"], "0.png is no .npz file"),
    ],
)
def test_bad_input_is_one_sentence(method, options, message, photos, tmp_path, tiny, capsys):
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", **{"dense/kernel": np.zeros(1), "dense/bias": np.zeros(1)})
    with pytest.raises(SystemExit) as exit:
        run(method, photos, tmp_path / "run", *(str(option).format(tmp=tmp_path) for option in options))
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


# Evaluation


def test_evaluation_agrees_with_scikit_image(photos, tmp_path, capsys):
    evaluate.main([str(photos), "--models", "bicubic", "--limit", "1", "--sheet", str(tmp_path / "sheet.png")])
    header, _, row = capsys.readouterr().out.splitlines()
    assert header == "| PSNR / SSIM / checkerboard | clean | cv2 | gif | jpeg |"
    hr = data.read_hr(photos / "0.png")
    sr = cv2.resize(degrade(hr, "cv2"), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    a, b = (16 + p[4:-4, 4:-4] @ np.array([65.481, 128.553, 24.966]) / 255 for p in (hr, sr))
    psnr = peak_signal_noise_ratio(a, b, data_range=255)
    ssim = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )  # fmt: skip
    assert row.split(" | ")[2].startswith(f"{psnr:.2f} / {ssim:.4f} / ")
    assert Image.open(tmp_path / "sheet.png").width > 200


def test_evaluation_uses_published_low_resolution(photos):
    hr = data.read_hr(photos / "0.png")
    (photos / "0.png").rename(photos / "a_HR.png")
    published = np.zeros_like(degrade(hr, "clean"))
    Image.fromarray(published).save(photos / "a_LRx4.png")
    (path,) = data.find_originals(photos)
    assert path.name == "a_HR.png"
    np.testing.assert_array_equal(data.low_resolution(path, hr, "clean"), published)
    np.testing.assert_array_equal(data.low_resolution(path, hr, "cv2"), degrade(hr, "cv2"))


def test_evaluation_errors_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        evaluate.main([str(tmp_path)])
    assert exit.value.code == 2 and "no images" in capsys.readouterr().err


def test_speed_reports_ratios_and_memory(monkeypatch, rng):
    monkeypatch.setattr(speed, "SIZES", ((8, 6),))
    monkeypatch.setattr(speed, "LARGE", (16, 12))
    seconds = {"course": 4.0, "float32": 2.0, "bfloat16": 1.0}
    monkeypatch.setattr(speed, "seconds", lambda way, image: seconds[way.__name__])
    monkeypatch.setattr(speed, "measure", lambda way, size: (5.0, size[0] / 8, 100.0))
    monkeypatch.setattr(speed, "race_clip", lambda size: (6.0, 1.0))
    report = speed.report([rng.integers(0, 256, (6, 6, 3), np.uint8)])
    assert "| 8x6 | 4.00 | 2.00x | 4.00x | 100 | 100 | 100 |" in report
    assert "16x12: 2 s, peak 100 MB of at most 2500 MB, 0.50 times the time per pixel." in report
    assert float(report.rsplit(": ", 1)[1].split()[0]) > 40
    assert "6.0 times as fast as whole frames" in report
    rates = "course 5208.33, float32 2604.17, bfloat16 1302.08."
    assert f"Seconds per megapixel of output at 8x6: {rates}" in report


def test_memory_is_held_to_its_bound(monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda way, size: (5.0, 5.0, 1500 + 51 * size[0] * size[1] / 2**20))
    assert "| 341x268 | 1504 | 2504 |" in speed.memory() and "| 8000x6000 | 3835 | 4835 |" in speed.memory()
    monkeypatch.setattr(speed, "measure", lambda way, size: (5.0, 5.0, 2600.0))
    with pytest.raises(MemoryError, match="341x268: peak 2600 MB, expected at most 2504 MB"):
        speed.memory()


def test_speed_against_other_runtimes(monkeypatch, rng):
    monkeypatch.setattr(speed, "SIZES", ((8, 6),))
    monkeypatch.setattr(speed, "race", lambda image, ways: [4.0, 2.0, 1.0, *(8.0 for _ in ways[3:])])
    runtime = lambda: lambda x: np.repeat(np.repeat(x, 4, 1), 4, 2) + 0.4  # noqa: E731
    runtime.__name__ = "other"
    monkeypatch.setitem(speed.RUNTIMES, runtime, ())
    assert "| 8x6 | 5208.33 | 2.00x | 4.00x | 0.50x |" in speed.against([runtime])
    image = rng.integers(0, 256, (3, 2, 3), np.uint8)
    np.testing.assert_array_equal(speed.way_of(runtime)(image), image.repeat(4, 0).repeat(4, 1))
    monkeypatch.setitem(speed.RUNTIMES, runtime, ("numpy", "none_such"))
    with pytest.raises(ModuleNotFoundError, match="other: not installed: none_such"):
        speed.against([runtime])


def test_speed_measures_a_process_of_its_own(capsys):
    speed.main("float32", 8, 6)
    first, second, megabytes = map(float, capsys.readouterr().out.split())
    assert min(first, second) > 0 and 100 < megabytes < 8000


def test_a_clip_for_speed_moves_in_a_tenth_of_its_area():
    first, second, *_ = speed.moving_clip(480, 360)
    changed = (first != second).any(-1)
    assert first.shape == (360, 480, 3) and 0.1 <= changed.mean() < 0.11
