"""What is measured of images, and the figures and tables made of it."""

import base64

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from superres import figures, measures
from superres.gif_writer import save_gif


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def waves(height, width, frequency):
    """Vertical stripes of so many cycles per pixel, grey."""
    wave = 127.5 + 100 * np.sin(2 * np.pi * frequency * np.arange(width))
    return np.tile(wave.round().astype(np.uint8)[None, :, None], (height, 1, 3))


def test_luma_is_bt601(image):
    np.testing.assert_allclose(measures.luma(image), rgb2ycbcr(image)[..., 0], atol=1e-6)


def test_quality_leaves_the_border_out(image):
    other = image.copy()
    other[:4], other[-4:], other[:, :4], other[:, -4:] = 0, 0, 0, 0
    other[12, 16] = 255 - other[12, 16]
    psnr, ssim = measures.psnr_ssim(image, other)
    inner = np.s_[4:-4, 4:-4]
    expected = peak_signal_noise_ratio(measures.luma(image)[inner], measures.luma(other)[inner], data_range=255)
    assert psnr == pytest.approx(expected) and psnr > 25
    assert 0.9 < ssim < 1


def test_blur_and_fine_detail_tell_sharp_from_blurred():
    sharp, smooth = waves(64, 64, 0.3), waves(64, 64, 0.02)
    assert measures.blur(sharp) < measures.blur(smooth)
    assert measures.fine_detail(sharp) > 50 > 1 > measures.fine_detail(smooth)


def test_unevenness_is_that_of_the_sub_pixels(rng):
    noise = rng.normal(0, 20, (256, 256, 1))
    even, dotted = (128 + noise * np.tile([[1, 1, 1, last]] * 4, (64, 64))[..., None] for last in (1, 2))
    even, dotted = (np.clip(rgb, 0, 255).astype(np.uint8).repeat(3, axis=2) for rgb in (even, dotted))
    assert measures.checkerboard_strength(even) < 0.02
    assert 0.2 < measures.checkerboard_strength(dotted) < np.std([1, 1, 1, 2]) / np.mean([1, 1, 1, 2])
    assert measures.checkerboard_strength(np.zeros((8, 8, 3), np.uint8)) == 0


def test_coherence_is_high_for_stripes_and_low_for_noise(rng):
    assert measures.coherence(waves(64, 64, 0.05)) > 0.95
    assert measures.coherence(rng.integers(0, 256, (96, 96, 3), np.uint8)) < 0.3


def test_colourfulness_of_grey_is_none(image):
    assert measures.colourfulness(waves(8, 8, 0.1)) == 0
    assert measures.colourfulness(image) > 50


def test_spectrum_peaks_where_the_stripes_are():
    frequency, power = measures.radial_spectrum(waves(96, 96, 0.25))
    assert frequency[power.argmax()] == pytest.approx(0.25, abs=0.5 / 48)


def test_power_adds_up_to_the_variance(image):
    _, power = measures.power_per_frequency(np.tile(image, (4, 4, 1)))
    assert power.sum() == pytest.approx(measures.luma(image).var(), rel=0.2)


def test_compare_shows_the_crops_pixel_by_pixel(image):
    figure = figures.compare({"A": image, "B": 255 - image}, [(5, 3, 8, 6)], image)
    titles = [axis.get_title() for axis in figure.axes[:2]]
    assert titles[0] == "A\n32x24" and "B\n32x24" in titles[1] and "dB" in titles[1]
    shown = [axis.images[0].get_array() for axis in figure.axes[2:]]
    np.testing.assert_array_equal(shown[0], image[3:9, 5:13])
    np.testing.assert_array_equal(shown[1], 255 - image[3:9, 5:13])
    assert figure.axes[2].images[0].get_interpolation() == "nearest"


def test_mosaic_and_zoom_keep_images_in_order(image):
    parts = figures.zoom({str(i): image + i for i in range(3)}, (2, 1, 8, 4))
    figure = figures.mosaic(parts, columns=2)
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), image[1:5, 2:10] + 2)
    assert not figure.axes[3].images


def test_tables_hold_what_was_measured(image, tmp_path):
    text = figures.metrics_table({"Same": image[::-1]}, image).data
    assert f"{measures.psnr_ssim(image, image[::-1])[0]:.3f}" in text
    save_gif(tmp_path / "a.gif", [image, 255 - image], [40, 60], loop=None)
    row = figures.gif_table({"Clip": tmp_path / "a.gif"}).data.splitlines()[-1]
    assert row == f"| Clip | 2 | 32x24 | 100 ms | once | {(tmp_path / 'a.gif').stat().st_size:,} |"


def test_gains_are_differences_to_bicubic(image, rng):
    images = {
        name: np.clip(image + rng.normal(0, s, image.shape), 0, 255).astype(np.uint8)
        for name, s in (("Bicubic", 20), ("SRGAN", 5))
    } | {"Original": image}
    psnr = {name: measures.psnr_ssim(image, images[name])[0] for name in ("Bicubic", "SRGAN")}
    assert figures.psnr_gains(images) == {"SRGAN": pytest.approx(psnr["SRGAN"] - psnr["Bicubic"])}
    assert f"+{psnr['SRGAN'] - psnr['Bicubic']:.2f}" in figures.categories_table({"noise": images}).data


def test_show_gif_embeds_the_file(tmp_path, image):
    save_gif(tmp_path / "a&b.gif", [image], 100)
    shown = figures.show_gif(tmp_path / "a&b.gif", width=300).data
    assert base64.b64encode((tmp_path / "a&b.gif").read_bytes()).decode() in shown
    assert 'width="300"' in shown and "a&amp;b.gif" in shown
