import keras
import numpy as np
import pytest
from keras import ops
from scipy.ndimage import uniform_filter

from training import losses


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
    assert float(losses.relativistic_loss(real, fake)) == pytest.approx(discriminator, rel=1e-5)
    assert float(losses.relativistic_loss(fake, real)) == pytest.approx(generator, rel=1e-5)


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


def test_content_loss_does_not_amplify_a_channel_that_is_nearly_always_0(rng):
    hr, other = rng.uniform(size=(2, 1, 8, 8, 3)).astype("float32")
    hr[..., 2] *= 1e-4
    sr = np.concatenate([hr[..., :2], 1e-4 * other[..., 2:]], -1)
    assert float(losses.content_loss({"conv44": hr}, {"conv44": sr})) < 1e-4


def test_checkerboard_loss_against_scipy(rng):
    """Detail is what two blurs of 3 pixels take away; its profiles are of the 4x4 sub-pixels, without a border."""
    hr, sr = rng.uniform(0, 255, (2, 2, 32, 40, 3)).astype("float32")

    def profile(images):
        blurred = uniform_filter(uniform_filter(images, (1, 3, 3, 1)), (1, 3, 3, 1))
        detail = (images - blurred)[:, 4:-4, 4:-4].reshape(2, 6, 4, 8, 4, 3)
        size = np.abs(detail).mean((1, 3))
        return np.stack([detail.mean((1, 3)), size]) / (size.mean((1, 2), keepdims=True) + 0.5)

    expected = np.mean((profile(hr) - profile(sr)) ** 2)
    assert float(losses.checkerboard_loss(hr, sr)) == pytest.approx(expected, rel=1e-3)


def test_checkerboard_loss_sees_dots_and_a_weave_and_nothing_else(rng):
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
    arrays |= {"conv44/kernel": rng.normal(size=(3, 3, 4, 5)), "conv44/bias": rng.normal(size=5)}
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    np.savez(tmp_path / "student.npz", **arrays)
    rgb = rng.uniform(0, 255, (1, 8, 8, 3)).astype("float32")
    features = losses.feature_network([tmp_path / "student.npz"])(rgb)
    expected = ops.conv(ops.max_pool(rgb / 255, 2), arrays["conv41/kernel"], padding="same") + arrays["conv41/bias"]
    assert list(features) == ["conv41", "conv44"]
    np.testing.assert_allclose(features["conv41"], expected, atol=1e-4)
    expected = ops.conv(ops.relu(expected), arrays["conv44/kernel"], padding="same") + arrays["conv44/bias"]
    np.testing.assert_allclose(features["conv44"], expected, atol=1e-4)


def test_the_deepest_features_of_a_distilled_network_are_compared_too(tmp_path):
    names = ["conv0", "conv11", "conv12", "conv21", "conv41", "conv44", "conv51"]
    arrays = {f"{name}/kernel": np.ones((1, 1, 3, 3), "float32") for name in names}
    arrays |= {f"{name}/bias": np.zeros(3, "float32") for name in names}
    np.savez(tmp_path / "student.npz", **arrays)
    assert list(losses.feature_network([tmp_path / "student.npz"]).output) == ["conv41", "conv44", "conv51"]


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
