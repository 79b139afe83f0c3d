"""Points and spectra."""

from matplotlib.figure import Figure

from superres import SCALE
from superres.figures.page import WIDTH
from superres.images.measures import blur, psnr, radial_spectrum

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
