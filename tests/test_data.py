import cv2
import numpy as np
import pytest
from PIL import Image

from superres.images.degrade import degrade
from training import data


def test_batches_depend_on_seed_and_number_alone(photos):
    one, other = data.Patches([photos], batch=4, patch=16, seed=5), data.Patches([photos], batch=4, patch=16, seed=5)
    one[0], one[3]
    for a, b in zip(one[200], other[200], strict=True):
        np.testing.assert_array_equal(a, b)
    streamed = [lr for _, (lr, _) in zip(range(3), other.stream(199), strict=False)]
    np.testing.assert_array_equal(streamed[1], one[200][0])
    assert not np.array_equal(streamed[0], streamed[1]) and not np.array_equal(streamed[1], streamed[2])
    assert not np.array_equal(one[200][0], data.Patches([photos], batch=4, patch=16, seed=6)[200][0])


def test_patches_are_aligned_in_every_orientation(photos):
    lr, hr = data.Patches([photos], batch=64, patch=16, shares={"clean": 1})[0]
    assert lr.shape == (64, 16, 16, 3) and hr.shape == (64, 64, 64, 3) and lr.dtype == hr.dtype == np.float32
    assert lr.min() >= 0 and lr.max() <= 255 and hr.max() > 1
    means = hr.reshape(64, 16, 4, 16, 4, 3).mean((2, 4))
    inner = slice(2, -2)
    assert np.abs(lr - means)[:, inner, inner].mean() < 2
    shifted = np.abs(lr[:, 1:] - means[:, :-1])[:, inner, inner].mean()
    assert shifted > 5


def test_a_patch_is_any_window_in_any_orientation(photos, rng):
    """Images whose pixels know their place: the same patch of both, and in time every place and orientation."""
    lr = np.arange(18 * 20, dtype=np.int32).reshape(18, 20, 1)
    hr = lr.repeat(4, axis=0).repeat(4, axis=1)
    patches = data.Patches([photos], patch=16)
    seen = set()
    for _ in range(1000):
        small, large = patches.cut(lr, hr, rng)
        assert small.shape == (16, 16, 1) and large.shape == (64, 64, 1)
        np.testing.assert_array_equal(large, small.repeat(4, axis=0).repeat(4, axis=1))
        seen.add((small.min(), small[0, 0, 0] - small.min(), small[0, 1, 0] - small[0, 0, 0]))
    assert len(seen) == 3 * 5 * 8  # rows, columns, orientations


def test_degradations_are_drawn_in_their_shares(photos, monkeypatch):
    drawn = []
    monkeypatch.setattr(data, "degrade", lambda hr, degradation, rng: (drawn.append(degradation), hr[::4, ::4])[1])
    patches = data.Patches([photos], batch=2, patch=16, shares={"clean": 3, "gif": 0.75, "jpeg": 1.25})
    for index in range(1000):
        patches.entry(index)
    shares = {name: drawn.count(name) / 1000 for name in set(drawn)}
    assert shares == pytest.approx({"clean": 0.6, "gif": 0.15, "jpeg": 0.25}, abs=0.05)


def test_folders_have_equal_shares_and_two_fifths_of_the_originals_are_softened(photos, tmp_path, monkeypatch):
    (tmp_path / "black").mkdir()
    Image.new("RGB", (130, 170)).save(tmp_path / "black" / "0.png")
    sigmas = []
    monkeypatch.setattr(data, "degrade", lambda hr, *_: hr[::4, ::4])
    monkeypatch.setattr(data.cv2, "GaussianBlur", lambda hr, size, sigma: (sigmas.append(sigma), hr)[1])
    patches = data.Patches([photos, tmp_path / "black"], batch=2, patch=16)
    black = [not patches.entry(index)[1].any() for index in range(1000)]
    assert np.mean(black) == pytest.approx(0.5, abs=0.05)
    assert len(sigmas) / 1000 == pytest.approx(0.4, abs=0.04)
    assert 0.5 <= min(sigmas) < 0.55 and 1.55 < max(sigmas) <= 1.6


