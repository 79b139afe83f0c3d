"""A blind test: crops of several methods in an order that only a key tells."""

from dataclasses import dataclass

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from superres.figures.sheets import GAP, column_width, magnified, sheet, zoom
from superres.images.measures import psnr

TRIALS_PER_ROW = 2
WIDTH, HEIGHT = 132, 88  # of a crop in pixels: a sixth of the page at 100 %
METHODS = "Bicubic", "SRResNet", "SRGAN"
LETTERS = "ABC"


@dataclass
class Trial:
    """One crop of an original, by every method in the order in which they are shown."""

    category: str
    degradation: str
    crops: dict[str, np.ndarray]
    original: np.ndarray


def draw_trials(results, count=12, seed=0) -> list[Trial]:
    """Crops of every category once before any comes again, the degradations in turn.

    Each is the one with the most contrast of five random places: nothing is to be seen in an empty sky.

    results: {degradation: {category: {method: RGB uint8 (h, w, 3)}}}, the original among the methods.
    """
    rng = np.random.default_rng(seed)
    degradations, categories = list(results), list(next(iter(results.values())))
    order = [category for _ in range(-(-count // len(categories))) for category in rng.permutation(categories)]
    trials = []
    for number, category in enumerate(order[:count]):
        degradation = degradations[number % len(degradations)]
        images = results[degradation][category]
        height, width = images["Original"].shape[:2]
        places = rng.integers((width - WIDTH + 1, height - HEIGHT + 1), size=(5, 2))
        candidates = [zoom(images, (left, top, WIDTH, HEIGHT)) for left, top in places]
        parts = max(candidates, key=lambda crops: crops["Original"].std())
        crops = {method: parts[method] for method in rng.permutation(METHODS)}
        trials.append(Trial(category, degradation, crops, parts["Original"]))
    return trials


def blind_test(trials) -> Figure:
    """The crops under numbers and letters, at 100 %, and below each its middle at 200 %."""
    cells = [
        (f"{number}{letter}", twice(crop))
        for number, trial in enumerate(trials, start=1)
        for letter, crop in zip(LETTERS, trial.crops.values(), strict=True)
    ]
    columns = TRIALS_PER_ROW * len(METHODS)
    return sheet([cells[i : i + columns] for i in range(0, len(cells), columns)])


def twice(crop):
    width = column_width(TRIALS_PER_ROW * len(METHODS))
    middle = crop[HEIGHT // 4 : HEIGHT * 3 // 4, WIDTH // 4 : WIDTH * 3 // 4]
    gap = np.full((GAP // 4, width, 3), 255, np.uint8)
    return np.vstack([magnified(crop, width), gap, magnified(middle, width)])


def blind_key(trials, summary: str) -> HTML:
    """Which letter was which method, and which of them has the highest PSNR; folded under ``summary``.

    HTML, since nbconvert's Markdown does not fold a table.
    """
    rows = [("", *LETTERS, "Highest PSNR")]
    for number, trial in enumerate(trials, start=1):
        best = max(METHODS, key=lambda method, trial=trial: psnr(trial.original, trial.crops[method]))
        rows.append((f"{number} ({trial.category}, {trial.degradation})", *trial.crops, best))
    lines = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return HTML(f"<details><summary>{summary}</summary>\n<table>\n{lines}\n</table>\n</details>")
