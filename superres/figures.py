"""What the notebook shows: side-by-side sheets, tables, curves, the drawn generator, playing GIFs."""

import base64
import html
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import spearmanr

from superres.gif_reader import open_gif
from superres.measures import (
    blur,
    coherence,
    colourfulness,
    edge_density,
    fine_detail,
    luma,
    psnr,
    psnr_ssim,
    radial_spectrum,
)
from superres.network import SCALE

# Okabe and Ito's colours, told apart by colour-blind readers: one for each crop, one for each method.
CROP_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
METHOD_COLOURS = {
    "Nearest": "#999999", "Bilinear": "#56B4E9", "Bicubic": "#0072B2",
    "SRCNN": "#E69F00", "SRResNet": "#009E73", "SRGAN": "#D55E00", "Original": "#000000",
}  # fmt: skip
PROPERTIES = {
    "Edge density": edge_density, "Fine detail": fine_detail, "Coherence": coherence, "Colourfulness": colourfulness,
}  # fmt: skip


def metrics_table(images, original):
    """PSNR, SSIM and the no-reference blur measure of Crete et al. 2007 of every image, and the original's blur."""
    rows = [(title, *psnr_ssim(original, image), blur(image)) for title, image in images.items()]
    lines = [(title, *(f"{value:.3f}" for value in values)) for title, *values in rows]
    return table(("", "PSNR (dB)", "SSIM", "Blur"), [*lines, ("Original", "", "", f"{blur(original):.3f}")])


def gif_table(files):
    """Frames, size, total duration, loop and bytes of GIF files, {title: path}."""
    rows = []
    for title, path in files.items():
        gif = open_gif(path)
        loop = {0: "forever", None: "once"}.get(gif.loop, gif.loop)
        size = "{}x{}".format(*gif.size)
        rows.append((title, len(gif), size, f"{sum(gif.durations)} ms", loop, f"{Path(path).stat().st_size:,}"))
    return table(("", "Frames", "Size", "Duration", "Loop", "Bytes"), rows)


