"""A blind test: crops of several methods in an order that only a key tells."""

from typing import NamedTuple

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from superres.figures.sheets import mosaic, zoom
from superres.images.measures import psnr

SIDE = 66  # of a crop in pixels: a sixth of the page at 200 %
METHODS = "Bicubic", "SRResNet", "SRGAN"
LETTERS = "ABC"


class Trial(NamedTuple):
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
        places = rng.integers((width - SIDE + 1, height - SIDE + 1), size=(5, 2))
        parts = max((zoom(images, (*place, SIDE, SIDE)) for place in places), key=lambda crops: crops["Original"].std())
        crops = {method: parts[method] for method in rng.permutation(METHODS)}
        trials.append(Trial(category, degradation, crops, parts["Original"]))
    return trials


def blind_test(trials) -> Figure:
    """The crops under numbers and letters, at 200 %."""
    return mosaic(
        {
            f"{number}{letter}": crop
            for number, trial in enumerate(trials, start=1)
            for letter, crop in zip(LETTERS, trial.crops.values(), strict=True)
        },
        columns=2 * len(METHODS),
    )


def ballot(trials, summary: str) -> HTML:
    """A key folded under ``summary``: which letter was which method, and which of them has the highest PSNR.

    Above it, where scripts run, a choice for every trial, and once all are made, how often each method was chosen.
    Elsewhere (GitHub) the key is all that is left: the script makes the choices out of it.
    """
    rows = [("", *LETTERS, "Highest PSNR")]
    for number, trial in enumerate(trials, start=1):
        best = max(METHODS, key=lambda method, trial=trial: psnr(trial.original, trial.crops[method]))
        rows.append((f"{number} ({trial.category}, {trial.degradation})", *trial.crops, best))
    lines = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    key = f"<details><summary>{summary}</summary>\n<table>\n{lines}\n</table>\n</details>"
    return HTML(f"<div>\n{key}\n<script>{SCRIPT}</script>\n</div>")


SCRIPT = """{
  const key = document.currentScript.previousElementSibling;
  const cells = [...key.querySelectorAll("tr")].map(row => [...row.cells].map(cell => cell.textContent));
  const letters = cells[0].slice(1, -1), trials = cells.slice(1).map(row => row.slice(1));
  const ballot = document.createElement("form");
  ballot.innerHTML = trials.map((_, trial) => `<fieldset style="display: inline">${trial + 1} ` +
    letters.map((letter, i) => `<label><input type="radio" name="${trial}" value="${i}">${letter}</label>`).join(" ") +
    "</fieldset>").join(" ") + "<p><output></output></p>";
  ballot.onchange = () => {
    const votes = [...new FormData(ballot)].map(([trial, i]) => [trials[trial][i], trials[trial].at(-1)]);
    const count = method => votes.filter(([pick]) => pick === method).length;
    const methods = trials[0].slice(0, -1).sort();
    const best = votes.filter(([pick, highest]) => pick === highest).length;
    ballot.querySelector("output").textContent = votes.length < trials.length
      ? `${votes.length} of ${trials.length}`
      : methods.map(method => `${method} ${count(method)}`).join(", ") + `; highest PSNR ${best} of ${trials.length}`;
  };
  key.before(ballot);
}"""
