"""The training step of SRGAN (Ledig et al. 2017): generator and discriminator from one forward pass."""

import keras
from keras import layers, ops

from training.initialise import with_fast_tail
from training.losses import PIXEL_LOSSES, content_loss, relativistic_loss
from training.settings import NOISE


def discriminator(channels: int = 32) -> keras.Model:
    """U-Net discriminator with spectral normalisation (Wang et al. 2021, Real-ESRGAN, section 3.3).

    RGB in [0, 255], (b, h, w, 3), to a logit for every pixel, (b, h, w, 1); h and w must be multiples of 8. Unlike
    Real-ESRGAN's it downscales by average pooling, since strided convolutions, which see some pixels more often than
    others, teach the generator a checkerboard; all of its layers are normalised; and it sees only what a blur of 9
    pixels takes away, so that it cannot teach a colour cast.
    """

    def normalised(filters, **options):
        # Its arithmetic in float32: it assigns the kernels, which bfloat16 would round at every step.
        return layers.SpectralNormalization(layers.Conv2D(filters, 3, padding="same", **options), dtype="float32")

    def conv(x, filters):
        return layers.LeakyReLU(0.2)(normalised(filters)(x))

    def down(x):
        return layers.AveragePooling2D(2)(x)

    def up(x):
        return layers.UpSampling2D(2, interpolation="bilinear")(x)

    inputs = keras.Input((None, None, 3))
    image = layers.Rescaling(1 / 127.5, dtype="float32")(inputs)
    blurred = layers.AveragePooling2D(9, strides=1, padding="same", dtype="float32")(image)
    texture = layers.Subtract(dtype="float32", name="texture")([image, blurred])
    x0 = conv(texture, channels)
    x1 = conv(down(x0), 2 * channels)
    x2 = conv(down(x1), 4 * channels)
    x3 = conv(down(x2), 8 * channels)
    x4 = up(conv(x3, 4 * channels))
    x4 = x4 + x2
    x5 = up(conv(x4, 2 * channels))
    x5 = x5 + x1
    x6 = up(conv(x5, channels))
    x6 = x6 + x0
    x7 = conv(x6, channels)
    return keras.Model(inputs, normalised(1, dtype="float32")(x7), name="discriminator")


def whole_levels(image):
    """An image clipped to [0, 255] and rounded, as a file holds it; the gradient passes as if it were not."""
    return image + ops.stop_gradient(ops.round(ops.clip(image, 0, 255)) - image)


def random_crop(images, size, seed):
    """A random window of ``size`` x ``size`` pixels, the same for the whole batch of square images.

    Its place is no multiple of SCALE: VGG19's pooling, always in one phase, would cause a checkerboard.
    """
    batch, height, _, channels = ops.shape(images)
    corner = keras.random.randint((2,), 0, height - size + 1, seed=seed)
    return ops.slice(images, (0, corner[0], corner[1], 0), (batch, size, size, channels))


class Trainer(keras.Model):
    """Trains a network on a weighted sum of losses, and where one of them is adversarial a discriminator beside it.

    Batches are those of ``training.data.Patches``.

    network: a generator, or the SRCNN.  weights: {term: weight}, see ``training.losses``.  crop: side of the window
    that the content and adversarial terms see, a multiple of 8.  features, discriminator: the networks of these terms.
    """

    def __init__(self, network, weights, crop=None, features=None, discriminator=None):
        super().__init__(name="trainer")
        self.network, self.features, self.discriminator = network, features, discriminator
        self.loss_weights, self.crop = weights, crop
        self.fast_network = with_fast_tail(network)
        self.seed = keras.random.SeedGenerator()  # of windows and noise
        self.built = True  # or Keras would, on some backends, call it to see what it builds

    def compile(self, optimizer, discriminator_optimizer):
        super().compile(optimizer)
        self.discriminator_optimizer = discriminator_optimizer
        optimizer.build(self.network.trainable_variables)
        discriminator_optimizer.build(self.discriminator_variables)

    @property
    def discriminator_variables(self):
        return self.discriminator.trainable_variables if self.discriminator else []

    @property
    def state(self):
        """All that a step changes: weights, the optimizers' variables, and what else changes in a forward pass."""
        discriminator = self.discriminator.non_trainable_variables if self.discriminator else []
        return [
            self.network.trainable_variables,
            self.discriminator_variables,
            self.optimizer.variables,
            self.discriminator_optimizer.variables,
            [*discriminator, self.seed.state],
        ]

    def logits(self, images, seed, training=False):
        """The discriminator's judgement of images, seen through noise."""
        noise = keras.random.normal(ops.shape(images), stddev=NOISE, dtype="float32", seed=seed)
        return self.discriminator(images + noise, training=training)

    def losses(self, lr, hr, shifts=(0.0, 0.0)):
        """The terms of the loss by name, their weighted sum ("loss") and the discriminator's; its mean logits.

        shifts: added to the image that is compared and to that which is judged, to take gradients by.
        """
        weights = self.loss_weights
        sr = self.fast_network(lr, training=True)
        compared, judged = (sr + shift for shift in shifts)
        terms = {name: loss(hr, compared) for name, loss in PIXEL_LOSSES.items() if name in weights}
        if "content" in weights or self.discriminator:
            images = ops.concatenate([hr, compared, whole_levels(judged)])
            hr, compared, judged = ops.split(random_crop(images, self.crop, self.seed), 3)
        if "content" in weights:
            terms["content"] = content_loss(self.features(hr), self.features(compared))
        if self.discriminator:
            logits = self.logits(ops.concatenate([hr, judged]), self.seed, training=True)
            real, fake = ops.split(logits, 2)
            terms |= {"adversarial": relativistic_loss(fake, real), "discriminator": relativistic_loss(real, fake)}
            terms |= {"real": ops.mean(real), "fake": ops.mean(fake)}
        terms["loss"] = sum(weight * terms[name] for name, weight in weights.items())
        return terms

    def gradient_sums(self, gradients):
        """Of the gradients by the ``shifts`` of the weighted loss: the sums of |d loss / d pixel|, by name."""
        names = ("gradient", "adversarial_gradient") if self.discriminator else ()
        return {name: ops.sum(ops.abs(gradient)) for name, gradient in zip(names, gradients, strict=False)}

    def train_step(self, data):
        """One step of both networks on TensorFlow; ``training.resident`` has that of JAX."""
        import tensorflow as tf

        lr, hr, _ = keras.utils.unpack_x_y_sample_weight(data)
        shifts = [tf.zeros_like(hr), tf.zeros_like(hr)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(shifts)
            terms = self.losses(lr, hr, shifts)
        # Both gradients are of the weights before the step.
        gradients, by_shifts = tape.gradient(terms["loss"], (self.network.trainable_variables, shifts))
        if self.discriminator:
            discriminator_gradients = tape.gradient(terms["discriminator"], self.discriminator_variables)
            self.discriminator_optimizer.apply(discriminator_gradients, self.discriminator_variables)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return terms | self.gradient_sums(by_shifts)
