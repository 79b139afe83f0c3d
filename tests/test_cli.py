"""The command line."""

import contextlib
import errno
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, randomise
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

import srgan
from srgan import main
from superres import quiet
from superres.command import cli, interruption
from superres.command.plan import method_label
from superres.images import files
from superres.images.measures import heat_map
from superres.network import models, weights


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A quick network under the bundled names."""
    model = randomise(models.generator(blocks=1, channels=4))
    monkeypatch.setattr(weights, "load_generator", lambda source="srgan": model)
    return model


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (14, 22, 3), np.uint8)


def test_command_line_upscales_an_image(tiny, tmp_path, image, capsys):
    source = tmp_path / "photo.png"
    srgan.save_image(source, image)
    main([str(source)])
    target = tmp_path / "photo_srgan_x4.png"
    out, err = capsys.readouterr()
    assert out == f"{target}\n" and err.count("srgan.py: srgan in float32\n") == 1 and "100%" in err
    np.testing.assert_array_equal(srgan.read_image(target), srgan.apply_srgan(image, tiny))
    main([str(source), str(tmp_path / "out.webp"), "--method", "bicubic"])
    assert srgan.read_image(tmp_path / "out.webp").shape == (56, 88, 3)


def test_trust_writes_a_picture_of_likely_errors_beside_the_result(tmp_path, photo, capsys):
    source = tmp_path / "photo.png"
    srgan.save_image(source, photo[:11, :9])
    main([str(source), "--trust", "--dtype", "float32"])
    result, picture = tmp_path / "photo_srgan_x4.png", tmp_path / "photo_srgan_x4_trust.png"
    assert capsys.readouterr().out == f"{result}\n"
    trust = srgan.trust_map(photo[:11, :9], dtype="float32")
    np.testing.assert_array_equal(srgan.read_image(picture), heat_map(trust, (44, 36)))
    result.unlink()
    with pytest.raises(SystemExit, match="2"):
        main([str(source), "--trust"])
    assert "photo_srgan_x4_trust.png: exists already" in capsys.readouterr().err and not result.exists()
    main([str(tmp_path), "--trust", "--overwrite", "--scale", "2"])  # what it wrote is no input
    assert {path.name for path in tmp_path.iterdir()} == {
        "photo.png", picture.name, "photo_srgan_x2.png", "photo_srgan_x2_trust.png"
    }  # fmt: skip
    assert srgan.read_image(tmp_path / "photo_srgan_x2_trust.png").shape == (22, 18, 3)


@pytest.mark.parametrize("arguments", [["clip.gif"], ["photo.png", "--method", "bicubic"]])
def test_trust_is_for_images_and_srgan(arguments, tiny, tmp_path, image, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    srgan.save_image("photo.png", image)
    srgan.save_gif("clip.gif", [image], [50], loop=0)
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--trust"])
    assert "--trust is for images and the method srgan" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["clip.gif", "photo.png"]


def test_command_line_upscales_a_gif(tiny, tmp_path, rng):
    frames = [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(3)]
    srgan.save_gif(tmp_path / "in.gif", frames, [50, 120, 70], loop=3)
    main([str(tmp_path / "in.gif"), str(tmp_path / "out.gif")])
    upscaled, durations, loop = srgan.read_gif(tmp_path / "out.gif")
    assert (len(upscaled), upscaled[0].shape, durations, loop) == (3, (24, 32, 3), [50, 120, 70], 3)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["none.png"], "none.png: no such image file"),
        (["none.gif"], "none.gif"),
        (["text.png"], "text.png: not an image"),
        (["text.gif"], "text.gif is not a GIF"),
        (["cut.gif"], "cut.gif: frame 1 of the GIF is truncated"),
        (["good.png", "out.gif"], "a GIF becomes a GIF"),
        (["good.png", "out.txt"], "cannot write"),
        (["good.png", "none/out.png"], "no such folder"),
        (["good.png", "folder.png"], "folder.png: a folder"),
        (["alpha.png", "out.jpg"], "out.jpg: JPEG cannot hold an image of 16x16 pixels with transparency"),
        (["wide.png", "out.webp"], "out.webp: WEBP cannot hold an image of 16384x4 pixels: "),
        (["wide.gif"], "wide_srgan_x4.gif: GIF cannot hold an image of 65536x4 pixels"),
        (["huge.png"], "huge.png: the image is too large: 4097x4096 pixels, expected at most 16,777,216"),
        (["huge.gif"], "huge.gif: too large: 4097x4096 pixels, expected at most 16,777,216"),
        (["good.png", "alpha.png"], "alpha.png: exists already: add --overwrite"),
        (["good.png", "good.png", "--overwrite"], "good.png: an input, and the output of good.png"),
        (["good.png", "-o", "text.png"], "text.png: the name of an image, expected a folder after -o"),
        (["good.png", "-o", "folder.png/notes.txt"], "notes.txt: the folder cannot be made: File exists"),
        (["good.png", "-o", "text.png/results"], "text.png/results: the folder cannot be made: Not a directory"),
        (["good.png", "-o", ""], "'' is no file name: expected a path"),
        (["", "out.png"], "'' is no file name: expected a path"),
        (["good.png", "-o", "n" * 256], "the folder cannot be made: File name too long"),
        (["good.png", "-o", "new.png"], "new.png: the name of an image, expected a folder after -o"),
        (
            ["folder.png"],
            "folder.png: no images in this folder; left out 1, not an image (or an empty file): notes.txt",
        ),
        (["good.png", "folder.png/../good.png", "--overwrite"], "an input, and the output of good.png"),
        (["good.png", "out.jpg", "--format", "jpg"], "out.jpg: --format is for results without an OUTPUT"),
        (["folder.png/notes.txt", "out.png"], "notes.txt: not an image (or an empty file): expected PNG, JPEG"),
        (["n" * 256 + ".png"], "File name too long"),
        (["good.png", "n" * 252 + ".png"], ".png: cannot write to it: File name too long"),
        (["good.png", "pipe.png"], "pipe.png: a pipe or device, expected the name of a file to write"),
        (["pipe.png"], "pipe.png: a pipe or device, expected the name of an image file"),
        (["broken.png"], "broken.png: no such image file, but a link to nowhere"),
    ],
)
def test_command_line_says_what_is_wrong_before_the_work(arguments, said, tmp_path, monkeypatch, capsys, image):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "load_generator", lambda source: pytest.fail("the work had begun"))
    Path("folder.png").mkdir()
    Path("folder.png/notes.txt").write_text("no image")
    for name in ("text.png", "text.gif"):
        Path(name).write_bytes(b"text")
    os.mkfifo("pipe.png")
    Path("broken.png").symlink_to("nowhere")
    srgan.save_image("good.png", image)
    srgan.save_image("alpha.png", np.full((4, 4, 4), 100, np.uint8))
    srgan.save_image("wide.png", np.zeros((1, 4096), np.uint8))
    srgan.save_gif("wide.gif", [np.zeros((1, 16384, 3), np.uint8)], 40)
    Path("cut.gif").write_bytes(Path("wide.gif").read_bytes()[:-9])
    for name in ("huge.png", "huge.gif"):
        if name in arguments:
            Image.new("L", (4097, 4096)).save(name)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and said in message and len(message.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "method, said",
    [
        ("sragn", "unknown weights 'sragn': expected one of srgan, photo, srresnet, srcnn"),
        ("none.h5", "no such weights file"),
    ],
)
def test_command_line_refuses_an_unknown_method(method, said, tmp_path, capsys, image):
    srgan.save_image(tmp_path / "good.png", image)
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "good.png"), "--method", method])
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_a_warning_is_one_line(tiny, tmp_path, image, capsys):
    srgan.save_gif(tmp_path / "in.gif", [image], 40)
    (tmp_path / "in.gif").write_bytes((tmp_path / "in.gif").read_bytes()[:-1])
    main([str(tmp_path / "in.gif"), "--method", "bicubic"])
    line, *progress = capsys.readouterr().err.splitlines()
    assert not any("arning" in other for other in progress)
    assert line == f"srgan.py: warning: {tmp_path / 'in.gif'}: read in spite of its missing trailer"


def test_default_outputs_are_never_shared(tiny, tmp_path, image, capsys):
    inputs = ["photo.png", "photo.jpg", "photo.webp"]
    for name in inputs:
        srgan.save_image(tmp_path / name, image)
        for method in ("srgan:0.25", "srgan:0.75"):
            main([str(tmp_path / name), "--method", method])
    written = capsys.readouterr().out.split()
    assert len(set(written)) == 6 and len(list(tmp_path.iterdir())) == 9
    assert written[0] == str(tmp_path / "photo_srgan_0.25_x4.png")
    assert written[3] == str(tmp_path / "photo.jpg_srgan_0.75_x4.png")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "photo.png"), "--method", "srgan:0.25"])
    assert "photo_srgan_0.25_x4.png: exists already" in capsys.readouterr().err


def test_an_interruption_is_no_traceback(tmp_path, image, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "load_generator", interrupt)
    srgan.save_image(tmp_path / "good.png", image)
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "good.png")])
    assert stop.value.code == 130 and "interrupted, nothing unfinished is left" in capsys.readouterr().err


def test_what_decoders_print_by_themselves_is_dropped(tmp_path, image, capfd):
    path = tmp_path / "in.tif"
    Image.fromarray(image).save(path, compression="tiff_adobe_deflate")
    path.write_bytes(path.read_bytes().replace(b"\x78\x9c", b"\x78\x00", 1))
    with pytest.raises(ValueError, match="in.tif: the image is damaged"):
        srgan.read_image(path)
    assert "ZIPDecode" in capfd.readouterr().err, "nothing to drop"
    with pytest.raises(SystemExit):
        main([str(path), "--method", "bicubic"])
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.fixture
def photos(tmp_path, monkeypatch, image):
    """A folder of two images, a GIF, and what is none of them."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    folder.mkdir()
    srgan.save_image(folder / "a.png", image)
    srgan.save_image(folder / "B.JPG", image[:9])
    srgan.save_gif(folder / "c.gif", [image[:5], image[5:10]], 40)
    for name in ("notes.txt", "data.h5", ".hidden.png", "film.mpg"):
        (folder / name).write_bytes(b"none")
    return folder


