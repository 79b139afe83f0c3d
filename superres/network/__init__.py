"""From an image to the image x4: the networks, their weights, and how they are run."""
