"""The networks, and spectra, drawn."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from superres import SCALE
from superres.figures.page import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILION, WIDTH
from superres.images.measures import radial_spectrum

# Colours, and markers for those who print.
STYLES = {"Bicubic": (BLUE, "s"), "SRResNet": (GREEN, "P"), "SRGAN": (VERMILION, "o"), "Original": (BLACK, "X")}
IMAGE, CONVOLUTION, RESIDUAL, UPSCALING, OTHER = "#FFFFFF", SKY_BLUE, ORANGE, GREEN, PURPLE


def draw_srcnn() -> Figure:
    """SRCNN 9-5-5 (Dong et al. 2014)."""
    stages = [
        ("LR\nh x w x 3", IMAGE),
        ("Bicubic x4\n(no weights)", OTHER),
        ("Conv 9x9, 64\nReLU", CONVOLUTION),
        ("Conv 5x5, 32\nReLU", CONVOLUTION),
        ("Conv 5x5, 3", CONVOLUTION),
        ("SR\n4h x 4w x 3", IMAGE),
    ]
    notes = {2: "1. patch extraction\nand representation", 3: "2. non-linear\nmapping", 4: "3. reconstruction"}
    figure, axes = chains(1)
    draw_chain(axes[0], stages, notes)
    return figure


def draw_srgan() -> Figure:
    """The generator as this project uses it, and the paper's discriminator (Ledig et al. 2017, fig. 4)."""
    generator = [
        ("LR\nh x w x 3", IMAGE),
        ("Conv 9x9\n64\nPReLU", CONVOLUTION),
        ("Conv 3x3\nPReLU\nConv 3x3\n+ input", RESIDUAL),
        ("Conv 3x3\n64\n+ head", CONVOLUTION),
        ("Conv 3x3\n256\nshuffle x2\nPReLU", UPSCALING),
        ("Conv 3x3\n256\nshuffle x2\nPReLU", UPSCALING),
        ("Conv 9x9\n3", CONVOLUTION),
        ("SR\n4h x 4w x 3", IMAGE),
    ]
    discriminator = [
        ("HR or SR", IMAGE),
        ("Conv 3x3, 64\nLeakyReLU", CONVOLUTION),
        ("Conv 3x3\nBatchNorm\nLeakyReLU", RESIDUAL),
        ("Dense 1024\nLeakyReLU", OTHER),
        ("Dense 1\nsigmoid", OTHER),
        ("P(real)", IMAGE),
    ]
    figure, (above, below) = chains(2)
    draw_chain(above, generator, {2: "residual block, 64\nchannels, 16 times", 4.5: "two sub-pixel steps"})
    skip = {"connectionstyle": "arc3,rad=-0.12", "arrowstyle": "->", "mutation_scale": 12, "linestyle": "--"}
    above.add_patch(FancyArrowPatch((1, 0.62), (3, 0.62), **skip))
    above.text(2, 1.05, "global skip connection", ha="center", va="center", fontsize=10)
    draw_chain(below, discriminator, {2: "7 times: 64 to 512 channels,\nevery other one halves the size"})
    return figure


def chains(count):
    """A figure and an array of axes, one above the other."""
    figure = Figure((WIDTH / 96, 2.1 * count))
    axes = figure.subplots(count, squeeze=False)[:, 0]
    figure.subplots_adjust(0, 0, 1, 1, hspace=0)
    return figure, axes


def draw_chain(axis, stages, notes):
    """Boxes (text, colour) from left to right with arrows between them, and notes, {position: text}, below."""
    axis.set(xlim=(-0.55, len(stages) - 0.45), ylim=(-1.2, 1.2))
    axis.axis("off")
    for i, (text, colour) in enumerate(stages):
        box = FancyBboxPatch((i - 0.42, -0.58), 0.84, 1.16, boxstyle="round,pad=0.02", facecolor=colour, alpha=0.55)
        axis.add_patch(box)
        axis.text(i, 0, text, ha="center", va="center", fontsize=10)
    for i in range(len(stages) - 1):
        axis.add_patch(FancyArrowPatch((i + 0.43, 0), (i + 0.57, 0), arrowstyle="->", mutation_scale=12))
    for position, note in notes.items():
        axis.text(position, -0.72, note, ha="center", va="top", fontsize=10)


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
