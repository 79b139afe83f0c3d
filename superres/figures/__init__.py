"""What the notebook shows: images side by side, a before/after slider, a blind test, tables and spectra."""

from superres.figures.blind import ballot, blind_test, draw_trials
from superres.figures.page import show, slider
from superres.figures.sheets import close_up, grid, mosaic, overview, side_by_side, with_psnr, zoom
from superres.figures.tables import (
    clips_table,
    degradations_table,
    gains_table,
    gif_table,
    metrics_table,
    over_sharpening_table,
    psnr_gains,
    spectra,
    trust_table,
)

__all__ = [
    "ballot", "blind_test", "clips_table", "close_up", "degradations_table", "draw_trials",
    "gains_table", "gif_table", "grid", "metrics_table", "mosaic", "over_sharpening_table",
    "overview", "psnr_gains", "show", "side_by_side", "slider", "spectra", "trust_table",
    "with_psnr", "zoom",
]  # fmt: skip