def test_a_softened_original_is_the_target_of_its_input(noise, monkeypatch):
    monkeypatch.setattr(data, "SOFT", 1.0)
    patches = data.Patches([noise], batch=2, patch=16, shares={"clean": 1})
    lr, hr = patches.entry(0)
    np.testing.assert_array_equal(lr, degrade(hr, "clean"))
    assert 5 < hr.std() < 0.8 * data.read_hr(patches.folders[0][0]).std()


def test_the_seed_decides_which_photographs_are_drawn(photos):
    one, again, other = (data.Patches([photos], batch=2, patch=16, seed=seed) for seed in (1, 1, 2))
    entries = [[patches.entry(index)[1].tobytes() for index in range(12)] for patches in (one, again, other)]
    assert entries[0] == entries[1] != entries[2]


def test_images_are_found_in_folders_below(photos):
    (photos / "more").mkdir()
    (photos / "0.png").rename(photos / "more" / "0.png")
    (photos / "notes.txt").touch()
    assert data.find_originals(photos) == [photos / "1.png", photos / "2.png", photos / "more" / "0.png"]


def test_the_window_moves_on(photos, monkeypatch):
    """In time every entry of the sequence is cut from, none before or after its turn, and no more are kept."""
    patches, drawn = data.Patches([photos], batch=256, patch=16), {}
    pair = np.zeros((32, 42, 3), np.uint8), np.zeros((128, 168, 3), np.uint8)
    for n in range(60):
        monkeypatch.setattr(patches, "entry", lambda index, n=n: (drawn.setdefault(index, []).append(n), pair)[1])
        patches.window = dict.fromkeys(range(-5, 200))
        patches[n]
        assert min(patches.window) == n // patches.STRIDE
    assert sorted(drawn) == list(range(60 // patches.STRIDE - 1 + patches.WINDOW))
    for index, turns in drawn.items():
        assert patches.STRIDE * (index - patches.WINDOW + 1) <= min(turns)
        assert max(turns) < patches.STRIDE * (index + 1)


def test_an_entry_is_read_once_while_it_is_in_the_window(photos, monkeypatch):
    reads = []
    read_hr = data.read_hr
    monkeypatch.setattr(data, "read_hr", lambda path: (reads.append(path), read_hr(path))[1])
    monkeypatch.setattr(data, "degrade", lambda hr, *_: hr[::4, ::4])
    patches = data.Patches([photos], batch=16, patch=16)
    for n in range(40):
        patches[n]
    assert 0.9 * patches.WINDOW < len(reads) <= patches.WINDOW + 9


def test_srcnn_batches_are_upscaled_without_border_effects(photos, monkeypatch):
    image = data.read_hr(photos / "0.png")
    lr = degrade(image, "clean")
    whole = cv2.resize(lr, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    patches = data.EnlargedPatches([photos], batch=1, patch=16)
    monkeypatch.setattr(patches, "cut", lambda *_: (lr[5:21, 8:24], image[20:84, 32:96]))
    large, hr = patches[0]
    assert large.dtype == hr.dtype == np.float32
    np.testing.assert_allclose(large[0], whole[28:76, 40:88], atol=1)
    np.testing.assert_array_equal(hr[0], image[28:76, 40:88])
    np.testing.assert_array_equal(patches.network_input(lr), whole)


def test_evaluation_uses_published_low_resolution(photos):
    hr = data.read_hr(photos / "0.png")
    (photos / "0.png").rename(photos / "a_HR.png")
    published = np.zeros_like(degrade(hr, "clean"))
    Image.fromarray(published).save(photos / "a_LRx4.png")
    (path,) = data.find_originals(photos)
    assert path.name == "a_HR.png"
    np.testing.assert_array_equal(data.low_resolution(path, hr, "clean"), published)
    np.testing.assert_array_equal(data.low_resolution(path, hr, "cv2"), degrade(hr, "cv2"))
