"""The figures and tables made of what is measured."""

import base64

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from superres import figures, measures
from superres.gif_writer import save_gif


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


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
