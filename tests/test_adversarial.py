import keras
import numpy as np
import pytest
from keras import ops
from scipy.ndimage import uniform_filter

from superres.network.models import generator
from training import adversarial, losses, settings
from training.adversarial import Trainer

tf = pytest.importorskip("tensorflow")


def normalised(model):
    return [layer.layer for layer in model.layers if isinstance(layer, keras.layers.SpectralNormalization)]


def repeat(count, step):
    compiled = tf.function(step)
    for _ in range(count):
        compiled()


def test_discriminator_judges_every_pixel(rng):
    logits = adversarial.discriminator(channels=4)(rng.uniform(0, 255, (2, 32, 40, 3)))
    assert logits.shape == (2, 32, 40, 1)


def test_discriminator_is_the_unet_of_real_esrgan(rng):
    """Against the same U-Net in plain operations."""
    model, image = adversarial.discriminator(channels=4), rng.uniform(0, 255, (1, 32, 40, 3)).astype("float32")
    weights = iter([(layer.kernel, layer.bias) for layer in normalised(model)])

    def conv(x, slope=0.2):
        kernel, bias = next(weights)
        return ops.leaky_relu(ops.conv(x, kernel, padding="same") + bias, slope)

    def down(x):
        return ops.average_pool(x, 2)

    def up(x):
        return ops.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), interpolation="bilinear")

    # What a box blur of 9 x 9 pixels, at a border of those inside, takes away.
    inside = uniform_filter(np.ones_like(image), (0, 9, 9, 0), mode="constant")
    texture = (image - uniform_filter(image, (0, 9, 9, 0), mode="constant") / inside) / 127.5
    np.testing.assert_allclose(keras.Model(model.input, model.get_layer("texture").output)(image), texture, atol=1e-4)
    x0 = conv(texture)
    x1 = conv(down(x0))
    x2 = conv(down(x1))
    x = up(conv(conv(down(x2)))) + x2
    x = up(conv(x)) + x1
    x = up(conv(x)) + x0
    np.testing.assert_allclose(model(image), conv(conv(x), slope=1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.usefixtures("bfloat16")
def test_discriminator_knows_no_colours(policy, rng):
    """What does not change from pixel to pixel does not change its judgement."""
    keras.config.set_dtype_policy(policy)
    model, image = adversarial.discriminator(channels=4), rng.uniform(50, 150, (1, 16, 16, 3)).astype("float32")
    texture = keras.Model(model.input, model.get_layer("texture").output)
    for grey in (10, 60, 140, 250):
        assert 127.5 * np.abs(texture(np.full((1, 16, 16, 3), grey, "float32"))).max() < 1e-3
    tinted = image + np.array([60, -30, 10], "float32")
    np.testing.assert_allclose(texture(tinted), texture(image), atol=1e-5)
    assert np.abs(model(image[:, ::-1]) - model(image)).max() > 1e-3


def test_all_of_the_discriminators_convolutions_have_a_norm_of_1(rng):
    model, images = adversarial.discriminator(channels=4), rng.uniform(0, 255, (1, 16, 16, 3))
    repeat(25, lambda: model(images, training=True))
    assert len(normalised(model)) == 9 and len(model.trainable_variables) == 18
    for layer in normalised(model):
        kernel = ops.convert_to_numpy(layer.kernel)
        assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1, rel=0.05)


@pytest.mark.usefixtures("bfloat16")
def test_in_mixed_precision_the_discriminators_kernels_take_small_steps(rng):
    """Twenty steps of 1e-5 at most in directions that change no kernel's norm arrive, though each is normalised."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, images = adversarial.discriminator(channels=4), rng.uniform(0, 255, (1, 8, 8, 3))
    repeat(50, lambda: model(images, training=True))
    kernels = [layer.kernel for layer in normalised(model)]
    starts = [ops.convert_to_numpy(kernel) for kernel in kernels]
    steps = [rng.uniform(-1e-5, 1e-5, start.shape) for start in starts]
    steps = [step - start * np.sum(step * start) / np.sum(start**2) for step, start in zip(steps, starts, strict=True)]

    def forward():
        for kernel, step in zip(kernels, steps, strict=True):
            kernel.assign_add(step)
        model(images, training=True)

    repeat(20, forward)
    for kernel, start, step in zip(kernels, starts, steps, strict=True):
        moved = ops.convert_to_numpy(kernel) - start
        assert np.sum(moved * step) / np.sum(20 * step**2) == pytest.approx(1, abs=0.1)


def test_the_fake_is_judged_as_a_file_would_hold_it():
    """Whole grey levels in range, and a gradient as if they were not."""
    image = tf.constant([-7.3, 0.4, 99.6, 254.7, 300.2])
    with tf.GradientTape() as tape:
        tape.watch(image)
        levels = adversarial.whole_levels(image)
    np.testing.assert_allclose(levels, [0, 0, 100, 255, 255], atol=1e-4)
    np.testing.assert_array_equal(tape.gradient(levels, image), np.ones(5))


@pytest.mark.usefixtures("tiny")
class TestStep:
    """A step of an SRGAN with every term, against the terms and gradients of the plain networks."""

    WEIGHTS = {"content": 1.0, "adversarial": 0.5, "pixel": 10.0, "checkerboard": 2.0}

    @pytest.fixture(autouse=True)
    def networks(self, rng, vgg, monkeypatch):
        self.network = generator(blocks=1, channels=8)
        self.features = losses.feature_network([vgg])
        inputs = keras.Input((None, None, 3))
        logits = keras.layers.Conv2D(1, 3, padding="same")(keras.layers.Rescaling(1 / 255)(inputs))
        self.discriminator = keras.Model(inputs, logits)
        self.data = tuple(rng.uniform(0, 255, (2, side, side, 3)).astype("float32") for side in (16, 64))
        monkeypatch.setattr(adversarial, "random_crop", lambda images, size, seed: self.crop(images))
        monkeypatch.setattr(adversarial, "NOISE", 0.0)

    def crop(self, images):
        return images[:, 3:35, 5:37]

    def trainer(self, **weights):
        weights = {term: weight for term, weight in (self.WEIGHTS | weights).items() if weight}
        judge = self.discriminator if "adversarial" in weights else None
        trainer = Trainer(self.network, weights, 32, self.features, judge)
        trainer.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        return trainer

    def expected(self, tape):
        lr, hr = self.data
        sr = self.network(lr)
        judged = self.crop(sr)
        judged += tf.stop_gradient(np.clip(np.rint(judged), 0, 255) - judged)
        real, fake = self.discriminator(self.crop(hr)), self.discriminator(judged)
        terms = {
            "content": losses.content_loss(self.features(self.crop(hr)), self.features(self.crop(sr))),
            "adversarial": losses.relativistic_loss(fake, real),
            "pixel": losses.l1_loss(hr, sr),
            "checkerboard": losses.checkerboard_loss(hr, sr),
        }
        weighted = {name: self.WEIGHTS[name] * term for name, term in terms.items()}
        terms["loss"] = sum(weighted.values())
        adversarial_gradient = tape.gradient(weighted["adversarial"], sr)
        terms["gradient"] = np.abs(tape.gradient(terms["loss"], sr) - adversarial_gradient).sum()
        terms["adversarial_gradient"] = np.abs(adversarial_gradient).sum()
        logits = {"real": np.mean(real), "fake": np.mean(fake)}
        return terms | logits | {"discriminator": losses.relativistic_loss(real, fake)}

    def test_terms_and_gradients_are_those_of_the_plain_networks(self):
        groups = {
            "loss": self.network.trainable_variables,
            "discriminator": self.discriminator.trainable_variables,
        }
        before = {name: [variable.numpy() for variable in variables] for name, variables in groups.items()}
        with tf.GradientTape(persistent=True) as tape:
            expected = self.expected(tape)
        gradients = {name: tape.gradient(expected[name], variables) for name, variables in groups.items()}
        terms = self.trainer().train_step(self.data)
        assert {name: float(term) for name, term in terms.items()} == pytest.approx(
            {name: float(term) for name, term in expected.items()}, rel=1e-3
        )
        for name, variables in groups.items():
            for variable, start, gradient in zip(variables, before[name], gradients[name], strict=True):
                atol = 1e-3 * np.abs(gradient).max() + 1e-7
                np.testing.assert_allclose(start - variable, 0.1 * gradient, rtol=1e-2, atol=atol)

    def test_real_and_fake_are_judged_through_noise(self, monkeypatch):
        """Of 4 grey levels, drawn anew for each image, and again the same from the same seed."""
        seen = []
        monkeypatch.setattr(adversarial, "NOISE", settings.NOISE)
        trainer = self.trainer(content=0.0)
        monkeypatch.setattr(trainer, "discriminator", lambda images, training: (seen.append(images), images)[1])
        _, hr = self.data
        start = trainer.seed.state.numpy()
        for _ in range(2):
            trainer.seed.state.assign(start)
            trainer.losses(*self.data)
        trainer.losses(*self.data)
        one, again, later = map(np.asarray, seen)
        np.testing.assert_array_equal(one, again)
        assert np.abs(later - one).mean() > 1
        sr = np.clip(np.rint(self.crop(self.network(self.data[0]))), 0, 255)
        noise = one - np.concatenate([self.crop(hr), sr])
        assert noise.std((1, 2, 3)) == pytest.approx(np.full(4, 4.0), rel=0.05)
        assert np.abs(np.corrcoef(noise.reshape(4, -1)) - np.eye(4)).max() < 0.1

    @pytest.mark.parametrize("term", WEIGHTS)
    def test_a_term_of_weight_0_is_neither_computed_nor_trained(self, term):
        if term == "content":
            self.features = None
        trainer = self.trainer(**{term: 0.0})
        terms = trainer.train_step(self.data)
        judged = {"adversarial", "discriminator", "real", "fake", "gradient", "adversarial_gradient"}
        gone = judged if term == "adversarial" else {term}
        assert set(terms) == {*self.WEIGHTS, "loss", *judged} - gone
        assert len(trainer.discriminator_variables) == (0 if term == "adversarial" else 2)

    def test_the_pixel_term_alone_needs_no_other_network(self):
        zeros = dict.fromkeys(self.WEIGHTS, 0.0)
        self.features = self.discriminator = None
        trainer = self.trainer(**(zeros | {"pixel": 1.0}))
        before = self.network.get_weights()
        assert set(trainer.train_step(self.data)) == {"pixel", "loss"}
        assert not np.array_equal(before[0], self.network.get_weights()[0])


def test_crops_are_the_same_in_a_batch_and_everywhere_in_time():
    place = np.arange(12 * 12, dtype="float32").reshape(1, 12, 12, 1).repeat(2, axis=0)
    seed, corners = keras.random.SeedGenerator(0), set()
    for _ in range(200):
        one, other = ops.convert_to_numpy(adversarial.random_crop(place, 9, seed))
        y, x = divmod(int(one[0, 0, 0]), 12)
        np.testing.assert_array_equal(one, place[0, y : y + 9, x : x + 9])
        np.testing.assert_array_equal(other, one)
        corners.add((y, x))
    assert corners == {(y, x) for y in range(4) for x in range(4)}
