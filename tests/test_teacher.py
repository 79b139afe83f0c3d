import json

import numpy as np
import pytest
from conftest import difference, randomise, run
from PIL import Image

from superres import inference
from superres.files import read_image, save_image
from superres.network import generator
from training import data, teacher
from training.teacher import MANIFEST, Targets


@pytest.fixture
def teachers(tmp_path, rng):
    """Files of two tiny teachers."""
    for seed, name in enumerate(("teacher.keras", "other.keras")):
        randomise(generator(blocks=1, channels=8), seed).save(tmp_path / name)
    return tmp_path / "teacher.keras", tmp_path / "other.keras"


@pytest.fixture
def upscaled(monkeypatch):
    """The calls of ``upscale``: enlarged by pixel repetition, the teacher's inverted."""
    calls = []

    def upscale(lr, model):
        calls.append(model.name)
        large = lr.repeat(4, axis=0).repeat(4, axis=1)
        return large if len(model.weights) > 30 else 255 - large

    monkeypatch.setattr(inference, "upscale", upscale)
    return calls


def make(photos, out, teacher_file, *options):
    arguments = ["--data", photos, "--teacher", teacher_file, "--out", out, *options]
    teacher.main([str(argument) for argument in arguments])


def refused(capsys, function, *arguments):
    """The one sentence with which a command ends."""
    with pytest.raises(SystemExit) as exit:
        function(*arguments)
    error = capsys.readouterr().err.splitlines()[-1]
    assert exit.value.code == 2
    return error


@pytest.fixture
def targets(photos, tmp_path, teachers, upscaled):
    """A folder of targets for the photographs."""
    make(photos, tmp_path / "targets", teachers[0], "--weight", 0.6, "--sigma", 2)
    return tmp_path / "targets"


def paths(photos):
    return data.find_images(photos)


def test_target_adds_high_frequencies_of_the_difference(rng):
    base, taught = rng.integers(0, 256, (2, 24, 32, 3), np.uint8)
    difference = taught.astype(float) - base
    # A Gaussian of 2 pixels, separable, mirrored at the border.
    offsets = np.arange(-8, 9)
    kernel = np.exp(-(offsets**2) / (2 * 2**2))
    kernel /= kernel.sum()
    low = np.pad(difference, ((8, 8), (8, 8), (0, 0)), mode="reflect")
    for axis in (0, 1):
        low = np.apply_along_axis(np.convolve, axis, low, kernel, "valid")
    expected = np.clip(np.rint(base + 0.6 * (difference - low)), 0, 255)
    assert np.abs(teacher.target(base, taught, 0.6, 2) - expected).max() <= 1
    assert np.mean(teacher.target(base, taught, 0.6, 2) != expected) < 0.01


def test_every_image_gets_its_target(photos, targets, teachers, upscaled):
    made = Targets(targets, paths(photos), str(teachers[0]))
    for path in paths(photos):
        lr = data.downscale(data.read_hr(path))
        large = lr.repeat(4, axis=0).repeat(4, axis=1)
        np.testing.assert_array_equal(made[path], teacher.target(large, 255 - large, 0.6, 2))
    assert json.loads((targets / MANIFEST).read_text())["weight"] == 0.6


def test_batches_hold_clean_input_and_target_of_the_same_patch(photos, targets, rng):
    """Targets that equal the originals: each then equals its patch, whatever its place and orientation."""
    for path in paths(photos):
        save_image(teacher.target_file(targets, path), data.read_hr(path))
    patches = data.Patches([photos], 32, 16, degradations={"clean": 1}, targets=Targets(targets, paths(photos)))
    lr, hr, clean, target = patches[0]
    np.testing.assert_array_equal(clean, lr)
    np.testing.assert_array_equal(target, hr)
    other = data.Patches([photos], 32, 16, degradations={"gif": 1}, targets=Targets(targets, paths(photos)))[0]
    np.testing.assert_array_equal(other[2], clean)
    assert not np.array_equal(other[0], clean)


def test_tiles_give_the_whole_image(rng, monkeypatch):
    model = randomise(generator(blocks=1, channels=8))
    lr = rng.integers(0, 256, (37, 50, 3), np.uint8)
    whole = inference.upscale(lr, model, "float32")
    monkeypatch.setattr(teacher.keras.backend, "backend", lambda: "jax")
    result = teacher.upscaled(lr, model, tile=16, margin=12)
    assert result.shape == whole.shape
    inner = np.s_[48:-48, 48:-48]  # outside, the tiles mirror the image and the whole has zeros around it
    assert difference(result[inner], whole[inner])[0] <= 1


