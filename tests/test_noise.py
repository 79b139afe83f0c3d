import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

from superres.images.degrade import degrade
from superres.images.files import read_image, save_image
from superres.images.image import bicubic_upscale
from superres.images.noise import visible_noise

FUR = read_image(ROOT / "images/kinds/fur.jpg")


def with_noise(image, sigma, rng):
    return np.clip(np.rint(image + rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [6, 14, 25])
def test_noise_is_what_a_perfect_network_takes_away(rng, sigma):
    clean = degrade(FUR, "clean")
    noisy = with_noise(clean, sigma, rng)
    assert clean.shape == (75, 112, 3)
    middle = clean[:, 8:104].copy()
    assert visible_noise(noisy, lambda _: bicubic_upscale(middle), bicubic_upscale) == pytest.approx(sigma, rel=0.15)


def test_texture_is_no_noise(rng):
    """However strong: a network that keeps it takes nothing away."""
    texture = cv2.GaussianBlur(rng.integers(0, 256, (120, 120, 3), np.uint8), (0, 0), 1)
    assert visible_noise(texture, bicubic_upscale, bicubic_upscale) == 0


def test_texture_that_only_one_network_takes_away_is_no_noise(rng):
    """It has drawn another in its place."""
    texture = cv2.GaussianBlur(rng.integers(0, 256, (120, 120, 3), np.uint8), (0, 0), 1)
    other = bicubic_upscale(texture[::-1, ::-1][12:108, 12:108].copy())
    assert visible_noise(texture, lambda _: other, bicubic_upscale) == 0
    assert visible_noise(texture, lambda _: other, lambda _: other) > 3


def test_where_the_network_at_hand_keeps_everything_the_other_is_not_asked(rng):
    """Its weights take longer to load than the image to look at."""

    def denoise(_):
        raise AssertionError("asked")

    texture = cv2.GaussianBlur(rng.integers(0, 256, (120, 120, 3), np.uint8), (0, 0), 1)
    assert visible_noise(texture, denoise, bicubic_upscale) == 0


def test_smooth_areas_are_enough_to_say_that_there_is_none(rng):
    """Then the network, which takes its time, is not asked: a fifth of the image is smooth, the rest is noise."""

    def denoise(_):
        raise AssertionError("asked")

    image = rng.integers(0, 256, (100, 100, 3), np.uint8)
    image[:20] = 100
    assert visible_noise(image, denoise, denoise) == 0
    with pytest.raises(AssertionError, match="asked"):
        visible_noise(image[10:], denoise, denoise)


@pytest.mark.parametrize("shape", [(1, 1), (15, 300), (16, 16), (17, 40), (95, 97), (200, 96)])
def test_images_of_any_size(rng, shape):
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    seen = []

    def grey(part):
        seen.append(part.shape)
        return np.full((4 * part.shape[0], 4 * part.shape[1], 3), 128, np.uint8)

    noise = visible_noise(image, grey, grey)
    assert (noise == 0) == (min(shape) < 16)
    assert seen == [(min(shape[0], 96), min(shape[1], 96), 3)] * 2 * (min(shape) >= 16)


def test_the_command_line_says_where_another_network_serves_better(tmp_path):
    for name in ("clean", "strong"):
        lr = degrade(FUR, name)
        save_image(tmp_path / f"{name}.png", lr[: lr.shape[0] // 2, : lr.shape[1] // 2])
    command = [sys.executable, ROOT / "srgan.py", "clean.png", "strong.png", "-o", "out", "--dtype", "float32"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    said = [line for line in run.stderr.replace("\r", "\n").splitlines() if "noise" in line]
    assert run.returncode == 0 and len(said) == 1
    assert said[0].startswith("srgan.py: strong.png: noise of about ")
    assert said[0].endswith(" grey levels: --method photo removes it")
    again = subprocess.run([*command, "--overwrite", "--method", "photo"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and "noise" not in again.stderr
