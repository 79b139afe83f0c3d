"""What the tests of GIFs share: generated content, and the frames as other readers see them."""

import cv2
import numpy as np
from hypothesis import HealthCheck, settings
from PIL import Image, ImageSequence

PALETTE = np.random.default_rng(0).permutation(256**3)[:256].astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].copy()
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def rgba(frame):
    """RGBA with alpha 0 or 255 and nothing under alpha 0: what a GIF can tell apart."""
    if frame.shape[2] == 3:
        return np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    visible = frame[..., 3:] >= 128
    return np.where(visible, np.dstack([frame[..., :3], np.full(frame.shape[:2], 255, np.uint8)]), 0)


def pillow_frames(path):
    with Image.open(path) as image:
        return [rgba(np.asarray(frame.convert("RGBA"))) for frame in ImageSequence.Iterator(image)]


def opencv_frames(path):
    """Frames as RGBA, durations in milliseconds, number of plays."""
    _, animation = cv2.imreadanimation(str(path))
    swapped = [frame[..., [2, 1, 0, 3][: frame.shape[2]]] for frame in animation.frames]
    return [rgba(frame) for frame in swapped], list(animation.durations), animation.loop_count


def write(path, data):
    path.write_bytes(data)
    return path


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
