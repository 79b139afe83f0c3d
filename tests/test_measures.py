"""What is measured of images, against known answers."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2ycbcr
from skimage.measure import blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres.images import measures


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


def waves(height, width, frequency):
    """Vertical stripes of so many cycles per pixel, grey; on Y a sine of amplitude ``WAVE``."""
    wave = 127.5 + 100 * np.sin(2 * np.pi * frequency * np.arange(width))
    return np.tile(wave.round().astype(np.uint8)[None, :, None], (height, 1, 3))


WAVE = 100 * 219 / 255


def test_luma_is_bt601(image):
    np.testing.assert_allclose(measures.luma(image), rgb2ycbcr(image)[..., 0], atol=1e-6)


def test_psnr_and_ssim_leave_the_border_out(image):
    other = image.copy()
    other[:4], other[-4:], other[:, :4], other[:, -4:] = 0, 0, 0, 0
    other[12, 16] = 255 - other[12, 16]
    a, b = (rgb2ycbcr(rgb)[4:-4, 4:-4, 0] for rgb in (image, other))
    psnr = peak_signal_noise_ratio(a, b, data_range=255)
    ssim = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )  # fmt: skip
    assert measures.psnr_ssim(image, other) == pytest.approx((psnr, ssim))
    assert measures.psnr(image, other) == pytest.approx(psnr)


def test_psnr_of_a_constant_difference():
    grey = np.full((16, 16, 3), 100, np.uint8)
    assert measures.psnr(grey, grey + 10) == pytest.approx(20 * np.log10(255 / (10 * 219 / 255)))


def test_images_too_small_or_of_different_sizes_are_an_error():
    grey = np.full((9, 8, 3), 100, np.uint8)
    for function in (measures.psnr, measures.psnr_ssim):
        with pytest.raises(ValueError, match="over 8 pixels each way, got 8x9"):
            function(grey, grey)
        with pytest.raises(ValueError, match="same dim"):
            function(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8))


def test_blur_is_that_of_y(image):
    assert measures.blur(image) == pytest.approx(blur_effect(rgb2ycbcr(image)[..., 0]))
    assert measures.blur(waves(64, 64, 0.3)) < 0.6 < 0.8 < measures.blur(waves(64, 64, 0.02))


def test_checkerboard_strength_is_the_spread_of_the_sub_pixels_detail(rng):
    image = rng.integers(0, 256, (27, 33, 3), np.uint8)
    y = rgb2ycbcr(image)[..., 0]
    detail = np.abs(y - gaussian_filter(y, 1.5, mode="mirror"))[:24, :32]
    by_sub_pixel = [detail[i::4, j::4].mean() for i in range(4) for j in range(4)]
    assert measures.checkerboard_strength(image) == pytest.approx(np.std(by_sub_pixel) / np.mean(by_sub_pixel))
    assert measures.checkerboard_strength(np.zeros((8, 8, 3), np.uint8)) == 0


@pytest.mark.parametrize(("frequency", "share"), [(0.02, 0), (0.1, 0), (0.15, 1), (0.3, 1)])
def test_fine_detail_is_the_root_mean_square_above_an_eighth_of_a_cycle(frequency, share):
    assert measures.fine_detail(waves(96, 96, frequency)) == pytest.approx(share * WAVE / np.sqrt(2), rel=0.02, abs=1)


def test_coherence_is_1_for_stripes_and_0_for_noise(rng):
    stripes = waves(64, 64, 0.05)
    diagonal = stripes[0, (np.arange(64)[:, None] + np.arange(64)) % 60]
    for image in (stripes, stripes.swapaxes(0, 1), diagonal, diagonal[::-1]):
        assert measures.coherence(image) == pytest.approx(1, abs=0.03)
    assert measures.coherence(rng.integers(0, 256, (96, 96, 3), np.uint8)) < 0.3


def test_power_of_a_wave_is_half_its_amplitude_squared():
    frequency, power = measures.power_per_frequency(waves(64, 96, 0.25))
    assert power.shape == (64, 96) and power.sum() == pytest.approx(WAVE**2 / 2, rel=0.02)
    assert frequency[power.argmax() // 96, power.argmax() % 96] == pytest.approx(0.25)
    assert frequency[3, 5] == pytest.approx(np.hypot(3 / 64, 5 / 96))


def test_the_mean_does_not_leak_into_the_spectrum():
    """Bright where the window is high: the plain mean would leave a level there that shows at low frequencies."""
    bump = np.outer(np.hanning(64), np.hanning(64))
    image = np.repeat((100 + 100 * bump).round().astype(np.uint8)[..., None], 3, axis=2)
    frequency, power = measures.power_per_frequency(image)
    y = measures.luma(image)
    assert power[0, 0] == pytest.approx(0, abs=1e-9)
    window = np.outer(np.hanning(64), np.hanning(64))
    expected = np.average((y - np.average(y, weights=window)) ** 2, weights=window**2)
    assert power.sum() == pytest.approx(expected)


def test_spectrum_of_white_noise_is_flat(rng):
    noise = rng.integers(0, 256, (128, 128, 1), np.uint8).repeat(3, axis=2)
    frequency, power = measures.radial_spectrum(noise, bins=8)
    np.testing.assert_allclose(frequency, (np.arange(8) + 0.5) / 16)
    np.testing.assert_allclose(power[2:] * 128**2, measures.luma(noise).var(), rtol=0.15)


def test_flicker_is_that_of_pixels_whose_original_changes_by_a_step_at_most():
    originals = np.full((3, 1, 4, 3), 100, np.uint8)
    step = measures.luma(np.full((1, 1, 3), 103, np.uint8)).item() - measures.luma(originals[0])[0, 0]
    originals[1:, 0, 0] = 103
    originals[1:, 0, 1] = 110
    frames = originals.copy()
    frames[1:, 0, 2] += 20
    changes = [step, 20 * 219 / 255, 0]
    assert measures.flicker(frames, originals, step) == pytest.approx(sum(changes) / (3 + 4))
    assert measures.flicker(frames[:1], originals[:1]) == 0


def test_changed_static_pixels_are_counted():
    frames = np.zeros((3, 2, 2, 3), np.uint8)
    frames[1:, 0, 0] = 9  # moves once: 7 of the 8 pixels that follow another are static
    shown = frames.copy()
    shown[2, 1, 1, 0] = 1
    shown[1, 0, 0] = 50
    assert measures.changed_static_pixels(frames, frames) == 0
    assert measures.changed_static_pixels(frames, shown) == pytest.approx(2 / 7)
    assert measures.changed_static_pixels(frames[:1], frames[:1]) == 0


def test_flicker_counts_what_changes_where_the_original_does_not():
    original = [np.zeros((8, 8, 3), np.uint8)] * 3
    moving = [frame.copy() for frame in original]
    moving[1][:4] = 200
    frames = [frame.copy() for frame in moving]
    frames[1][4:6] = 255
    assert measures.flicker(original, original) == measures.flicker(moving, moving) == 0
    assert measures.flicker(frames, moving) == pytest.approx(219 / 2)
    assert measures.flicker(frames, original) == pytest.approx(219 / 4 + 219 * 200 / 255 / 2)


def test_over_sharpened_blocks_are_counted(rng):
    soft = np.full((64, 64, 3), 128, np.uint8)
    sharp = soft.copy()
    sharp[4:28, 4:28] = rng.integers(0, 256, (24, 24, 1), np.uint8)  # within one of four blocks
    assert measures.over_sharpened(soft, sharp) == 0.25
    assert measures.over_sharpened(soft, soft) == 0 == measures.over_sharpened(sharp, soft)
    assert measures.over_sharpened(soft[:40, :32], sharp[:40, :32]) == 0.5  # of two blocks, one of them smaller


def test_difference_map_is_the_mean_of_each_block(rng):
    a, b = (rng.integers(0, 256, (40, 56, 4), np.uint8) for _ in range(2))
    gap = np.abs(a.astype(int) - b)
    colours = measures.difference_map(a[..., :3], b[..., :3])
    assert colours.shape == (3, 4) and colours[1, 2] == pytest.approx(gap[16:32, 32:48, :3].mean())
    assert colours[2, 3] == pytest.approx(gap[32:, 48:, :3].mean())
    np.testing.assert_array_equal(measures.difference_map(a, b), colours)  # alpha is no colour
    assert measures.difference_map(a[..., 0], b[..., 0])[0, 0] == pytest.approx(gap[:16, :16, 0].mean())


def test_heat_map_covers_the_image_from_black_to_pale_yellow():
    picture = measures.heat_map(np.array([[0, 7.5], [15, 400]]), (20, 30, 3))
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8
    assert picture[:16, :16].max() < 10 and picture[16:, 16:].min() > 150 and (picture[16, 0] == picture[16, 29]).all()
    red, _, blue = picture[0, 16].astype(int)
    assert red > 150 > blue


def test_consistency_is_the_psnr_of_the_image_reduced_again(rng):
    low = rng.integers(0, 256, (20, 24, 3), np.uint8)
    image = low.repeat(4, axis=0).repeat(4, axis=1)
    reduced = np.asarray(Image.fromarray(image).resize((24, 20), Image.Resampling.BICUBIC))
    assert measures.consistency(low, image) == pytest.approx(measures.psnr(low, reduced))
