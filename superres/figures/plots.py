"""Curves, points and spectra."""

import numpy as np
from matplotlib.figure import Figure

from superres import SCALE
from superres.figures.page import WIDTH
from superres.figures.tables import PROPERTIES, psnr_gains
from superres.measures import blur, power_spectrum, psnr, psnr_ssim, radial_spectrum

# Okabe and Ito's colours, told apart by colour-blind readers, and markers for those who print.
STYLES = {
    "Nearest": ("#999999", "v"), "Bilinear": ("#56B4E9", "^"), "Bicubic": ("#0072B2", "s"),
    "SRCNN": ("#E69F00", "D"), "SRResNet": ("#009E73", "P"), "SRGAN": ("#D55E00", "o"), "Original": ("#000000", "X"),
}  # fmt: skip


def style(method, label=None):
    colour, marker = STYLES[method]
    return {"color": colour, "marker": marker, "label": label or method}


def plot(rows=1, columns=1, height=3.5, **options):
    """A figure of the page's width and an array of axes."""
    figure = Figure((WIDTH / 96, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def psnr_ssim_curves(clips, originals) -> Figure:
    """PSNR and SSIM of every frame of some clips, {method: frames}, against the original frames."""
    figure, axes = plot(1, 2)
    for method, frames in clips.items():
        scores = [psnr_ssim(original, frame) for original, frame in zip(originals, frames, strict=True)]
        for axis, values in zip(axes.flat, zip(*scores, strict=True), strict=True):
            axis.plot(values, **style(method, f"{method}, mean {np.mean(values):.3f}"))
    for axis, label in zip(axes.flat, ("PSNR (dB)", "SSIM"), strict=True):
        axis.set(xlabel="Frame", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    return figure


def property_gains(results) -> Figure:
    """PSNR gain over bicubic, the originals in order of each property; results: {category: {method: image}}."""
    figure, axes = plot(2, 2, height=8, sharey=True)
    gains = {category: psnr_gains(images) for category, images in results.items()}
    for axis, (name, measure) in zip(axes.flat, PROPERTIES.items(), strict=True):
        values = {category: measure(images["Original"]) for category, images in results.items()}
        order = sorted(values, key=values.get)
        for method in gains[order[0]]:
            axis.plot([gains[category][method] for category in order], linestyle="none", **style(method))
        axis.axhline(0, color=STYLES["Bicubic"][0], linestyle="--", linewidth=1)
        labels = [f"{category} {values[category]:.2g}" for category in order]
        axis.set_xticks(range(len(order)), labels, rotation=90, fontsize=10)
        axis.grid(axis="x", alpha=0.4)
        axis.set_title(name, fontsize=11)
    axes[0, 0].legend()
    figure.supylabel("Gain over bicubic (dB)", fontsize=10)
    return figure


def resolution_curves(results) -> Figure:
    """PSNR and blur against the width of the low-resolution input; results: {width: {method: image}}."""
    figure, axes = plot(1, 2)
    (left, right), widths = axes[0], list(results)
    for method in results[widths[0]]:
        right.plot(widths, [blur(images[method]) for images in results.values()], **style(method))
        if method != "Original":
            left.plot(
                widths, [psnr(images["Original"], images[method]) for images in results.values()], **style(method)
            )
    left.set(ylabel="PSNR (dB)")
    right.set(ylabel="Blur (lower is sharper)")
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set(xlabel="Width of the low-resolution input (pixels)", xticks=widths, xticklabels=widths)
        axis.legend()
    return figure


def perception_distortion(images, path, original) -> Figure:
    """PSNR against sharpness, which is 1 - blur.

    images: {method: image}, the points.  path: {alpha: image}, of networks between SRResNet and SRGAN, the line.
    """

    def place(image):
        return 1 - blur(image), psnr(original, image)

    figure, axes = plot(height=4)
    axis = axes[0, 0]
    points = {alpha: place(image) for alpha, image in path.items()}
    axis.plot(*zip(*points.values(), strict=True), color="#666666", marker=".", label=r"by $\alpha$")
    for alpha, point in points.items():
        axis.annotate(f"{alpha:g}", point, (0, 9), textcoords="offset points", ha="center")
    for method, image in images.items():
        axis.plot(*place(image), linestyle="none", markersize=9, **style(method))
    axis.axvline(1 - blur(original), color=STYLES["Original"][0], linestyle="--", label="Original (sharpness)")
    axis.set(xlabel="Sharpness (1 - blur)", ylabel="PSNR (dB)")
    axis.margins(0.1, 0.15)
    axis.legend()
    return figure


def spectra(results) -> Figure:
    """Radially averaged power spectra of some images side by side; results: {category: {method: image}}."""
    figure, axes = plot(1, len(results))
    for axis, (category, images) in zip(axes[0], results.items(), strict=True):
        for method, image in images.items():
            axis.semilogy(*radial_spectrum(image), markevery=6, **style(method))
        axis.axvline(0.5 / SCALE, color="#666666", linestyle=":")
        axis.set_title(category, fontsize=11)
        axis.set_xlabel("Cycles per pixel")
    axes[0, 0].set_ylabel("Power (grey levels squared)")
    axes[0, 0].legend()
    return figure


def spectra_2d(images) -> Figure:
    """Two-dimensional power spectra side by side, logarithmic and on one grey scale; images: {title: image}."""
    powers = {title: np.log10(power_spectrum(image)) for title, image in images.items()}
    low, high = np.percentile(np.stack([*powers.values()]), (1, 99.9))
    figure, axes = plot(1, len(images), height=WIDTH / 96 / len(images) + 0.5, sharey=True)
    ticks = [-1 / SCALE, 0, 1 / SCALE]  # where a pattern repeated in every low-resolution pixel would shine
    for axis, (title, power) in zip(axes[0], powers.items(), strict=True):
        axis.imshow(power, "gray", vmin=low, vmax=high, extent=(-0.5, 0.5, 0.5, -0.5))
        axis.set_title(title, fontsize=10)
        axis.set(xticks=ticks, yticks=ticks)
    figure.supxlabel("Horizontal frequency (cycles per pixel)", fontsize=10)
    axes[0, 0].set_ylabel("Vertical frequency")
    return figure
