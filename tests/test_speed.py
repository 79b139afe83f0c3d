from pathlib import Path

import numpy as np
import pytest

from training import speed


def test_speed_reports_ratios_and_memory(monkeypatch, rng):
    monkeypatch.setattr(speed, "SIZES", ((8, 6),))
    monkeypatch.setattr(speed, "LARGE", (16, 12))
    seconds = {"course": 4.0, "float32": 2.0, "bfloat16": 1.0}
    monkeypatch.setattr(speed, "seconds", lambda way, image: seconds[way.__name__])
    monkeypatch.setattr(speed, "measure", lambda way, size: (5.0, size[0] / 8, 100.0))
    monkeypatch.setattr(speed, "race_clip", lambda size: (6.0, 1.0))
    report = speed.report([rng.integers(0, 256, (6, 6, 3), np.uint8)])
    assert "| 8x6 | 4.00 | 2.00x | 4.00x | 100 | 100 | 100 |" in report
    assert "16x12: 2 s, peak 100 MB of at most 2500 MB, 0.50 times the time per pixel." in report
    rates = "course 5208.33, float32 2604.17, bfloat16 1302.08."
    assert f"Seconds per megapixel of output at 8x6: {rates}" in report
    assert float(report.rsplit(": ", 1)[1].split()[0]) > 40
    assert "6.0 times as fast as whole frames" in report


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_speed_measures_a_process_of_its_own():
    first, second, megabytes = speed.measure(speed.float32, (8, 6))
    assert min(first, second) > 0 and 100 < megabytes < 8000


def test_speed_takes_a_folder(photos, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(speed, "report", lambda images: f"{len(images)} of {images[0].shape}")
    speed.main([str(photos), "--limit", "2"])
    assert capsys.readouterr().out == "2 of (32, 42, 3)\n"
    with pytest.raises(SystemExit) as exit:
        speed.main([str(tmp_path / "none")])
    assert exit.value.code == 2 and "no images" in capsys.readouterr().err


def test_a_clip_for_speed_moves_in_a_tenth_of_its_area():
    first, second, *_ = speed.moving_clip(480, 360)
    changed = (first != second).any(-1)
    assert first.shape == (360, 480, 3) and 0.1 <= changed.mean() < 0.11


def test_memory_is_held_to_its_bound(monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda way, size: (5.0, 5.0, 1500 + 51 * size[0] * size[1] / 2**20))
    assert "| 341x268 | 1504 | 2504 |" in speed.memory() and "| 8000x6000 | 3835 | 4835 |" in speed.memory()
    monkeypatch.setattr(speed, "measure", lambda way, size: (5.0, 5.0, 2600.0))
    with pytest.raises(MemoryError, match="341x268: peak 2600 MB, expected at most 2504 MB"):
        speed.memory()


def test_speed_against_other_runtimes(monkeypatch, rng):
    monkeypatch.setattr(speed, "SIZES", ((8, 6),))
    monkeypatch.setattr(speed, "race", lambda image, ways: [4.0, 2.0, 1.0, *(8.0 for _ in ways[3:])])
    runtime = lambda: lambda x: np.repeat(np.repeat(x, 4, 1), 4, 2) + 0.4  # noqa: E731
    runtime.__name__ = "other"
    monkeypatch.setitem(speed.RUNTIMES, runtime, ())
    assert "| 8x6 | 5208.33 | 2.00x | 4.00x | 0.50x |" in speed.against([runtime])
    image = rng.integers(0, 256, (3, 2, 3), np.uint8)
    np.testing.assert_array_equal(speed.way_of(runtime)(image), image.repeat(4, 0).repeat(4, 1))
    monkeypatch.setitem(speed.RUNTIMES, runtime, ("numpy", "none_such"))
    with pytest.raises(ModuleNotFoundError, match="other: not installed: none_such"):
        speed.against([runtime])