def test_only_missing_targets_are_made(photos, targets, teachers, upscaled):
    missing = teacher.target_file(targets, paths(photos)[1])
    before = read_image(missing)
    missing.unlink()
    upscaled.clear()
    make(photos, targets, teachers[0], "--weight", 0.6, "--sigma", 2)
    assert len(upscaled) == 2  # base and teacher, of one image
    np.testing.assert_array_equal(read_image(missing), before)


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        ({"--weight": 0.5}, "weight"),
        ({"--sigma": 3}, "sigma"),
        ({"--weight": 0.5, "--sigma": 3}, "weight and sigma"),
        ({"--teacher": "other.keras"}, "teacher"),
    ],
)
def test_targets_of_one_folder_are_all_made_alike(options, differing, photos, targets, teachers, tmp_path, capsys):
    settings = {"--weight": 0.6, "--sigma": 2} | options
    file = tmp_path / settings.pop("--teacher", "teacher.keras")
    error = refused(capsys, make, photos, targets, file, *(word for pair in settings.items() for word in pair))
    assert f"holds targets of another {differing}; give another folder" in error


def test_targets_on_another_base_are_refused(photos, targets, teachers, monkeypatch, capsys):
    manifest = json.loads((targets / MANIFEST).read_text()) | {"base": "0"}
    (targets / MANIFEST).write_text(json.dumps(manifest))
    error = refused(capsys, make, photos, targets, teachers[0], "--weight", 0.6, "--sigma", 2)
    assert "holds targets of another base" in error


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("srcnn", [], "srcnn: the teacher scales by 1, expected a generator that scales by 4"),
        ("none.keras", [], "no such weights file"),
        ("teacher.keras", ["--sigma", 0], "--sigma must be above 0"),
    ],
)
def test_a_bad_teacher_or_sigma_leaves_nothing(file, options, message, photos, teachers, tmp_path, capsys):
    file = file if file == "srcnn" else tmp_path / file
    assert message in refused(capsys, make, photos, tmp_path / "new", file, *options)
    assert not (tmp_path / "new").exists()


def test_targets_that_do_not_fit_are_refused(photos, targets, teachers):
    with pytest.raises(ValueError, match="made by another teacher than .*other.keras"):
        Targets(targets, paths(photos), str(teachers[1]))
    file = teacher.target_file(targets, paths(photos)[0])
    Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(ValueError, match=r"the target is \(8, 8\), but its image .*0.png is \(170, 130\)"):
        Targets(targets, paths(photos))
    file.unlink()
    with pytest.raises(FileNotFoundError, match="no target for .*0.png"):
        Targets(targets, paths(photos))


def test_a_changed_image_has_no_target(photos, targets):
    save_image(photos / "2.png", 255 - read_image(photos / "2.png"))
    with pytest.raises(FileNotFoundError, match="no target for .*2.png"):
        Targets(targets, paths(photos))


def test_an_image_turned_by_its_exif_data_has_a_target(photos, targets, teachers):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.open(photos / "0.png").save(photos / "0.png", exif=exif)
    make(photos, targets, teachers[0], "--weight", 0.6, "--sigma", 2)
    assert Targets(targets, paths(photos))[photos / "0.png"].shape == (168, 128, 3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"teacher": "0"}', "\xff"])
def test_a_damaged_manifest_is_refused(text, photos, targets):
    (targets / MANIFEST).write_text(text, "latin-1")
    with pytest.raises(ValueError, match="manifest.json: damaged"):
        Targets(targets, paths(photos))


def test_a_folder_without_targets_is_refused(photos, tmp_path, tiny, capsys):
    for folder in (tmp_path / "none", photos):
        with pytest.raises(FileNotFoundError, match="no folder of targets"):
            Targets(folder, paths(photos))


def test_the_srgan_learns_from_targets_and_teacher(photos, targets, teachers, vgg, tmp_path, tiny, eager):
    out = tmp_path / "run"
    run("srgan", photos, out, "--steps", 1, "--vgg", vgg, "--targets", targets,
        "--teacher", teachers[0], "--weights", "hint=1", "adversarial=0")  # fmt: skip
    header = (out / "log.csv").read_text().splitlines()[0].split(",")
    assert "hint" in header and "adversarial" not in header
