"""The SRGAN's training step: generator and discriminator from one forward pass, with a teacher's features if wanted."""

import contextlib

import keras
import numpy as np
from keras import layers, ops

from superres import SCALE
from training.initialise import with_fast_tail
from training.losses import (
    adversarial_loss,
    checkerboard_loss,
    content_loss,
    discriminator_loss,
    hint_loss,
    l1_loss,
    standardised,
)

# The generator's layers whose features are compared with the teacher's.
HINTS = ("block03", "block07", "block11", "skip")


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


def hint_features(model: keras.Model) -> list:
    """The outputs of the layers ``HINTS`` of a network."""
    return [model.get_layer(name).output for name in HINTS]


def random_crop(images, size, seed):
    """A random window of ``size`` x ``size`` pixels, the same for the whole batch of square images."""
    batch, height, _, channels = ops.shape(images)
    corner = keras.random.randint((2,), 0, height - size + 1, seed=seed)
    return ops.slice(images, (0, corner[0], corner[1], 0), (batch, size, size, channels))


class SRGAN(keras.Model):
    """A generator that learns from the perceptual loss and, where ``weights`` say so, a discriminator and a teacher.

    Terms of the loss: content and pixel compare with the target, which is the original or what a teacher makes of it;
    adversarial and checkerboard with the original; hint compares features with the teacher's on the clean input
    (FitNets, Romero et al. 2015). A term of weight 0 is not computed.

    It trains on ((lr, clean), (hr, target)), batches as ``training.data.Patches`` makes them.

    network: the generator.  weights: {term: weight}, see ``training.losses.WEIGHTS``.  patch: side of an LR patch, at
    least 8.  features: the content term's network.  discriminator: for the adversarial term.  teacher: a generator,
    for the hint term.  crop: side of the window that the content and adversarial terms see, a multiple of 8; by
    default half of an HR patch's, since the content term costs more than the generator.
    """

    def __init__(self, network, weights, patch, features=None, discriminator=None, teacher=None, crop=None):
        super().__init__(name="srgan")
        self.network, self.loss_weights, self.features = network, weights, features
        self.discriminator = discriminator if weights["adversarial"] else None
        self.student, self.teacher, self.projections = with_fast_tail(network), None, []
        if weights["hint"]:
            hints = hint_features(self.student)
            self.student = keras.Model(self.student.input, [self.student.output, *hints])
            self.teacher = keras.Model(teacher.input, hint_features(teacher))
            for hint, taught in zip(hints, self.teacher.outputs, strict=True):
                self.projections.append(layers.Conv2D(taught.shape[-1], 1, use_bias=False, dtype="float32"))
                self.projections[-1].build(hint.shape)
        # The window's place is not limited to multiples of SCALE: VGG19's pooling, always in one phase, would cause a
        # checkerboard.
        self.crop_size = crop or SCALE * patch // 2 // 8 * 8
        self.crop_seed = keras.random.SeedGenerator()
        self.built = True  # or Keras would, on some backends, call it to see what it builds

    def compile(self, optimizer, auxiliary_optimizer):
        super().compile(optimizer)
        self.auxiliary_optimizer = auxiliary_optimizer
        optimizer.build(self.network.trainable_variables)
        auxiliary_optimizer.build(self.auxiliary_variables)

    @property
    def auxiliary_variables(self):
        """The weights that train beside the generator's."""
        discriminator = self.discriminator.trainable_variables if self.discriminator else []
        return [*discriminator, *self.projection_variables]

    @property
    def projection_variables(self):
        return [variable for layer in self.projections for variable in layer.trainable_variables]

    @property
    def state(self):
        """The variables that a run is resumed from, except those of the generator's optimizer."""
        discriminator = self.discriminator.weights if self.discriminator else []
        auxiliary = [*discriminator, *self.projection_variables, *self.auxiliary_optimizer.variables]
        return [*self.network.weights, *auxiliary, self.crop_seed.state]

    def fit_projections(self, pairs, ridge=0.01):
        """Set the projections by ridge regression on some batches (lr, clean): gradient steps would take thousands."""
        sums = [[0, 0] for _ in self.projections]
        for lr, clean in pairs:
            _, *hints = self.student(lr)
            for total, *sides in zip(sums, hints, self.teacher(clean), strict=True):
                hint, truth = (ops.convert_to_numpy(standardised(side)).reshape(-1, side.shape[-1]) for side in sides)
                total[0] += hint.T @ hint / len(hint)
                total[1] += hint.T @ truth / len(hint)
        for projection, (gram, product) in zip(self.projections, sums, strict=True):
            kernel = np.linalg.solve(gram + ridge * len(pairs) * np.eye(len(gram)), product)
            projection.kernel.assign(kernel[None, None])

    def losses(self, lr, clean, hr, target):
        """The terms of the loss, their weighted sum ("loss") and the discriminator's, by name."""
        weights, terms = self.loss_weights, {}
        sr, *hints = self.student(lr, training=True) if self.teacher else [self.student(lr, training=True)]
        hr_crop, target_crop, sr_crop = ops.split(
            random_crop(ops.concatenate([hr, target, sr]), self.crop_size, self.crop_seed), 3
        )
        if weights["content"]:
            terms["content"] = content_loss(self.features(target_crop), self.features(sr_crop))
        if weights["pixel"]:
            terms["pixel"] = l1_loss(target, sr)
        if weights["checkerboard"]:
            terms["checkerboard"] = checkerboard_loss(hr, sr)
        if self.discriminator:
            real, fake = ops.split(self.discriminator(ops.concatenate([hr_crop, sr_crop]), training=True), 2)
            terms["adversarial"] = adversarial_loss(real, fake)
            terms["discriminator"] = discriminator_loss(real, fake)
        if self.teacher:
            taught = list(map(standardised, self.teacher(clean, training=False)))
            pairs = zip(self.projections, map(standardised, hints), strict=True)
            terms["hint"] = hint_loss(taught, [projection(hint) for projection, hint in pairs])
        terms["loss"] = sum(weights[name] * term for name, term in terms.items() if name in weights)
        return terms

    def train_step(self, data):
        (lr, clean), (hr, target) = keras.tree.map_structure(ops.convert_to_tensor, data[:2])  # torch: NumPy
        with gradient_tape() as tape:
            terms = self.losses(lr, clean, hr, target)
        network = self.network.trainable_variables
        gradients = tape.gradient(terms["loss"], [*network, *self.projection_variables])
        auxiliary = gradients[len(network) :]
        if self.discriminator:
            auxiliary = [*tape.gradient(terms["discriminator"], self.discriminator.trainable_variables), *auxiliary]
        self.optimizer.apply(gradients[: len(network)], network)
        if auxiliary:
            self.auxiliary_optimizer.apply(auxiliary, self.auxiliary_variables)
        return terms


def gradient_tape():
    """A context whose ``gradient(loss, variables)`` differentiates what was computed in it, more than once."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.GradientTape(persistent=True)
    if keras.backend.backend() == "torch":
        return contextlib.nullcontext(TorchTape)
    raise NotImplementedError("on JAX, the SRGAN trains with --resident")


class TorchTape:
    @staticmethod
    def gradient(loss, variables):
        import torch

        return torch.autograd.grad(loss, [variable.value for variable in variables], retain_graph=True)
