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
    report = speed.report([rng.integers(0, 256, (6, 6, 3), np.uint8)])
    assert "| 8x6 | 4.00 | 2.00x | 4.00x | 100 | 100 | 100 |" in report
    assert "16x12: 2 s, peak 100 MB, 0.50 times the time per pixel." in report
    assert float(report.rsplit(": ", 1)[1].split()[0]) > 40


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_speed_measures_a_process_of_its_own(capsys):
    speed.main("float32", 8, 6)
    first, second, megabytes = map(float, capsys.readouterr().out.split())
    assert min(first, second) > 0 and 100 < megabytes < 8000
