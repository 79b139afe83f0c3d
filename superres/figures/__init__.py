"""What the notebook shows: images side by side, a before/after slider, tables, plots and diagrams."""

from superres.figures.diagrams import draw_discriminator, draw_generator, draw_srcnn
from superres.figures.page import before_after, show, show_file
from superres.figures.plots import (
    perception_distortion,
    property_gains,
    psnr_ssim_curves,
    resolution_curves,
    spectra,
    spectra_2d,
)
from superres.figures.sheets import crops, mosaic, overview, side_by_side, zoom
from superres.figures.tables import (
    categories_table,
    correlations_table,
    degradations_table,
    flicker_table,
    gif_table,
    metrics_table,
    model_card_table,
    psnr_gains,
)

__all__ = [
    "before_after", "categories_table", "correlations_table", "crops", "degradations_table", "draw_discriminator",
    "draw_generator", "draw_srcnn", "flicker_table", "gif_table", "metrics_table", "model_card_table", "mosaic",
    "overview", "perception_distortion", "property_gains", "psnr_gains", "psnr_ssim_curves", "resolution_curves",
    "show", "show_file", "side_by_side", "spectra", "spectra_2d", "zoom",
]  # fmt: skip