BICUBIC = ["--method", "bicubic"]
RESULTS = ["B.JPG_srgan_x4.png", "a_srgan_x4.png", "c_srgan_x4.gif"]


def test_a_folder_goes_into_a_folder(tiny, photos, capsys, image):
    main(["photos", "-o", "up/scaled"])
    out, err = capsys.readouterr()
    assert out.split() == [str(Path("up/scaled", name)) for name in RESULTS]
    assert sorted(path.name for path in Path("up/scaled").iterdir()) == sorted(RESULTS)
    np.testing.assert_array_equal(srgan.read_image("up/scaled/a_srgan_x4.png"), srgan.apply_srgan(image, tiny))
    total = 16 * (14 * 22 + 9 * 22 + 2 * 5 * 22)
    assert "100%|" in err and f"/{total / 1000:.1f}k" in err


def test_results_of_a_folder_are_neither_made_nor_upscaled_again(tiny, photos, capsys, image):
    main(["photos"])
    assert capsys.readouterr().out.split() == [str(photos / name) for name in RESULTS]
    before = {path: path.stat().st_mtime_ns for path in photos.iterdir()}
    main(["photos"])
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "srgan.py: photos: left out 3, not an image (or an empty file): data.h5, film.mpg, notes.txt",
        "srgan.py: photos: 3 of 3 images have their results already; see --overwrite",
    ]
    srgan.save_image(photos / "d.png", image)
    main(["photos"])
    assert capsys.readouterr().out.split() == [str(photos / "d_srgan_x4.png")]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    main(["photos", "--overwrite"])
    assert len(capsys.readouterr().out.split()) == 4
    assert len(list(photos.iterdir())) == len(before) + 2
    assert all((photos / name).stat().st_mtime_ns > before[photos / name] for name in RESULTS)


