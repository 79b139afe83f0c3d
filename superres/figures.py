"""What the notebook shows: measures of quality, side-by-side sheets, the drawn generator, playing GIFs."""

import base64
import html
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from skimage.measure import blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres.gif import open_gif

# Okabe and Ito's colours, told apart by colour-blind readers: one for each crop, one for each method.
CROP_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
METHOD_COLOURS = {"Bicubic": "#0072B2", "SRCNN": "#E69F00", "SRResNet": "#009E73", "SRGAN": "#D55E00"}


def luma(rgb):
    """Y of BT.601 in [16, 235], float64 (h, w), of an RGB uint8 picture (h, w, 3): what papers measure on."""
    return 16 + rgb @ np.array([65.481, 128.553, 24.966]) / 255


def quality(original, picture, border=4):
    """PSNR in dB and SSIM of a picture against its original, on Y, without ``border`` pixels at each side.

    The protocol of the SRGAN paper (section 3.1); SSIM with the 11x11 Gaussian window of Wang et al. 2004.
    """
    inner = slice(border, -border), slice(border, -border)
    a, b = luma(original)[inner], luma(picture)[inner]
    psnr = peak_signal_noise_ratio(a, b, data_range=255)
    return psnr, structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def quality_table(pictures, original):
    """PSNR, SSIM and the no-reference blur measure of Crete et al. 2007 of every picture, and the original's blur."""
    rows = [(title, *(f"{value:.3f}" for value in quality(original, picture)), picture) for title, picture in pictures.items()]
    rows.append(("Original", "", "", original))
    return table(("", "PSNR (dB)", "SSIM", "Blur"), [(*row, f"{blur_effect(luma(picture)):.3f}") for *row, picture in rows])


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


def quality_curve(clips, originals):
    """PSNR and SSIM of every frame of some clips, {method: frames}, against the original frames."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3), layout="constrained")
    for method, frames in clips.items():
        scores = [quality(original, frame) for original, frame in zip(originals, frames, strict=True)]
        for axis, values in zip((left, right), zip(*scores, strict=True), strict=True):
            axis.plot(values, color=METHOD_COLOURS[method], label=f"{method}, mean {np.mean(values):.3f}")
    left.set(xlabel="Frame", ylabel="PSNR (dB)")
    right.set(xlabel="Frame", ylabel="SSIM")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    return figure


def compare(pictures, crops=(), original=None):
    """Pictures of one size side by side, and below them the same crops of each, pixel by pixel at one scale.

    pictures: {title: RGB uint8 (h, w, 3)}, from left to right.
    crops: (left, top, width, height) in their pixels; each becomes a row, its colour the rectangle's in the picture.
    original: where given, PSNR and SSIM against it join the titles.
    """
    height, width = next(iter(pictures.values())).shape[:2]
    ratios = [height / width, *(h / w for _, _, w, h in crops)]
    column = 12 / len(pictures)
    figure, axes = plt.subplots(
        len(ratios), len(pictures), squeeze=False, layout="constrained",
        figsize=(12, column * sum(ratios) + 0.6), height_ratios=ratios,
    )  # fmt: skip
    for (title, picture), (whole, *rows) in zip(pictures.items(), axes.T, strict=True):
        whole.imshow(picture, interpolation="antialiased")
        whole.set_title(caption(title, picture, original))
        for axis, (left, top, w, h), colour in zip(rows, crops, CROP_COLOURS, strict=False):
            whole.add_patch(Rectangle((left, top), w, h, fill=False, color=colour, linewidth=2))
            axis.imshow(picture[top : top + h, left : left + w], interpolation="nearest")
            axis.spines[:].set(color=colour, linewidth=2)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    return figure


def caption(title, picture, original):
    size = f"{title}\n{picture.shape[1]}x{picture.shape[0]}"
    if original is None or picture is original:
        return size
    return "{}  {:.2f} dB / {:.3f}".format(size, *quality(original, picture))


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
