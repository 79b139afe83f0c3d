"""Tables, in Markdown."""

from pathlib import Path

import numpy as np
from IPython.display import Markdown
from scipy.stats import spearmanr

from superres.gif_reader import open_gif
from superres.measures import (
    blur,
    changed_static_pixels,
    coherence,
    colourfulness,
    edge_density,
    fine_detail,
    flicker,
    luma,
    markdown_table,
    psnr,
    psnr_ssim,
)

PROPERTIES = {
    "Edge density": edge_density, "Fine detail": fine_detail, "Coherence": coherence, "Colourfulness": colourfulness,
}  # fmt: skip


def metrics_table(images, original) -> Markdown:
    """PSNR, SSIM and the no-reference blur measure of Crete et al. 2007 of every image, and the original's blur."""
    scores = [(title, *psnr_ssim(original, image), blur(image)) for title, image in images.items()]
    rows = [(title, f"{psnr:.2f}", f"{ssim:.3f}", f"{blurred:.3f}") for title, psnr, ssim, blurred in scores]
    return Markdown(
        markdown_table(("", "PSNR (dB)", "SSIM", "Blur"), [*rows, ("Original", "", "", f"{blur(original):.3f}")])
    )


def gif_table(files, frames) -> Markdown:
    """What GIF files store, {title: path}, and how many static pixels change in them.

    frames: {title: the frames that were to be stored}. Where one of them equals the one before, so should the file.
    """
    rows = []
    for title, path in files.items():
        gif = open_gif(path)
        loop = {0: "forever", None: "once"}.get(gif.loop, gif.loop)
        changed = changed_static_pixels(frames[title], list(gif))
        rows.append(
            (title, len(gif), "{}x{}".format(*gif.size), f"{sum(gif.durations)} ms", loop, f"{changed:.1%}",
             f"{Path(path).stat().st_size:,}")
        )  # fmt: skip
    header = "", "Frames", "Size", "Duration", "Loop", "Static pixels that change", "Bytes"
    return Markdown(markdown_table(header, rows))


def flicker_table(clips, originals) -> Markdown:
    """Flicker and mean PSNR of some clips, {title: frames}, against the original frames, and the originals' flicker."""
    rows = [
        (title, f"{flicker(frames, originals):.2f}", f"{np.mean(list(map(psnr, originals, frames))):.2f}")
        for title, frames in clips.items()
    ]
    header = "", "Flicker (grey levels)", "PSNR (dB)"
    return Markdown(markdown_table(header, [*rows, ("Original", f"{flicker(originals, originals):.2f}", "")]))


def psnr_gains(images):
    """By how many dB each method exceeds bicubic in PSNR; images: {method: image}, "Original" among them."""
    original = images["Original"]
    values = {method: psnr(original, image) for method, image in images.items() if method != "Original"}
    base = values.pop("Bicubic")
    return {method: value - base for method, value in values.items()}


def categories_table(results) -> Markdown:
    """Properties of the originals, and PSNR gains; results: {category: {method: image}}."""
    rows = []
    for category, images in results.items():
        properties = [f"{measure(images['Original']):.3g}" for measure in PROPERTIES.values()]
        gains = psnr_gains(images)
        rows.append((category, *properties, *(f"{gain:+.2f}" for gain in gains.values())))
    return Markdown(markdown_table(("", *PROPERTIES, *(f"{method} (dB)" for method in gains)), rows))


def correlations_table(results) -> Markdown:
    """Spearman's rank correlation of the gains with each property, with its p-value; results as above."""
    gains = [psnr_gains(images) for images in results.values()]
    rows = []
    for name, measure in PROPERTIES.items():
        values = [measure(images["Original"]) for images in results.values()]
        tests = [spearmanr(values, [gain[method] for gain in gains]) for method in gains[0]]
        rows.append((name, *(f"{test.statistic:+.2f} (p = {test.pvalue:.3f})" for test in tests)))
    return Markdown(markdown_table(("", *gains[0]), rows))


def degradations_table(results, inputs) -> Markdown:
    """How far each input is from the first, and every method's PSNR on it; results: {degradation: {method: image}}."""
    clean, *_ = inputs.values()
    rows = []
    for degradation, images in results.items():
        error = np.sqrt(np.mean((luma(inputs[degradation]) - luma(clean)) ** 2))
        bicubic = psnr(images["Original"], images["Bicubic"])
        gains = psnr_gains(images)
        rows.append((degradation, f"{error:.1f}", f"{bicubic:.2f}", *(f"{gain:+.2f}" for gain in gains.values())))
    header = "Input", "Input error (grey levels)", "Bicubic (dB)", *(f"{method} (dB)" for method in gains)
    return Markdown(markdown_table(header, rows))


def model_card_table(path, data) -> Markdown:
    """The rows of the model card's comparison with the course's generator that were measured on ``data``.

    Raises ValueError where the card has none.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith(f"| {data}: ")]
    if not rows:
        raise ValueError(f"{path}: no row starts with {data!r}")
    return Markdown(markdown_table(("PSNR (dB) / perceptual distance", "clean", "cv2", "gif", "jpeg"), rows))