def test_a_file_that_fails_stops_no_other(tiny, photos, capsys, image):
    Path("cut.png").write_bytes((photos / "a.png").read_bytes()[:-30])
    srgan.save_image("has_srgan_x4.png", image)
    srgan.save_image("has.png", image)
    with pytest.raises(SystemExit) as stop:
        main(["none.png", "photos/c.gif", "cut.png", "has.png", "photos/a.png"])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out.split() == [str(photos / name) for name in RESULTS[:0:-1]]
    failures = [line for line in err.splitlines() if line.startswith("srgan.py: ") and line[10:] != "srgan in float32"]
    assert "has_srgan_x4.png: exists already: add --overwrite" in failures[0]
    assert [line.split(": ")[1] for line in failures] == ["has_srgan_x4.png", "none.png", "cut.png"]


def test_what_fails_while_it_is_upscaled_stops_no_other(tiny, photos, capsys, monkeypatch):
    write = files.write_image

    def write_or_fail(file, path, *rest):
        if path.name[0] == "B":
            raise MemoryError("Unable to allocate 9 GiB")
        write(file, path, *rest)

    monkeypatch.setattr(files, "write_image", write_or_fail)
    with pytest.raises(SystemExit) as stop:
        main(["photos"])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out.split() == [str(photos / name) for name in RESULTS[1:]]
    assert err.endswith(f"srgan.py: {photos / 'B.JPG'}: Unable to allocate 9 GiB\n")
    assert "100%" in err and sorted(path.name for path in photos.glob("*_x4.*")) == RESULTS[1:]


def test_models_are_loaded_once(photos, monkeypatch, capsys):
    model, calls = randomise(models.generator(blocks=1, channels=4)), []
    monkeypatch.setattr(weights, "load_generator", lambda source: calls.append(source) or model)
    main(["photos", "--method", "srresnet"])
    assert calls == ["srresnet"]


@pytest.mark.parametrize("target", ["out.png", "out.bmp", "out.tga", "out.ppm", "out.gif", "photos/a_bicubic_x4.png"])
def test_an_output_that_exists_is_replaced_with_overwrite_alone(target, photos, image, capsys):
    source = "photos/c.gif" if target.endswith("gif") else "photos/a.png"
    main([source, target, *BICUBIC])
    old = Path(target).read_bytes()
    with pytest.raises(SystemExit) as stop:
        main([source, target, *BICUBIC, "--scale", "2"])
    assert stop.value.code == 2 and f"{target}: exists already: add --overwrite" in capsys.readouterr().err
    assert Path(target).read_bytes() == old
    main([source, target, *BICUBIC, "--scale", "2", "--overwrite"])
    assert Path(target).read_bytes() != old


@pytest.mark.parametrize("arguments", [["photos"], ["photos", "-r", "-o", "out"]])
@pytest.mark.parametrize("format", ["png", "jpg", "webp"])
def test_a_run_is_taken_up_again(arguments, format, photos, image, capsys):
    """Also when the folder has another name by then; and what was changed since is not taken for done."""
    arguments += ["--format", format, *BICUBIC]
    main(arguments)
    results = capsys.readouterr().out.split()
    Path(results[0]).unlink()
    main(arguments)
    assert capsys.readouterr().out.split() == results[:1]
    photos.rename("renamed")
    renamed = [argument.replace("photos", "renamed") for argument in arguments]
    main(renamed)
    out, err = capsys.readouterr()
    assert out == "" and "renamed: 3 of 3 images have their results already" in err
    srgan.save_image("renamed/a.png", 255 - image)
    with pytest.raises(SystemExit) as stop:
        main(renamed)
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "" and "renamed: 2 of 3 images have their results already" in err
    target = f"{'a' if format == 'png' else 'a.png'}_bicubic_x4.{format}"
    assert f"{target}: exists already: add --overwrite" in err.splitlines()[-1]


def test_a_file_that_is_no_result_is_neither_replaced_nor_taken_for_one(photos, image, capsys):
    """What somebody has put there, or has retouched."""
    srgan.save_image("photos/a_bicubic_x4.png", image)
    with pytest.raises(SystemExit) as stop:
        main(["photos", *BICUBIC])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and len(out.split()) == 2
    assert "photos/a_bicubic_x4.png: exists already: add --overwrite to replace it" in err
    np.testing.assert_array_equal(srgan.read_image("photos/a_bicubic_x4.png"), image)


@pytest.mark.parametrize("folders", ["card1/100CANON card2/100CANON", "setA/LR setB/LR", "100CAM 101CAM"])
def test_images_of_one_name_are_not_taken_for_each_other(folders, photos, image, capsys):
    """Cards of a camera, one after the other into one folder: IMG_0001.jpg is on each."""
    for level, folder in enumerate(folders.split()):
        Path(folder).mkdir(parents=True)
        srgan.save_image(f"{folder}/1.png", image + level)
    first, second = folders.split()
    for _ in range(2):
        main([first, "-o", "out", *BICUBIC])
        with pytest.raises(SystemExit) as stop:
            main([second, "-o", "out", *BICUBIC])
        out, err = capsys.readouterr()
        assert stop.value.code == 2 and "out/1_bicubic_x4.png: exists already" in err.splitlines()[-1]
        np.testing.assert_array_equal(srgan.read_image("out/1_bicubic_x4.png"), srgan.bicubic_upscale(image))
    assert err.count("have their results already") == 1
    main([second, "-o", "out", *BICUBIC, "--overwrite"])
    np.testing.assert_array_equal(srgan.read_image("out/1_bicubic_x4.png"), srgan.bicubic_upscale(image + 1))


