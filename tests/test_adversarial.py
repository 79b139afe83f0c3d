import keras
import numpy as np
import pytest
from keras import ops

from superres.network.models import generator
from training import adversarial, losses
from training.adversarial import Trainer

tf = pytest.importorskip("tensorflow")


def test_discriminator_judges_every_pixel(rng):
    logits = adversarial.discriminator(channels=4)(rng.uniform(0, 255, (2, 32, 40, 3)))
    assert logits.shape == (2, 32, 40, 1)


def test_discriminator_knows_no_colours(rng):
    """What does not change from pixel to pixel does not change its judgement."""
    model, image = adversarial.discriminator(channels=4), rng.uniform(50, 150, (1, 16, 16, 3)).astype("float32")
    tinted = image + np.array([60, -30, 10], "float32")
    np.testing.assert_allclose(model(tinted), model(image), atol=1e-3)
    assert np.abs(model(image[:, ::-1]) - model(image)).max() > 1e-2


def test_discriminators_inner_convolutions_have_a_norm_of_1(rng):
    model, images = adversarial.discriminator(channels=4), rng.uniform(0, 255, (1, 16, 16, 3))
    normalised = [layer for layer in model.layers if isinstance(layer, keras.layers.SpectralNormalization)]
    for _ in range(25):
        model(images, training=True)
    assert len(normalised) == 7  # three down, three up, one more
    for layer in normalised:
        kernel = ops.convert_to_numpy(layer.layer.kernel)
        assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1, rel=0.1)


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

    def crop(self, images):
        return images[:, 3:35, 5:37]

    def trainer(self, **weights):
        trainer = Trainer(self.network, self.WEIGHTS | weights, 16, self.features, self.discriminator)
        trainer.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        return trainer

    def expected(self):
        lr, hr = self.data
        sr = self.network(lr)
        real, fake = self.discriminator(self.crop(hr)), self.discriminator(self.crop(sr))
        terms = {
            "content": losses.content_loss(self.features(self.crop(hr)), self.features(self.crop(sr))),
            "adversarial": losses.adversarial_loss(real, fake),
            "pixel": losses.l1_loss(hr, sr),
            "checkerboard": losses.checkerboard_loss(hr, sr),
        }
        terms["loss"] = sum(self.WEIGHTS[name] * term for name, term in terms.items())
        return terms | {"discriminator": losses.discriminator_loss(real, fake)}

    def test_terms_and_gradients_are_those_of_the_plain_networks(self):
        groups = {
            "loss": self.network.trainable_variables,
            "discriminator": self.discriminator.trainable_variables,
        }
        before = {name: [variable.numpy() for variable in variables] for name, variables in groups.items()}
        with tf.GradientTape(persistent=True) as tape:
            expected = self.expected()
        gradients = {name: tape.gradient(expected[name], variables) for name, variables in groups.items()}
        terms = self.trainer().train_step(self.data)
        assert {name: float(term) for name, term in terms.items()} == pytest.approx(
            {name: float(term) for name, term in expected.items()}, rel=1e-4
        )
        for name, variables in groups.items():
            for variable, start, gradient in zip(variables, before[name], gradients[name], strict=True):
                atol = 1e-3 * np.abs(gradient).max() + 1e-7
                np.testing.assert_allclose(start - variable, 0.1 * gradient, rtol=1e-2, atol=atol)

    @pytest.mark.parametrize("term", WEIGHTS)
    def test_a_term_of_weight_0_is_neither_computed_nor_trained(self, term):
        if term == "content":
            self.features = None
        trainer = self.trainer(**{term: 0.0})
        terms = trainer.train_step(self.data)
        gone = {term, "discriminator"} if term == "adversarial" else {term}
        assert set(terms) == {*self.WEIGHTS, "loss", "discriminator"} - gone
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


def test_the_crop_is_of_half_the_patch_and_a_multiple_of_8():
    weights = dict.fromkeys(losses.WEIGHTS, 0)
    sizes = [Trainer(generator(blocks=1, channels=4), weights, patch).crop_size for patch in (8, 15, 24)]
    assert sizes == [16, 24, 48]
