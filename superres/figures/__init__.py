"""What the notebook shows: images side by side, a before/after slider, tables and spectra."""

from superres.figures.page import show, slider
from superres.figures.sheets import close_up, grid, mosaic, overview, side_by_side, with_psnr, zoom
from superres.figures.tables import (
    clips_table,
    degradations_table,
    gains_table,
    gif_table,
    metrics_table,
    over_sharpening_table,
    spectra,
    trust_table,
)
