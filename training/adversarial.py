"""The training step of SRGAN (Ledig et al. 2017): generator and discriminator from one forward pass."""

import keras
from keras import layers, ops

from superres import SCALE
from training.initialise import with_fast_tail
from training.losses import adversarial_loss, checkerboard_loss, content_loss, discriminator_loss, l1_loss


def discriminator(channels: int = 32) -> keras.Model:
    """U-Net discriminator with spectral normalisation (Wang et al. 2021, Real-ESRGAN, section 3.3).

    RGB in [0, 255], (b, h, w, 3), to a logit for every pixel, (b, h, w, 1); h and w must be multiples of 8. It
    downscales by average pooling, since strided convolutions, which see some pixels more often than others, teach the
    generator a checkerboard. It sees only what a blur of 9 pixels takes away, so that it cannot teach a colour cast,
    and once more what a blur of 3 pixels takes away, amplified: real and fake differ in little else.
    """

    def conv(x, filters):
        x = layers.SpectralNormalization(layers.Conv2D(filters, 3, padding="same"))(x)
        return layers.LeakyReLU(0.2)(x)

    inputs = keras.Input((None, None, 3))
    image = layers.Rescaling(1 / 127.5, -1)(inputs)
    texture, detail = (
        layers.Subtract()([image, layers.AveragePooling2D(size, strides=1, padding="same")(image)]) for size in (9, 3)
    )
    x = layers.Concatenate()([texture, layers.Rescaling(8)(detail)])
    x = layers.LeakyReLU(0.2)(layers.Conv2D(channels, 3, padding="same")(x))
    skips = []
    for factor in (2, 4, 8):
        skips.append(x)
        x = conv(layers.AveragePooling2D(2)(x), factor * channels)
    for skip in reversed(skips):
        x = layers.UpSampling2D(2, interpolation="bilinear")(conv(x, skip.shape[-1]))
        x = layers.Add()([x, skip])
    x = conv(x, channels)
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same", dtype="float32")(x), name="discriminator")


def random_crop(images, size, seed):
    """A random window of ``size`` x ``size`` pixels, the same for the whole batch of square images."""
    batch, height, _, channels = ops.shape(images)
    corner = keras.random.randint((2,), 0, height - size + 1, seed=seed)
    return ops.slice(images, (0, corner[0], corner[1], 0), (batch, size, size, channels))


class Trainer(keras.Model):
    """Trains a generator on the perceptual loss, and where ``weights`` say so a discriminator beside it.

    With the pixel term alone it trains SRResNet. A term of weight 0 is not computed. Batches are those of
    ``training.data.Patches``.

    network: the generator.  weights: {term: weight}, see ``training.losses.WEIGHTS``.  patch: side of an LR patch, at
    least 8.  features: the content term's network.  discriminator: for the adversarial term.  crop: side of the window
    that the content and adversarial terms see, a multiple of 8; by default half of an HR patch's, since the content
    term costs more than the generator.
    """

    def __init__(self, network, weights, patch, features=None, discriminator=None, crop=None):
        super().__init__(name="trainer")
        self.network, self.loss_weights, self.features = network, weights, features
        self.discriminator = discriminator if weights["adversarial"] else None
        self.fast_network = with_fast_tail(network)
        # The window's place is not limited to multiples of SCALE: VGG19's pooling, always in one phase, would cause a
        # checkerboard.
        self.crop_size = crop or SCALE * patch // 2 // 8 * 8
        self.crop_seed = keras.random.SeedGenerator()
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
        """The variables that a run is resumed from, except those of the generator's optimizer."""
        discriminator = self.discriminator.weights if self.discriminator else []
        return [*self.network.weights, *discriminator, *self.discriminator_optimizer.variables, self.crop_seed.state]

    def losses(self, lr, hr):
        """The terms of the loss, their weighted sum ("loss") and the discriminator's, by name."""
        weights, terms = self.loss_weights, {}
        sr = self.fast_network(lr, training=True)
        hr_crop, sr_crop = ops.split(random_crop(ops.concatenate([hr, sr]), self.crop_size, self.crop_seed), 2)
        if weights["content"]:
            terms["content"] = content_loss(self.features(hr_crop), self.features(sr_crop))
        if weights["pixel"]:
            terms["pixel"] = l1_loss(hr, sr)
        if weights["checkerboard"]:
            terms["checkerboard"] = checkerboard_loss(hr, sr)
        if self.discriminator:
            real, fake = ops.split(self.discriminator(ops.concatenate([hr_crop, sr_crop]), training=True), 2)
            terms["adversarial"] = adversarial_loss(real, fake)
            terms["discriminator"] = discriminator_loss(real, fake)
        terms["loss"] = sum(weights[name] * term for name, term in terms.items() if name in weights)
        return terms

    def train_step(self, data):
        """One step of both networks on TensorFlow; ``training.resident`` has that of JAX."""
        import tensorflow as tf

        lr, hr, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=True) as tape:
            terms = self.losses(lr, hr)
        # Both gradients are of the weights before the step.
        generator_gradients = tape.gradient(terms["loss"], self.network.trainable_variables)
        if self.discriminator:
            discriminator_gradients = tape.gradient(terms["discriminator"], self.discriminator_variables)
            self.discriminator_optimizer.apply(discriminator_gradients, self.discriminator_variables)
        self.optimizer.apply(generator_gradients, self.network.trainable_variables)
        return terms
