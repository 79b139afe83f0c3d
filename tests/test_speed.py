import numpy as np
import pytest

from training.tools import speed


def test_ratios_are_of_the_courses_time(monkeypatch):
    monkeypatch.setattr(speed, "SIZES", ((8, 6),))
    monkeypatch.setattr(speed, "race", lambda image: [4.0, 2.0, 1.0])
    assert speed.ratios().splitlines()[-1] == "| 8x6 | 5208.33 | 2.00x | 4.00x |"


def test_ways_run_in_turn_and_the_first_round_does_not_count(monkeypatch):
    calls, clock = [], iter([9.0, 9.0, 1.0, 5.0, 3.0, 6.0, 2.0, 7.0])
    monkeypatch.setattr(speed, "WAYS", {"a": lambda image: calls.append("a"), "b": lambda image: calls.append("b")})
    monkeypatch.setattr(speed.timeit, "timeit", lambda way, number: (way(), next(clock))[1])
    np.testing.assert_array_equal(speed.race(None), [2.0, 6.0])
    assert calls == 4 * ["a", "b"]


@pytest.mark.filterwarnings("ignore:this processor has no bfloat16")
@pytest.mark.usefixtures("bfloat16")
def test_the_ways_are_what_they_are_called(rng):
    image = rng.integers(0, 256, (6, 5, 3), np.uint8)
    course, float32, bfloat16 = (way(image).astype(int) for way in speed.WAYS.values())
    assert list(speed.WAYS) == ["course", "float32", "bfloat16"]
    assert np.abs(course - float32).max() <= 1
    assert np.abs(bfloat16 - float32).max() > 1
