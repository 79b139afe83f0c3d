"""The notebook, run from top to bottom in a copy of the project, and what it leaves."""

import shutil

import nbformat
import pytest
from conftest import ROOT, difference
from nbclient import NotebookClient
from PIL import Image

from srgan import bicubic_upscale, open_gif, read_gif, read_image

PICTURES = {"brushes": None, "patch": "patch_lr.png", "dogs": "dogs_lr.jpg"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as a grader gets it, less the notebook's results, after one run."""
    folder = tmp_path_factory.mktemp("project")
    results = shutil.ignore_patterns("*_srgan.*", "*_bicubic.*", "__pycache__")
    for name in ("superres", "weights", "images", "gifs"):
        shutil.copytree(ROOT / name, folder / name, ignore=results)
    shutil.copy(ROOT / "srgan.py", folder)
    notebook = nbformat.read(ROOT / "srgan_project.ipynb", as_version=4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": folder}}).execute()
    nbformat.write(notebook, folder / "srgan_project.ipynb")
    return folder, notebook


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_every_cell_ran_without_noise(project):
    _, notebook = project
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]


def test_cells_stay_short():
    notebook = nbformat.read(ROOT / "srgan_project.ipynb", as_version=4)
    assert max(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code") <= 15


@pytest.mark.parametrize("name", PICTURES)
def test_images_are_upscaled_four_times(project, name):
    folder, _ = project
    source = folder / "images" / (PICTURES[name] or "brushes.jpg")
    srgan, bicubic = (read_image(folder / "images" / f"{name}_{method}.jpg") for method in ("srgan", "bicubic"))
    height, width = read_image(source).shape[:2]
    factor = 4 if PICTURES[name] else 1
    assert srgan.shape == bicubic.shape == (factor * height, factor * width, 3)
    assert difference(srgan, bicubic)[1] > 1


def test_gifs_are_upscaled_four_times_in_the_same_time(project):
    gifs = project[0] / "gifs"
    source = open_gif(gifs / "crossing_lr.gif")
    for method in ("bicubic", "srgan"):
        result = open_gif(gifs / f"crossing_{method}.gif")
        assert result.size == (4 * source.size[0], 4 * source.size[1])
        assert (result.durations, result.loop) == (source.durations, source.loop)
        with Image.open(gifs / f"crossing_{method}.gif") as image:
            assert image.n_frames == len(source)
    first = read_gif(gifs / "crossing_srgan.gif")[0][0]
    assert difference(first, bicubic_upscale(next(iter(source))))[1] > 1


def test_three_gifs_are_shown_at_one_width(project):
    html = [
        "".join(output.data["text/html"]) for output in outputs(project[1]) if "text/html" in output.get("data", {})
    ]
    shown = [text for text in html if "data:image/gif;base64," in text]
    assert len(shown) == 3
    assert len({text.split('width="')[1].split('"')[0] for text in shown}) == 1


def test_the_notebook_stays_light(project):
    assert (project[0] / "srgan_project.ipynb").stat().st_size < 10_000_000


def test_the_committed_notebook_is_one_whole_run():
    notebook = nbformat.read(ROOT / "srgan_project.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    figures = [output for output in outputs(notebook) if "image/jpeg" in output.get("data", {})]
    assert len(figures) == 17
