"""What the notebook shows: images side by side, a before/after slider, a blind test, tables, plots and diagrams."""

from superres.figures.blind import blind_key, blind_test, draw_trials
from superres.figures.diagrams import draw_srcnn, draw_srgan
from superres.figures.page import badges, show, slider
from superres.figures.plots import perception_distortion, spectra
from superres.figures.sheets import close_up, grid, mosaic, overview, side_by_side, with_psnr, zoom
from superres.figures.tables import (
    categories_table,
    clips_table,
    correlations,
    degradations_table,
    gains_table,
    gif_table,
    metrics_table,
    model_card_table,
    over_sharpening_table,
    psnr_gains,
)

__all__ = [
    "badges", "blind_key", "blind_test", "categories_table", "clips_table", "close_up", "correlations",
    "degradations_table", "draw_srcnn", "draw_srgan", "draw_trials", "gains_table", "gif_table", "grid",
    "metrics_table", "model_card_table", "mosaic", "over_sharpening_table", "overview", "perception_distortion",
    "psnr_gains", "show", "side_by_side", "slider", "spectra", "with_psnr", "zoom",
]  # fmt: skip
