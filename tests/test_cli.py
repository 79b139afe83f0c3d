"""The command line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, randomise
from PIL import Image

import srgan
from srgan import main
from superres import cli, network, weights


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A quick network under the bundled names."""
    model = randomise(network.generator(blocks=1, channels=4))
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
        (["wide.png", "out.webp"], "out.webp: too large: 16384x4 pixels, and WEBP holds at most 16383"),
        (["wide.gif"], "wide_srgan_x4.gif: too large: 65536x4 pixels, and GIF holds at most 65535"),
        (["huge.png"], "huge.png: too large to upscale: 4097x4096 pixels, expected at most 16,777,216"),
        (["huge.gif"], "huge.gif: too large to upscale: 4097x4096 pixels"),
        (["good.png", "alpha.png"], "alpha.png: exists already, and is no result of good.png: add --overwrite"),
        (["good.png", "good.png", "--overwrite"], "good.png: an input, and the output of good.png"),
        (["good.png", "-o", "text.png"], "text.png: a file, expected a folder for the results"),
        (["good.png", "-o", "text.png/results"], "text.png/results"),
        (["good.png", "-o", "new.png"], "new.png: the name of an image, expected a folder after -o"),
        (["folder.png"], "folder.png: no images in this folder"),
        (["folder.png", "good.png", "none.png"], "folder.png: no images in this folder"),
        (["good.png", "a/good.png", "-o", "."], "good_srgan_x4.png: the output of both good.png and a/good.png"),
    ],
)
def test_command_line_says_what_is_wrong_before_the_work(arguments, said, tmp_path, monkeypatch, capsys, image):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "load_generator", lambda source: pytest.fail("the work had begun"))
    Path("folder.png").mkdir()
    Path("folder.png/notes.txt").write_text("no image")
    for name in ("text.png", "text.gif"):
        Path(name).write_bytes(b"text")
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
    [("sragn", "unknown weights 'sragn': expected one of srgan, srresnet, srcnn"), ("none.h5", "no such weights file")],
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
    assert out == "" and err == "srgan.py: photos: 3 of 3 images have their results already; see --overwrite\n"
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
    assert [line.split(": ")[1] for line in failures] == ["has_srgan_x4.png", "none.png", "cut.png"]


def test_what_fails_while_it_is_upscaled_stops_no_other(tiny, photos, capsys, monkeypatch):
    save = cli.save_image
    broken = lambda path, image: save(path, image) if path.name[0] == "a" else memory_error()  # noqa: E731

    def memory_error():
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(cli, "save_image", broken)
    with pytest.raises(SystemExit) as stop:
        main(["photos"])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out.split() == [str(photos / name) for name in RESULTS[1:]]
    assert err.endswith(f"srgan.py: {photos / 'B.JPG'}: Unable to allocate 9 GiB\n")


def test_models_are_loaded_once(photos, monkeypatch, capsys):
    model, calls = randomise(network.generator(blocks=1, channels=4)), []
    monkeypatch.setattr(weights, "load_generator", lambda source: calls.append(source) or model)
    main(["photos", "--method", "srresnet"])
    assert calls == ["srresnet"]


def test_an_output_that_is_named_is_replaced_by_another_result_only(photos, image, capsys):
    bicubic = ["--method", "bicubic"]
    main(["photos/a.png", "out.png", *bicubic])
    old = Path("out.png").read_bytes()
    Path("out.png").write_bytes(old + b"older")
    main(["photos/a.png", "out.png", *bicubic])
    assert Path("out.png").read_bytes() == old
    with pytest.raises(SystemExit):
        main(["photos/a.png", "photos/B.JPG", *bicubic])
    assert srgan.read_image("photos/B.JPG").shape == (9, 22, 3)
    main(["photos/a.png", "photos/B.JPG", *bicubic, "--overwrite"])
    assert srgan.read_image("photos/B.JPG").shape == (56, 88, 3)


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


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without a signal that it could handle")
def test_sigterm_leaves_no_temporary_file(tmp_path):
    frames = [np.full((200, 200, 3), k, np.uint8) for k in range(100)]
    srgan.save_gif(tmp_path / "in.gif", frames, 40)
    command = [sys.executable, ROOT / "srgan.py", "in.gif", "out.gif", "--method", "bicubic"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as run:
        while len(list(tmp_path.iterdir())) == 1:  # the temporary file
            assert run.poll() is None
            time.sleep(0.01)
        run.terminate()
    assert run.returncode == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]


@pytest.mark.skipif(os.name != "posix", reason="the shell is not sh")
def test_stderr_may_be_closed(tmp_path, image):
    srgan.save_image(tmp_path / "in.png", image)
    script = f'exec "{sys.executable}" "{ROOT / "srgan.py"}" in.png --method bicubic 2>&-'
    run = subprocess.run(["sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout == "in_bicubic_x4.png\n" and srgan.read_image(tmp_path / "in_bicubic_x4.png").shape == (56, 88, 3)


def test_the_script_itself_is_quiet_and_exits_with_2(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / "srgan.py", "none.png"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "srgan.py: none.png: no such image file\n")
