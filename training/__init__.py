"""How the weights came to be: data, losses, training and evaluation."""

import superres.backend  # noqa: F401  (quietens TensorFlow before anything else imports it)
