from pathlib import Path

import numpy as np
import pytest

from training.tools import speed

OURS = {"course": 4.0, "float32": 2.0, "bfloat16": 1.0}


def test_ratios_are_of_the_courses_time(monkeypatch, rng, capsys):
    monkeypatch.setattr(speed, "SIZES", ((8, 6),))
    monkeypatch.setattr("superres.network.inference.has_native_bfloat16", lambda: True)  # or it would warn
    monkeypatch.setattr(speed, "seconds", lambda way, image: OURS.get(way.__name__, 8.0))
    speed.main(["ratios"])
    assert "| 8x6 | 5208.33 | 2.00x | 4.00x |" in capsys.readouterr().out
    runtime = lambda: lambda x: np.repeat(np.repeat(x, 4, 1), 4, 2) + 0.4  # noqa: E731
    monkeypatch.setitem(speed.RUNTIMES, "other", (runtime, ()))
    speed.main(["ratios", "other"])
    assert "| LR size | course (s/MP) | float32 | bfloat16 | other |" in (table := capsys.readouterr().out)
    assert "| 8x6 | 5208.33 | 2.00x | 4.00x | 0.50x |" in table
    image = rng.integers(0, 256, (3, 2, 3), np.uint8)
    np.testing.assert_array_equal(speed.way_of("other")(image), image.repeat(4, 0).repeat(4, 1))


def test_ways_run_in_turn_and_the_first_round_does_not_count():
    calls, time = [], iter([9.0, 9.0, 1.0, 5.0, 3.0, 6.0, 2.0, 7.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "seconds", lambda way, image: next(time))
        a, b = lambda image: calls.append("a"), lambda image: calls.append("b")
        next(time), next(time)
        np.testing.assert_array_equal(speed.race(None, [a, b]), [2.0, 6.0])
    assert calls == ["a", "b"]


def test_the_ways_are_what_they_are_called(rng, monkeypatch):
    image = rng.integers(0, 256, (6, 5, 3), np.uint8)
    course, float32 = speed.course(image).astype(int), speed.float32(image)
    assert np.abs(course - float32).max() <= 1
    monkeypatch.setattr(speed, "apply_srgan", lambda image, dtype: dtype)
    assert (speed.float32(image), speed.bfloat16(image)) == ("float32", "bfloat16")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_is_that_of_a_process_of_its_own():
    assert 200 < speed.peak_memory("still", (8, 6)) < 2000
    assert 100 < speed.peak_memory("clip", (200, 200)) < speed.memory_bound("clip", 200, 200)


def test_precision_takes_a_folder(photos, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(speed, "float32", lambda image: image)
    monkeypatch.setattr(speed, "bfloat16", lambda image: image ^ 1)  # one grey level: 20 log10(255) dB
    speed.main(["precision", str(photos)])
    assert capsys.readouterr().out == "bfloat16 against float32: 48.1 dB PSNR.\n"
    with pytest.raises(SystemExit) as exit:
        speed.main(["precision", str(tmp_path / "none")])
    assert exit.value.code == 2 and "no images" in capsys.readouterr().err


def test_memory_is_held_to_its_bound(monkeypatch, capsys):
    monkeypatch.setattr(speed, "peak_memory", lambda kind, size: speed.memory_bound(kind, *size) - 100)
    table = speed.memory()
    assert "| still, 341x268 | 2404 | 2504 |" in table and "| still, 8000x6000 | 4735 | 4835 |" in table
    assert "| clip, 2000x1500 | 829 | 929 |" in table
    monkeypatch.setattr(speed, "peak_memory", lambda kind, size: 2600.0 if kind == "still" else 1.0)
    with pytest.raises(SystemExit):
        speed.main(["memory"])
    assert "still, 341x268: peak 2600 MB, expected at most 2504 MB" in capsys.readouterr().err


def test_a_runtime_that_is_not_installed_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(speed.RUNTIMES, "other", (None, ("numpy", "none_such")))
    with pytest.raises(SystemExit) as exit:
        speed.main(["ratios", "other"])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and "other: not installed: none_such;" in error
