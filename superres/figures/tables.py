"""What was measured: tables, in Markdown, and spectra."""

from pathlib import Path

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from superres import SCALE
from superres.clips.reader import open_gif
from superres.figures.page import BLACK, BLUE, GREEN, VERMILION, WIDTH
from superres.images.measures import (
    blur,
    changed_static_pixels,
    consistency,
    difference_map,
    flicker,
    markdown_table,
    over_sharpened,
    psnr,
    psnr_ssim,
    radial_spectrum,
)

# Colours, and markers for those who print.
STYLES = {"Bicubic": (BLUE, "s"), "SRResNet": (GREEN, "P"), "SRGAN": (VERMILION, "o"), "Original": (BLACK, "X")}


def metrics_table(images, original, low=None) -> Markdown:
    """PSNR, SSIM and the no-reference blur measure of Crete et al. 2007 of every image, and the original's blur.

    low: where given, the input that the images were made from, whose consistency with each is one column more.
    """
    measured = {"PSNR (dB)": "{:.2f}", "SSIM": "{:.3f}", "Blur": "{:.3f}"}
    measured |= {"Consistency (dB)": "{:.1f}"} if low is not None else {}
    rows = []
    for title, image in images.items():
        scores = *psnr_ssim(original, image), blur(image), *([consistency(low, image)] if low is not None else [])
        rows.append((title, *(form.format(score) for form, score in zip(measured.values(), scores, strict=True))))
    rows.append(("Original", "", "", f"{blur(original):.3f}", *[""] * (len(measured) - 3)))
    return Markdown(markdown_table(("", *measured), rows))


def over_sharpening_table(results) -> Markdown:
    """PSNR, and the share of the blocks that are sharper than the original's; results: {input: {method: image}}."""
    first, *_ = results.values()
    rows = []
    for method in first:
        if method != "Original":
            pairs = [(images["Original"], images[method]) for images in results.values()]
            rows.append((method, *(f"{psnr(*pair):.2f} / {over_sharpened(*pair):.0%}" for pair in pairs)))
    return Markdown(markdown_table(("PSNR (dB) / over-sharpened blocks", *results), rows))


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


def clips_table(clips, originals) -> Markdown:
    """Mean PSNR and SSIM of some clips, {title: frames}, against the original frames, and everyone's flicker."""
    rows = []
    for title, frames in clips.items():
        scores = [psnr_ssim(original, frame) for original, frame in zip(originals, frames, strict=True)]
        mean_psnr, mean_ssim = np.mean(scores, axis=0)
        rows.append((title, f"{mean_psnr:.2f}", f"{mean_ssim:.3f}", f"{flicker(frames, originals):.2f}"))
    rows.append(("Original", "", "", f"{flicker(originals, originals):.2f}"))
    return Markdown(markdown_table(("", "PSNR (dB)", "SSIM", "Flicker (grey levels)"), rows))


def psnr_gains(images):
    """By how many dB each method exceeds bicubic in PSNR; images: {method: image}, "Original" among them."""
    original = images["Original"]
    values = {method: psnr(original, image) for method, image in images.items() if method != "Original"}
    base = values.pop("Bicubic")
    return {method: value - base for method, value in values.items()}


def gains_table(results, heading, properties=None) -> Markdown:
    """The PSNR of bicubic and by how many dB the others exceed it; results: {row: {method: image}}.

    properties: {name: function of the original}, of columns in between.
    """
    rows = []
    for name, images in results.items():
        original, gains = images["Original"], psnr_gains(images)
        measured = [f"{measure(original):.2f}" for measure in (properties or {}).values()]
        bicubic = f"{psnr(original, images['Bicubic']):.2f}"
        rows.append((name, *measured, bicubic, *(f"{gain:+.2f}" for gain in gains.values())))
    header = heading, *(properties or {}), "Bicubic (dB)", *(f"{method} (dB)" for method in gains)
    return Markdown(markdown_table(header, rows))


def degradations_table(results) -> Markdown:
    """The mean PSNR of bicubic, the others' mean gains, and how often they exceed it.

    results: {degradation: {category: {method: image}}}.
    """
    rows = []
    for degradation, categories in results.items():
        gains = [psnr_gains(images) for images in categories.values()]
        bicubic = np.mean([psnr(images["Original"], images["Bicubic"]) for images in categories.values()])
        columns = {method: [gain[method] for gain in gains] for method in gains[0]}
        rows.append(
            (degradation, f"{bicubic:.2f}",
             *(f"{np.mean(values):+.2f} ({np.sum(np.array(values) > 0)})" for values in columns.values()))
        )  # fmt: skip
    header = "Input", "Bicubic (dB)", *(f"{method} (better, of {len(gains)})" for method in columns)
    return Markdown(markdown_table(header, rows))


def trust_table(results) -> Markdown:
    """How well SRGAN's difference to SRResNet, and that to bicubic, predict its true error.

    Rank correlations (Spearman) over the blocks of an image, and the first difference's share of the error: the median
    of the images, the lowest and the highest. results: {degradation: {category: {method: image}}}.
    """
    rows = []
    for degradation, categories in results.items():
        columns = zip(*map(predictions, categories.values()), strict=True)
        rows.append((degradation, *(f"{np.median(c):.2f} ({min(c):.2f} to {max(c):.2f})" for c in columns)))
    header = "Input", "SRGAN - SRResNet", "SRGAN - Bicubic", "SRGAN - SRResNet, of the error"
    return Markdown(markdown_table(header, rows))


def predictions(images):
    error, *maps = (
        difference_map(images[name], images["SRGAN"]).ravel() for name in ("Original", "SRResNet", "Bicubic")
    )
    return *(spearmanr(values, error).statistic for values in maps), maps[0].mean() / error.mean()


def spectra(results) -> Figure:
    """Radially averaged power spectra of some images side by side; results: {category: {method: image}}."""
    figure = Figure((WIDTH / 96, 3.5), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (category, images) in zip(axes, results.items(), strict=True):
        for method, image in images.items():
            colour, marker = STYLES[method]
            axis.semilogy(*radial_spectrum(image), color=colour, marker=marker, markevery=6, label=method)
        axis.axvline(0.5 / SCALE, color=BLACK, linestyle=":")
        axis.set_title(category, fontsize=11)
        axis.set_xlabel("Cycles per pixel")
    axes[0].set_ylabel("Power (grey levels squared)")
    axes[0].legend()
    return figure