def test_two_inputs_of_one_result_are_both_refused(photos, image, capsys):
    """A file named alone and in its folder is one, however."""
    Path("one").mkdir()
    srgan.save_image("one/a.png", image)
    with pytest.raises(SystemExit) as stop:
        main(["photos", "photos/c.gif", "one/../one", "-o", "out", "--overwrite", *BICUBIC])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out.split() == ["out/B.JPG_bicubic_x4.png", "out/c_bicubic_x4.gif"]
    said = "another input would have the same result, out/a_bicubic_x4.png"
    assert err.splitlines()[-2:] == [f"srgan.py: {name}/a.png: {said}" for name in ("photos", "one/../one")]
    assert len(list(Path("out").iterdir())) == 2


def test_folders_that_cannot_be_made_stop_no_other(photos, image, capsys):
    for name in ("photos/x", "photos/y"):
        Path(name).mkdir()
        srgan.save_image(f"{name}/1.png", image)
    Path("out").mkdir()
    Path("out/x").touch()
    with pytest.raises(SystemExit) as stop:
        main(["photos", "-r", "-o", "out", *BICUBIC])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and len(out.split()) == 4 and "out/y/1_bicubic_x4.png" in out
    assert err.splitlines()[-1] == "srgan.py: photos/x/1.png: out/x: the folder cannot be made: File exists"


def test_hidden_files_and_folders_are_left_alone(photos, image, capsys):
    Path("photos/.thumbnails").mkdir()
    srgan.save_image("photos/.thumbnails/1.png", image)
    main(["photos", "-r", *BICUBIC])
    assert len(capsys.readouterr().out.split()) == 3


@pytest.mark.parametrize(
    "name", ["photo", "b.jpg_large", "c.jpg.1", "d.pjpeg", "g.gpr", "h.jpg?w=200", "i.jpg_original"]
)
def test_an_image_is_known_by_what_is_in_it(name, photos, image, capsys):
    Path("photos", name).write_bytes(jpeg_with_exif(image, b""))
    main(["photos", *BICUBIC])
    assert f"photos/{name}_bicubic_x4.png" in capsys.readouterr().out.split()


def test_unfinished_files_of_dead_processes_are_cleared(photos, capsys):
    """Those of a live process, or of another machine, are not."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine, other = f".{files.HOST}-", ".0123abcd-"
    names = [
        f"{mine}{dead.pid}-1.unfinished.png",
        f"{mine}{os.getpid()}-2.unfinished.gif",
        f"{other}{dead.pid}-3.unfinished.png",
    ]
    for name in names:
        Path("photos", name).touch()
    main(["photos", *BICUBIC])
    assert [Path("photos", name).exists() for name in names] == [False, True, True]
    with files.atomic_write("photos/out.bin") as file:
        assert Path(file.name).name.startswith(f"{mine}{os.getpid()}-") and ".unfinished." in file.name


def test_an_unreadable_folder_stops_no_other(photos, image, capsys, monkeypatch):
    """As root may read every folder, the system's answer is made up."""
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    Path("photos/closed").mkdir()
    for arguments in (["photos/closed", "photos"], ["photos", "--recursive"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "-o", "photos", *BICUBIC])
        out, err = capsys.readouterr()
        assert stop.value.code == 2 and len(out.split()) == 3
        assert err.endswith("srgan.py: photos/closed: Permission denied\n")
        for name in out.split():
            Path(name).unlink()


def test_weights_files_of_one_name_have_results_of_their_own(tiny, photos, capsys):
    for run in ("run1", "run2"):
        Path(run).mkdir()
        Path(run, "g.keras").write_bytes(run.encode())
        main(["photos/a.png", "--method", f"{run}/g.keras"])
    written = capsys.readouterr().out.split()
    assert len(set(written)) == 2 and all(Path(name).stem.startswith("a_g.keras-") for name in written)
    with pytest.raises(SystemExit):
        main(["photos/a.png", "--method", "run1/../run1/g.keras"])
    assert f"{written[0]}: exists already" in capsys.readouterr().err
    assert method_label("hf://owner/repo/g.keras@v1") == "owner_repo_g.keras_v1"