def table(header, rows):
    lines = [header, (":---", *("---:" for _ in header[1:])), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def psnr_ssim_curves(clips, originals):
    """PSNR and SSIM of every frame of some clips, {method: frames}, against the original frames."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3), layout="constrained")
    for method, frames in clips.items():
        scores = [psnr_ssim(original, frame) for original, frame in zip(originals, frames, strict=True)]
        for axis, values in zip((left, right), zip(*scores, strict=True), strict=True):
            axis.plot(values, color=METHOD_COLOURS[method], label=f"{method}, mean {np.mean(values):.3f}")
    left.set(xlabel="Frame", ylabel="PSNR (dB)")
    right.set(xlabel="Frame", ylabel="SSIM")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    return figure


def compare(images, crops=(), original=None):
    """Images of one size side by side, and below them the same crops of each, pixel by pixel at one scale.

    images: {title: RGB uint8 (h, w, 3)}, from left to right.
    crops: (left, top, width, height) in their pixels; each becomes a row, its colour the rectangle's in the image.
    original: where given, PSNR and SSIM against it join the titles.
    """
    height, width = next(iter(images.values())).shape[:2]
    ratios = [height / width, *(h / w for _, _, w, h in crops)]
    column = 12 / len(images)
    figure, axes = plt.subplots(
        len(ratios), len(images), squeeze=False, layout="constrained",
        figsize=(12, column * sum(ratios) + 0.6), height_ratios=ratios,
    )  # fmt: skip
    for (title, image), (whole, *rows) in zip(images.items(), axes.T, strict=True):
        whole.imshow(image, interpolation="antialiased")
        whole.set_title(caption(title, image, original))
        for axis, (left, top, w, h), colour in zip(rows, crops, CROP_COLOURS, strict=False):
            whole.add_patch(Rectangle((left, top), w, h, fill=False, color=colour, linewidth=2))
            axis.imshow(image[top : top + h, left : left + w], interpolation="nearest")
            axis.spines[:].set(color=colour, linewidth=2)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    return figure


def caption(title, image, original):
    size = f"{title}\n{image.shape[1]}x{image.shape[0]}"
    if original is None or image is original:
        return size
    return "{}  {:.2f} dB / {:.3f}".format(size, *psnr_ssim(original, image))


def zoom(images, box):
    """The same part of images of one size, {title: image}; box: left, top, width, height."""
    left, top, width, height = box
    return {title: image[top : top + height, left : left + width] for title, image in images.items()}


def mosaic(images, columns):
    """Small images of one aspect, {title: image}, row by row and equally large, pixel by pixel."""
    height, width = next(iter(images.values())).shape[:2]
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, squeeze=False, layout="constrained",
        figsize=(12, rows * (12 / columns * height / width + 0.3)),
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for axis, (title, image) in zip(axes.flat, images.items(), strict=False):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(title)
    return figure


def psnr_gains(images):
    """By how many dB each method exceeds bicubic in PSNR; images: {method: image}, "Original" among them."""
    original = images["Original"]
    values = {method: psnr(original, image) for method, image in images.items() if method != "Original"}
    base = values.pop("Bicubic")
    return {method: value - base for method, value in values.items()}


def categories_table(results):
    """Properties of the originals, PSNR gains, and the blur of every method; results: {category: {method: image}}."""
    rows = []
    for category, images in results.items():
        properties = [f"{measure(images['Original']):.3g}" for measure in PROPERTIES.values()]
        gains = psnr_gains(images)
        blurs = " / ".join(f"{blur(image):.2f}" for image in images.values())
        rows.append((category, *properties, *(f"{gain:+.2f}" for gain in gains.values()), blurs))
    return table(("", *PROPERTIES, *(f"{method} (dB)" for method in gains), "Blur: " + " / ".join(images)), rows)


def categories_scatter(results):
    """Gain over bicubic against each property, with Spearman's rank correlation; results as in ``categories_table``."""
    gains = {category: psnr_gains(images) for category, images in results.items()}
    figure, axes = plt.subplots(2, 2, figsize=(12, 9), sharey=True, layout="constrained")
    for axis, (name, measure) in zip(axes.flat, PROPERTIES.items(), strict=True):
        values = {category: measure(images["Original"]) for category, images in results.items()}
        for category, x in values.items():
            low, *_, high = sorted(gains[category].values())
            axis.plot([x, x], [low, high], color="#BBBBBB", linewidth=1, zorder=1)
            # Below where a method loses to bicubic, else above: so neighbours' names keep clear of each other.
            y, shift, side = (low, -7, "top") if low < 0 else (high, 7, "bottom")
            axis.annotate(category, (x, y), (0, shift), textcoords="offset points", ha="center", va=side)
        correlations = []
        for method in gains[category]:
            y = [gain[method] for gain in gains.values()]
            axis.scatter([*values.values()], y, color=METHOD_COLOURS[method], label=method)
            correlations.append(f"{method} {spearmanr([*values.values()], y).statistic:+.2f}")
        axis.axhline(0, color=METHOD_COLOURS["Bicubic"], linestyle="--", linewidth=1, label="Bicubic")
        axis.set(title="Rank correlation: " + ", ".join(correlations), xlabel=name)
        axis.margins(x=0.08, y=0.12)
    axes.flat[list(PROPERTIES).index("Fine detail")].set_xscale("log")
    figure.supylabel("Gain over bicubic (dB)", fontsize="medium")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def inputs_table(results, inputs):
    """How far each input is from the first, and every method's PSNR on it; results: {degradation: {method: image}}."""
    clean, *_ = inputs.values()
    rows = []
    for category, images in results.items():
        error = np.sqrt(np.mean((luma(inputs[category]) - luma(clean)) ** 2))
        bicubic = psnr(images["Original"], images["Bicubic"])
        gains = psnr_gains(images)
        rows.append((category, f"{error:.1f}", f"{bicubic:.2f}", *(f"{gain:+.2f}" for gain in gains.values())))
    return table(("Input", "Input error (grey levels)", "Bicubic (dB)", *(f"{method} (dB)" for method in gains)), rows)


def resolution_curves(results):
    """PSNR and blur against the width of the low-resolution input; results: {width: {method: image}}."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
    widths = list(results)
    for method in results[widths[0]]:
        style = {"color": METHOD_COLOURS[method], "marker": "o", "label": method}
        right.plot(widths, [blur(images[method]) for images in results.values()], **style)
        if method != "Original":
            left.plot(widths, [psnr(images["Original"], images[method]) for images in results.values()], **style)
    left.set(ylabel="PSNR (dB)")
    right.set(ylabel="Blur (lower is sharper)")
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set(xlabel="Width of the low-resolution input (pixels)", xticks=widths, xticklabels=widths)
        axis.legend()
    return figure


def perception_distortion(images, path, original):
    """PSNR against sharpness, which is 1 - blur.

    images: {method: image}, the points.  path: {alpha: image}, of networks between SRResNet and SRGAN, the line.
    """

    def place(image):
        return 1 - blur(image), psnr(original, image)

    figure, axis = plt.subplots(figsize=(12, 4.5), layout="constrained")
    points = {alpha: place(image) for alpha, image in path.items()}
    axis.plot(*zip(*points.values(), strict=True), color="#666666", marker="o", zorder=1, label=r"by $\alpha$")
    for alpha, point in points.items():
        axis.annotate(f"{alpha:g}", point, (0, 9), textcoords="offset points", ha="center")
    for method, image in images.items():
        axis.scatter(*place(image), s=80, color=METHOD_COLOURS[method], label=method)
    sharpness = 1 - blur(original)
    axis.axvline(sharpness, color=METHOD_COLOURS["Original"], linestyle="--", label="Original (sharpness)")
    axis.set(xlabel="Sharpness (1 - blur)", ylabel="PSNR (dB)")
    axis.margins(0.08)
    axis.legend()
    return figure


def spectra(results):
    """Radially averaged power spectra of some images side by side; results: {category: {method: image}}."""
    figure, axes = plt.subplots(1, len(results), figsize=(12, 4), squeeze=False, layout="constrained")
    for axis, (category, images) in zip(axes[0], results.items(), strict=True):
        for method, image in images.items():
            axis.semilogy(*radial_spectrum(image), color=METHOD_COLOURS[method], label=method)
        axis.axvline(0.5 / SCALE, color="#666666", linestyle=":")
        axis.set(title=category, xlabel="Frequency (cycles per pixel)")
    axes[0, 0].set_ylabel("Power (grey levels squared)")
    axes[0, 0].legend()
    return figure


def draw_generator():
    """The generator of SRGAN as this project uses it (after Ledig et al. 2017, fig. 4)."""
    stages = [
        ("LR\nh x w x 3", "#FFFFFF"),
        ("Conv 9x9, 64\nPReLU", "#56B4E9"),
        ("Conv 3x3, 64\nPReLU\nConv 3x3, 64\n+ input", "#E69F00"),
        ("Conv 3x3, 64\n+ head", "#56B4E9"),
        ("Conv 3x3, 256\nshuffle x2\nPReLU", "#009E73"),
        ("Conv 3x3, 256\nshuffle x2\nPReLU", "#009E73"),
        ("Conv 9x9, 3", "#56B4E9"),
        ("SR\n4h x 4w x 3", "#FFFFFF"),
    ]
    figure, axis = plt.subplots(figsize=(12, 2.6), layout="constrained")
    axis.set(xlim=(-0.55, len(stages) - 0.45), ylim=(-1.05, 1.3))
    axis.axis("off")
    for i, (text, colour) in enumerate(stages):
        box = FancyBboxPatch((i - 0.4, -0.55), 0.8, 1.1, boxstyle="round,pad=0.02", facecolor=colour, alpha=0.55)
        axis.add_patch(box)
        axis.text(i, 0, text, ha="center", va="center", fontsize=10)
    for i in range(len(stages) - 1):
        axis.add_patch(FancyArrowPatch((i + 0.42, 0), (i + 0.58, 0), arrowstyle="->", mutation_scale=12))
    skip = FancyArrowPatch(
        (1, 0.58), (3, 0.58), connectionstyle="arc3,rad=-0.3", arrowstyle="->", mutation_scale=12, linestyle="--"
    )
    axis.add_patch(skip)
    axis.text(2, 1.2, "global skip connection", ha="center", va="center", fontsize=10)
    axis.text(2, -0.8, "residual block, 16 times", ha="center", fontsize=10)
    axis.text(4.5, -0.8, "two sub-pixel steps: x2, x2", ha="center", fontsize=10)
    return figure


def show_gif(path, width):
    """A GIF that plays in JupyterLab and in the HTML of nbconvert, which drops IPython's own ``image/gif`` output."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return HTML(f'<img src="data:image/gif;base64,{data}" width="{width}" alt="{html.escape(Path(path).name)}">')


def side_by_side(clips, gap=8):
    """Yield the frames of clips next to each other and in step, each clip under its name: RGB uint8, for ``save_gif``.

    clips: {name: RGB uint8 frames (h, w, 3)}, from left to right, equally many of each. All are shown as large as the
    largest, the smaller ones by repeating pixels, which takes whole factors.
    """
    for frames in zip(*clips.values(), strict=True):
        height, width = max(frame.shape[:2] for frame in frames)
        label = height // 8
        sheet = Image.new("RGB", (len(frames) * (width + gap) - gap, label + height), "white")
        draw = ImageDraw.Draw(sheet)
        for left, name, frame in zip(range(0, sheet.width, width + gap), clips, frames, strict=True):
            draw.text((left + width // 2, label // 2), name, "black", ImageFont.load_default(0.65 * label), "mm")
            sheet.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST), (left, label))
        yield np.asarray(sheet)
