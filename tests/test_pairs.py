import subprocess
import sys

import cv2
import numpy as np
import pytest

from superres.images.files import read_image, save_image
from training import pairs

BILINEAR = "7767517\n2 2\nInput data 0 1 data\nInterp output 1 1 data output 0=2 1=4.0 2=4.0\n"


@pytest.fixture
def bilinear(tmp_path):
    """The files of a teacher that enlarges by bilinear interpolation, without their suffixes."""
    (tmp_path / "teacher.param").write_text(BILINEAR)
    (tmp_path / "teacher.bin").touch()
    return str(tmp_path / "teacher")


@pytest.fixture
def folder(tmp_path, rng):
    (tmp_path / "photos").mkdir()
    for number, (height, width) in enumerate([(420, 500), (321, 481)]):
        photo = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 12)
        photo = cv2.normalize(photo, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        save_image(tmp_path / f"photos/{number}.png", photo)
    return tmp_path / "photos"


def written(out):
    return {path.name: read_image(path) for path in out.iterdir()}


def test_a_teacher_is_run_as_it_is(bilinear, rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    expected = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    assert np.abs(pairs.Teacher(bilinear)(image).astype(int) - expected).max() <= 1


def test_a_pair_is_what_the_teacher_makes_of_its_input(tmp_path, folder, bilinear):
    """But at the border, where the teacher sees a margin that is cut off."""
    teacher = pairs.Teacher(bilinear)
    pairs.write_pairs(tmp_path / "out", folder, 2, seed=3, teacher=teacher)
    files = written(tmp_path / "out")
    assert sorted(files) == ["00000_HR.png", "00000_LRx4.png", "00001_HR.png", "00001_LRx4.png"]
    for name in "00000", "00001":
        lr, hr = files[f"{name}_LRx4.png"], files[f"{name}_HR.png"]
        assert lr.shape == (64, 64, 3) and hr.shape == (256, 256, 3)
        np.testing.assert_array_equal(teacher(lr)[4:-4, 4:-4], hr[4:-4, 4:-4])


def test_without_a_teacher_the_target_is_the_original_of_the_same_input(tmp_path, folder, bilinear):
    pairs.write_pairs(tmp_path / "taught", folder, 3, noise=(0, 0), seed=3, teacher=pairs.Teacher(bilinear))
    pairs.write_pairs(tmp_path / "plain", folder, 3, noise=(0, 0), seed=3)
    taught, plain = written(tmp_path / "taught"), written(tmp_path / "plain")
    for name in taught:
        assert (taught[name] == plain[name]).all() == name.endswith("_LRx4.png")
    originals = [read_image(path) for path in folder.iterdir()]
    for name in ("00000_HR.png", "00001_HR.png", "00002_HR.png"):
        assert any(contains(photo, plain[name]) for photo in originals)
        small = cv2.resize(plain[name], (64, 64), interpolation=cv2.INTER_AREA).astype(float)
        lr = plain[name.replace("HR", "LRx4")]
        assert np.corrcoef(small.ravel(), lr.ravel())[0, 1] > 0.9  # the same place


def contains(image, part):
    x, y = cv2.minMaxLoc(cv2.matchTemplate(image, part, cv2.TM_SQDIFF))[2]
    return np.array_equal(image[y : y + len(part), x : x + part.shape[1]], part)


def test_pairs_that_are_there_stay(tmp_path, folder):
    pairs.write_pairs(tmp_path / "once", folder, 3, seed=5)
    pairs.write_pairs(tmp_path / "twice", folder, 1, seed=5)
    before = (tmp_path / "twice/00000_HR.png").stat().st_mtime_ns
    (tmp_path / "twice/00001_LRx4.png").touch()  # a run that was killed
    pairs.write_pairs(tmp_path / "twice", folder, 3, seed=5)
    assert (tmp_path / "twice/00000_HR.png").stat().st_mtime_ns == before
    once, twice = written(tmp_path / "once"), written(tmp_path / "twice")
    assert once.keys() == twice.keys() and all((once[name] == twice[name]).all() for name in once)


def test_another_seed_or_noise_is_another_pair(tmp_path, folder):
    for name, options in (("a", {}), ("b", {"seed": 1}), ("c", {"noise": (20, 30)})):
        pairs.write_pairs(tmp_path / name, folder, 1, **options)
    a, b, c = (written(tmp_path / name)["00000_LRx4.png"] for name in "abc")
    assert (a != b).any() and (a != c).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stem: (stem.parent / "teacher.param").unlink(), "no such file of a teacher: "),
        (lambda stem: (stem.parent / "teacher.bin").unlink(), "no such file of a teacher: "),
        (lambda stem: (stem.parent / "teacher.param").write_text("<html>"), "is damaged, or not of the ncnn library"),
        (lambda stem: (stem.parent / "teacher.param").write_text(BILINEAR.replace("4.0", "2.0")), "the teacher makes"),
        (lambda stem: (stem.parent / "teacher.param").write_text(BILINEAR.replace("output", "y")), "the teacher makes"),
    ],
)  # fmt: skip
def test_a_teacher_that_cannot_teach_is_one_sentence(tmp_path, folder, bilinear, change, message):
    change(tmp_path / "teacher")
    command = [sys.executable, "-m", "training.pairs", tmp_path / "out", "--data", folder, "--teacher", bilinear]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and not (tmp_path / "out").exists()
    assert run.stderr.startswith("python -m training.pairs: ") and message in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_arguments_that_make_no_pairs_are_one_sentence(tmp_path, folder):
    for options in ({"noise": (5, 3)}, {"noise": (-1, 3)}, {"noise": (0, float("nan"))}, {"count": 0}):
        with pytest.raises(ValueError, match="expected noise from 0 up, and 1 pair or more"):
            pairs.write_pairs(tmp_path / "out", folder, **({"count": 1} | options))
    (tmp_path / "small").mkdir()
    save_image(tmp_path / "small/0.png", np.zeros((284, 400, 3), np.uint8))
    with pytest.raises(ValueError, match=r"0\.png: 400x284 pixels, expected at least 288x288"):
        pairs.write_pairs(tmp_path / "out", tmp_path / "small", 1)


def test_a_cut_teacher_is_one_sentence(tmp_path, folder):
    """Its kernels end early."""
    convolution = "Convolution output 1 1 data output 0=3 1=3 4=1 5=1 6=81"
    (tmp_path / "teacher.param").write_text(f"7767517\n2 2\nInput data 0 1 data\n{convolution}\n")
    (tmp_path / "teacher.bin").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"teacher.bin is damaged, or not of the ncnn library"):
        pairs.Teacher(str(tmp_path / "teacher"))