@pytest.mark.parametrize("scale", [2, 3])
def test_a_smaller_scale_is_the_result_of_4_reduced(scale, photos, image, capsys):
    main(["photos", "--scale", str(scale), *BICUBIC])
    written = capsys.readouterr().out.split()
    assert [Path(name).stem.endswith(f"_bicubic_x{scale}") for name in written] == [True] * 3
    whole = Image.fromarray(srgan.bicubic_upscale(image))
    reduced = np.asarray(whole.resize((22 * scale, 14 * scale), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(srgan.read_image(f"photos/a_bicubic_x{scale}.png"), reduced)
    frames, durations, _ = srgan.read_gif(f"photos/c_bicubic_x{scale}.gif")
    assert [frame.shape for frame in frames] == [(5 * scale, 22 * scale, 3)] * 2 and durations == [40, 40]
    main(["photos", "--scale", str(scale), *BICUBIC])
    assert capsys.readouterr().out == "", "results are known by their names"


def test_format_and_quality_of_results(photos, capsys):
    sizes = []
    for quality in ("30", "90"):
        main(["photos", "--format", "jpg", "--quality", quality, "--overwrite", *BICUBIC])
        sizes.append(Path("photos/a.png_bicubic_x4.jpg").stat().st_size)
    assert sizes[0] < sizes[1] and Image.open("photos/a.png_bicubic_x4.jpg").format == "JPEG"
    main(["photos/a.png", "--format", "webp", *BICUBIC])
    assert Image.open("photos/a.png_bicubic_x4.webp").format == "WEBP"
    assert {path.suffix for path in Path("photos").glob("*_x4.*")} == {".jpg", ".webp", ".gif"}
    capsys.readouterr()
    for quality in ("0", "101", "best"):
        with pytest.raises(SystemExit):
            main(["photos", "--quality", quality, *BICUBIC])
        assert "--quality" in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(SystemExit):
        main(["photos", "--scale", "8"])


def test_a_transparent_image_in_a_format_without_transparency_is_left_undone(photos, capsys):
    srgan.save_image("photos/t.png", np.full((4, 4, 4), 100, np.uint8))
    with pytest.raises(SystemExit):
        main(["photos", "--format", "jpg", *BICUBIC])
    out, err = capsys.readouterr()
    assert len(out.split()) == 3 and "t.png_bicubic_x4.jpg: JPEG cannot hold an image of 16x16 pixels with" in err


@pytest.mark.parametrize("text", ["홍길동", "© Jürgen"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "euc-kr"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_text_of_exif_data_keeps_its_bytes(suffix, encoding, text, photos, image, capsys):
    """Artist, Copyright (photographer and editor) and LensModel, whatever their encoding."""
    content = text.encode(encoding, "ignore")
    exif = Image.Exif()
    exif.update({Base.Artist: b"A" * len(content), Base.Copyright: b"C" * len(content) + b"\0editor"})
    exif[IFD.Exif] = {Base.LensModel: "L" * len(content)}
    data = exif.tobytes()
    for letter in b"ACL":
        assert bytes([letter]) * len(content) in data
        data = data.replace(bytes([letter]) * len(content), content)
    Path("in.jpg").write_bytes(jpeg_with_exif(image, data))
    main(["in.jpg", f"out.{suffix}", *BICUBIC])
    kept = Image.open(f"out.{suffix}").getexif()
    values = kept[Base.Artist], kept[Base.Copyright], kept.get_ifd(IFD.Exif)[Base.LensModel]
    assert [value.encode("latin-1") for value in values] == [content, content + b"\0editor", content]


@pytest.mark.parametrize("profile", [True, False])
def test_the_colour_space_of_exif_data_is_that_of_the_pixels(profile, photos, image):
    """Without a profile, what a camera has said about the pixels still holds."""
    exif = Image.Exif()
    exif[IFD.Exif] = {Base.ColorSpace: 65535}
    options = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()} if profile else {}
    Image.fromarray(image).save("in.jpg", exif=exif, **options)
    main(["in.jpg", "out.jpg", *BICUBIC])
    assert Image.open("out.jpg").getexif().get_ifd(IFD.Exif)[Base.ColorSpace] == (1 if profile else 65535)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_camera_data_and_date_are_kept(suffix, tmp_path, monkeypatch, image, capsys):
    monkeypatch.chdir(tmp_path)
    thumbnail = io.BytesIO()
    Image.fromarray(image).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif.update({Base.Make: "Maker", Base.Model: "Camera 1", Base.DateTime: "2020:01:02 03:04:05", Base.Orientation: 6})
    exif[Base.Software] = "1.0"
    exif[IFD.Exif] = {
        Base.DateTimeOriginal: "2020:01:02 03:04:05", Base.ExposureTime: 0.01, Base.ExifImageWidth: 22,
        Base.MakerNote: thumbnail.getvalue(),
    }  # fmt: skip
    exif[IFD.GPSInfo] = {1: "N", 2: (37.0, 33.0, 59.0)}
    # The thumbnail's directory (IFD1), as cameras write it, behind all others.
    data = bytearray(exif.tobytes())
    (count,) = struct.unpack_from(">H", data, 14)
    assert data[6:8] == b"MM"
    struct.pack_into(">I", data, 16 + 12 * count, len(data) - 6)
    data += struct.pack(">HHHIIHHIII", 2, 0x201, 4, 1, len(data) - 6 + 30, 0x202, 4, 1, len(thumbnail.getvalue()), 0)
    data += thumbnail.getvalue()
    Image.fromarray(image).save("in.jpg", exif=bytes(data))
    assert Image.open("in.jpg").getexif().get_ifd(IFD.IFD1), "no thumbnail to leave out"
    main(["in.jpg", f"out.{suffix}", *BICUBIC])
    result = Image.open(f"out.{suffix}")
    assert result.size == (56, 88), "turned"
    kept = result.getexif()
    assert (kept[Base.Make], kept[Base.Model], kept[Base.Orientation]) == ("Maker", "Camera 1", 1)
    assert kept[Base.DateTime] == kept.get_ifd(IFD.Exif)[Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert kept.get_ifd(IFD.Exif)[Base.ExposureTime] == pytest.approx(0.01)
    assert kept.get_ifd(IFD.GPSInfo)[2] == (37, 33, 59)
    assert not {Base.ExifImageWidth, Base.MakerNote} & set(kept.get_ifd(IFD.Exif))
    if suffix != "tif":
        assert not kept.get_ifd(IFD.IFD1) and len(kept.tobytes()) < 600
    assert capsys.readouterr().err.count("warning") == 0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_camera_data_that_cannot_be_kept_are_left_out(tmp_path, monkeypatch, image):
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[Base.ImageDescription] = "x" * 65400
    Image.fromarray(image).save("long.png", exif=exif)
    Path("damaged.jpg").write_bytes(jpeg_with_exif(image, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x0f"))
    for name in ("long.png", "damaged.jpg"):
        main([name, f"{name}.jpg", *BICUBIC])
        assert set(Image.open(f"{name}.jpg").getexif()) == {Base.Software}


def jpeg_with_exif(image, exif):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", exif=exif)
    return data.getvalue()


def test_what_appears_meanwhile_is_kept(photos, image, capsys, monkeypatch):
    """Before a file is begun, and while it is upscaled; named, and in a folder, where another run may have made it."""
    main(["photos", "-o", "other", *BICUBIC])
    capsys.readouterr()
    upscale = cli.bicubic_upscale

    def upscale_and_intrude(image):
        for name in intruded:
            Path(name).write_bytes(Path("other", Path(name).name).read_bytes() if name[0] == "p" else b"of another")
        return upscale(image)

    monkeypatch.setattr(cli, "bicubic_upscale", upscale_and_intrude)
    intruded = ["out.png"]
    with pytest.raises(SystemExit) as stop:
        main(["photos/a.png", "out.png", *BICUBIC])
    assert stop.value.code == 2 and "out.png: exists already, written meanwhile" in capsys.readouterr().err
    intruded = ["out.gif"]
    with pytest.raises(SystemExit):
        main(["photos/c.gif", "out.gif", *BICUBIC])
    assert "out.gif: exists already, written meanwhile" in capsys.readouterr().err
    intruded = ["photos/B.JPG_bicubic_x4.png", "photos/c_bicubic_x4.gif"]
    main(["photos", *BICUBIC])
    out, err = capsys.readouterr()
    assert out.split() == ["photos/a_bicubic_x4.png"]
    assert all(f"srgan.py: {name}: made by another run meanwhile" in err for name in intruded)
    assert "100%|" in err  # what fails counts as done
    assert all(Path(name).read_bytes() == b"of another" for name in ["out.png", "out.gif"])
    Path("cards").mkdir()
    srgan.save_image("cards/a.png", image)
    intruded = ["cards_bicubic_x4.png", "cards/a_bicubic_x4.png"]
    with pytest.raises(SystemExit) as stop:
        main(["cards", *BICUBIC])
    assert (
        stop.value.code == 2 and "cards/a_bicubic_x4.png: exists already, written meanwhile" in capsys.readouterr().err
    )
    assert not list(Path().rglob("*unfinished*"))


def test_what_was_made_meanwhile_is_not_computed(photos, monkeypatch):
    """And each result is written before the next is computed, so that memory holds one."""
    seen, upscale = [], cli.bicubic_upscale

    def upscale_and_look(image):
        seen.append({path.name for path in photos.glob("*_x4.png")})
        (photos / "c_bicubic_x4.gif").touch()
        return upscale(image)

    monkeypatch.setattr(cli, "bicubic_upscale", upscale_and_look)
    with pytest.raises(SystemExit):
        main(["photos", *BICUBIC])
    assert seen == [set(), {"B.JPG_bicubic_x4.png"}]


def test_thousands_of_names_are_planned_in_seconds(tmp_path):
    for number in range(2_000):
        (tmp_path / f"{number}.png").touch()
    start = time.process_time()
    jobs, failures = cli.plan(cli.make_parser().parse_args([str(tmp_path), "-o", str(tmp_path / "out")]))
    assert len(jobs) == 2_000 and not failures and time.process_time() - start < 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_said_and_used(tiny, photos, capsys, dtype, image):
    main(["photos/a.png", "out.png", "--dtype", dtype])
    lines = capsys.readouterr().err.splitlines()
    assert f"srgan.py: srgan in {dtype}" in lines
    warned = [line for line in lines if line.startswith("srgan.py: warning: ")]
    assert len(warned) == (dtype == "bfloat16") and all("no bfloat16" in line for line in warned)
    np.testing.assert_array_equal(srgan.read_image("out.png"), srgan.apply_srgan(image, tiny, dtype=dtype))


@pytest.mark.parametrize(
    "arguments, code",
    [(["--help"], 0), (["photos/a.png", "--dtype", "float16"], 2), (["photos/a.png", "--method", "sragn"], 2),
     (["photos", "--method", "bicubic"], None)],
)  # fmt: skip
def test_what_needs_no_keras_does_not_import_it(arguments, code, photos):
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import srgan\n"
        f"try: srgan.main({arguments})\n"
        f"except SystemExit as stop: assert stop.code == {code}, stop.code\n"
        "print({'keras', 'tensorflow'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "set()"


def test_an_interruption_that_comes_out_as_another_error_is_one(photos, monkeypatch, capsys):
    """And ends the run, rather than the one file."""
    monkeypatch.setattr(interruption.interruption, "signals", [])

    def fail(*_):
        interruption.interruption.signals.append(signal.SIGTERM)
        raise OSError("interrupted system call")

    monkeypatch.setattr(cli, "upscale_file", fail)
    with pytest.raises(SystemExit) as stop:
        main(["photos", *BICUBIC])
    assert stop.value.code == 128 + signal.SIGTERM and len(interruption.interruption.signals) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "srgan.py: interrupted, nothing unfinished is left"


def test_a_second_signal_does_not_disturb_the_tidying_up(monkeypatch):
    monkeypatch.setattr(interruption.interruption, "signals", [])
    monkeypatch.setattr(interruption.interruption, "working", True)
    with pytest.raises(KeyboardInterrupt):
        interruption.interrupt(signal.SIGINT, None)
    interruption.interrupt(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        interruption.stop_if_interrupted()


def test_quiet_drops_what_is_written_to_stderr_and_closes_what_it_opens(capfd):
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for _ in range(3):
        with quiet():
            os.write(2, b"dropped")
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
    assert descriptors is None or len(os.listdir("/proc/self/fd")) == descriptors


# What a person sees: the program itself


@contextlib.contextmanager
def signals_heeded():
    """What is started in the block takes signals that are ignored here, as SIGHUP is under nohup."""
    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def run_script(script, cwd):
    """The finished process of Python code, which takes signals."""
    with signals_heeded():
        return subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, timeout=60)


def start(*arguments, cwd, **options):
    """The program, taking signals; with bicubic interpolation by default, since TensorFlow takes seconds to import."""
    method = [] if "--method" in arguments else BICUBIC
    command = [sys.executable, str(ROOT / "srgan.py"), *map(str, arguments), *method]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with signals_heeded():
        return subprocess.Popen(command, cwd=cwd, **{**pipes, **options})


def finish(process):
    """Exit code, lines on stdout, and lines on stderr but for the progress bar."""
    out, err = process.communicate(timeout=60)
    lines = err.replace("\r", "\n").splitlines() if err else []
    return process.returncode, (out or "").splitlines(), [line for line in lines if line.strip() and "%|" not in line]


@pytest.fixture
def folder(photos):
    """The folder ``photos`` as a path that does not depend on the working directory."""
    return photos.resolve()


def test_warnings_and_what_is_left_out_are_said_once(folder, image):
    animation = [Image.fromarray(image), Image.fromarray(255 - image)]
    for name in ("anim.webp", "anim.png"):
        animation[0].save(folder / name, save_all=True, append_images=animation[1:])
    (folder / "cut.gif").write_bytes((folder / "c.gif").read_bytes()[:-1])
    (folder / "d.jpg").write_bytes(jpeg_with_exif(image, b"")[:-2])
    for name, content in (
        ("e.heic", b"\0\0\0\x18ftypheic"),
        ("f.JXL", b"\xff\x0a"),
        ("g.CR2", b"II*\0\x10\0\0\0CR\2\0"),
    ):
        (folder / name).write_bytes(content + bytes(64))
    srgan.save_image(folder / "poster_x4.png", image)
    (folder / "nowhere.png").symlink_to("nothing")
    (folder / "sub").mkdir()
    srgan.save_image(folder / "sub" / "i.png", image)
    # Without pillow-heif, as most people have it.
    (folder.parent / "without").mkdir()
    (folder.parent / "without" / "pillow_heif.py").write_text("raise ImportError")
    environment = os.environ | {"PYTHONPATH": str(folder.parent / "without")}
    code, out, err = finish(start("photos", "-o", "out", cwd=folder.parent, env=environment))
    rare = "an image of a kind that cannot be read here"
    assert code == 0 and len(out) == 7
    assert err == [
        "srgan.py: photos: left out 1 sub-folders (see --recursive)",
        "srgan.py: photos: left out 3, not an image (or an empty file): data.h5, film.mpg, notes.txt",
        f"srgan.py: photos: left out 1, {rare} (HEIC: pip install pillow-heif): e.heic",
        f"srgan.py: photos: left out 1, {rare} (JPEG XL): f.JXL",
        "srgan.py: photos: left out 1, a camera's raw file: g.CR2",
        "srgan.py: photos: left out 1, links to nowhere: nowhere.png",
        "srgan.py: photos: left out 1, named *_x4 or the like (taken for results): poster_x4.png",
        "srgan.py: warning: photos/anim.png: only the first of several frames is read",
        "srgan.py: warning: photos/anim.webp: only the first of several frames is read",
        "srgan.py: warning: photos/cut.gif: read in spite of its missing trailer",
        "srgan.py: warning: photos/d.jpg: its end marker is missing, and of a progressive JPEG perhaps some detail",
    ]
    code, out, err = finish(start("photos", "-r", "-o", "out", cwd=folder.parent, env=environment))
    assert code == 0 and out == [str(Path("out", "sub", "i_bicubic_x4.png"))]
    assert err[6:] == ["srgan.py: photos: 7 of 8 images have their results already; see --overwrite"]


def test_an_original_four_times_as_large_is_kept(folder, image):
    original = srgan.bicubic_upscale(image)
    srgan.save_image(folder / "original.png", original)
    code, out, err = finish(start("a.png", "original.png", cwd=folder))
    assert (code, out) == (2, []) and "original.png: exists already: add --overwrite" in err[0]
    np.testing.assert_array_equal(srgan.read_image(folder / "original.png"), original)


def test_what_cannot_be_planned_stops_no_other(folder, image):
    """An empty folder, names that are too long for their results or as long as names may be."""
    there = folder.parent
    for name in ("nothing", "100CAM", "101CAM"):
        (there / name).mkdir()
    for name in ("100CAM/1.png", "101CAM/2.png", f"100CAM/{'n' * 242}.png", f"101CAM/{'가' * 79}.png"):
        srgan.save_image(there / name, image)
    code, out, err = finish(start("nothing", "100CAM", "101CAM", "none.png", "-o", "out", cwd=there))
    assert code == 2 and sorted(path.name for path in (there / "out").iterdir()) == sorted(Path(p).name for p in out)
    long = f"{'가' * 79}_bicubic_x4.png"
    assert len(long.encode()) == 252
    assert {Path(path).name for path in out} == {
        "1_bicubic_x4.png", "2_bicubic_x4.png", long
    }  # fmt: skip
    assert [line.split(": ")[1] for line in err] == ["nothing", f"out/{'n' * 242}_bicubic_x4.png", "none.png"]
    assert err[1].endswith("cannot write to it: File name too long")


def test_stdout_that_cannot_take_a_name_fails_no_job(folder, image):
    shutil.rmtree(folder)
    folder.mkdir()
    for number in range(3):
        srgan.save_image(folder / f"사진{number}.png", image)
    results = {f"사진{number}_bicubic_x4.png" for number in range(3)}
    code, out, err = finish(
        start(folder.name, "-o", "1", cwd=folder.parent, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    )
    assert code == 0 and not err and "1/\\uc0ac\\uc9c40_bicubic_x4.png" in out
    assert results == {path.name for path in (folder.parent / "1").iterdir()}
    process = start(folder.name, "-o", "2", cwd=folder.parent)
    process.stdout.close()
    process.stdout = None
    assert finish(process) == (0, [], [])
    assert results == {path.name for path in (folder.parent / "2").iterdir()}
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            code, _, err = finish(start(folder.name, "-o", "3", cwd=folder.parent, stdout=full))
        said = "srgan.py: warning: cannot print the names of results: No space left on device"
        assert (code, err) == (0, [said]) and results == {path.name for path in (folder.parent / "3").iterdir()}


@pytest.mark.skipif(os.name != "posix", reason="no such pipes")
def test_stdout_is_no_output(folder):
    code, out, err = finish(start("a.png", "/dev/stdout", cwd=folder))
    assert (code, out) == (2, [])
    assert err == ["srgan.py: /dev/stdout: a pipe or device, expected the name of a file to write"]


def test_an_icon_is_as_large_as_said(folder, image):
    assert finish(start("a.png", "a.ico", cwd=folder)) == (0, ["a.ico"], [])
    assert srgan.read_image(folder / "a.ico").shape == (56, 88, 3)


def test_two_runs_share_the_work_on_a_folder(tmp_path, rng):
    for number in range(40):
        srgan.save_image(tmp_path / f"{number:02}.png", rng.integers(0, 256, (30, 40, 3), np.uint8))
    runs = [finish(run) for run in [start(".", cwd=tmp_path) for _ in range(2)]]
    assert [code for code, _, _ in runs] == [0, 0]
    made = [name for _, out, _ in runs for name in out]
    assert sorted(made) == [f"{number:02}_bicubic_x4.png" for number in range(40)], "none twice"
    assert len(list(tmp_path.iterdir())) == 80


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "in.gif"
    srgan.save_gif(path, [np.full((200, 200, 3), k, np.uint8) for k in range(100)], 40)
    return path


@pytest.fixture
def long_run(tmp_path, long_clip):
    """Arguments with which the program runs for seconds."""
    shutil.copy(long_clip, tmp_path)
    return ["in.gif", "out.gif"]


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without a signal that it could handle")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_leaves_no_temporary_file(name, tmp_path, long_run):
    process = start(*long_run, cwd=tmp_path)
    while len(list(tmp_path.iterdir())) == 1:  # the temporary file
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    code, out, err = finish(process)
    assert (code, out) == (128 + getattr(signal, name), [])
    assert err == ["srgan.py: interrupted, nothing unfinished is left"]
    assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interruption_that_is_lost_is_noticed(tmp_path, long_run):
    """Python drops an exception within a callback of the garbage collection, and JAX registers one."""
    script = (
        f"import gc, os, signal, sys; sys.path.insert(0, {str(ROOT)!r}); import srgan\n"
        "from superres.command.interruption import handle_signals; handle_signals(); sent = []\n"
        "def callback(*_):\n"
        "    if not sent and any('unfinished' in name for name in os.listdir()):\n"
        "        sent.append(os.kill(os.getpid(), signal.SIGTERM))\n"
        "gc.callbacks.append(callback); gc.set_threshold(100)\n"
        f"srgan.main({[*long_run, *BICUBIC]})"
    )
    run = run_script(script, cwd=tmp_path)
    assert "Exception ignored" in run.stderr, "nothing was lost"
    assert run.returncode == 128 + signal.SIGTERM and "interrupted" in run.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interruption_while_the_model_is_loaded_ends_the_program_at_once(tmp_path, image):
    """TensorFlow's import aborts if an exception is raised within it."""
    srgan.save_image(tmp_path / "a.png", image)
    script = (
        f"import os, signal, sys; sys.path.insert(0, {str(ROOT)!r}); import srgan\n"
        "from superres import quiet; from superres.command import cli, interruption\n"
        "def load(*_):\n"
        "    with quiet():\n"
        "        try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "        except BaseException: os.abort()\n"
        "cli.method_function = load; interruption.handle_signals()\n"
        "srgan.main(['a.png'])"
    )
    run = run_script(script, cwd=tmp_path)
    assert run.returncode == 128 + signal.SIGTERM
    assert run.stderr == "srgan.py: interrupted, nothing unfinished is left\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
@pytest.mark.parametrize("ignored", [True, False])
def test_a_signal_during_the_imports(name, ignored, folder):
    """No traceback; and a signal that was ignored before, as by nohup or with & in a script, is ignored."""
    script = (
        "import os, runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == 'cv2': os.kill(os.getpid(), signal.{name})\n"
        f"{f'signal.signal(signal.{name}, signal.SIG_IGN)' * ignored}\n"
        "sys.meta_path.insert(0, Finder)\n"
        f"sys.argv, sys.path[0] = ['srgan.py', 'a.png', *{BICUBIC}], {str(ROOT)!r}\n"
        f"runpy.run_path({str(ROOT / 'srgan.py')!r}, run_name='__main__')"
    )
    run = run_script(script, cwd=folder)
    if ignored:
        assert (run.returncode, run.stdout) == (0, "a_bicubic_x4.png\n")
    else:
        assert run.returncode == 128 + getattr(signal, name) and not run.stdout
        assert run.stderr == "srgan.py: interrupted, nothing unfinished is left\n"


@pytest.mark.skipif(os.name != "posix", reason="the shell is not sh")
def test_streams_may_be_closed(folder):
    script = f'exec "{sys.executable}" "{ROOT / "srgan.py"}" a.png --overwrite --method bicubic'
    for closing, out in (("2>&-", "a_bicubic_x4.png\n"), (">&-", ""), (">&- 2>&- <&-", "")):
        run = subprocess.run(["sh", "-c", f"{script} {closing}"], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert (run.returncode, run.stdout) == (0, out)
        assert srgan.read_image(folder / "a_bicubic_x4.png").shape == (56, 88, 3)


def test_the_script_itself_is_quiet_and_exits_with_2(tmp_path):
    assert finish(start("none.png", cwd=tmp_path)) == (2, [], ["srgan.py: none.png: no such image file"])
