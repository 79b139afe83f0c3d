"""The notebook, run once from top to bottom in a copy of the project, and what it leaves."""

import ast
import base64
import io
import re
import shutil
from collections import Counter

import nbformat
import numpy as np
import pytest
from conftest import ROOT, difference
from nbclient import NotebookClient
from PIL import Image

from srgan import bicubic_upscale, open_gif, read_gif, read_image

NOTEBOOK = "srgan_project.ipynb"
INPUTS = {"brushes": "brushes.jpg", "patch": "patch_lr.png", "portrait": "portrait_lr.jpg", "flowers": "flowers_lr.jpg"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as a grader gets it, less the notebook's results, after one run: its folder and its notebook."""
    folder = tmp_path_factory.mktemp("project")
    results = shutil.ignore_patterns("*_srgan.*", "*_bicubic.*", "*_side_by_side.*", "__pycache__")
    for name in ("superres", "weights", "images", "gifs"):
        shutil.copytree(ROOT / name, folder / name, ignore=results)
    shutil.copy(ROOT / "srgan.py", folder)
    notebook = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": folder}}).execute()
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder, notebook


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(ROOT / NOTEBOOK, as_version=4)


@pytest.fixture(params=["committed", "executed"])
def notebook(request):
    """The notebook as it is committed, and as it is after a run."""
    return (
        request.getfixturevalue("committed") if request.param == "committed" else request.getfixturevalue("project")[1]
    )


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook, kind=None):
    """All outputs, or the contents of those of one MIME type."""
    found = [output for cell in code_cells(notebook) for output in cell.outputs]
    return found if kind is None else [output.data[kind] for output in found if kind in output.get("data", {})]


def text(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_every_cell_ran_once_in_order_without_noise(notebook):
    code = code_cells(notebook)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]


def test_the_notebook_stays_light(notebook):
    assert len(nbformat.writes(notebook).encode()) < 5_000_000


def embedded(notebook):
    """Every ``img`` of the outputs that holds its image."""
    return [tag for page in outputs(notebook, "text/html") for tag in re.findall(r'<img src="data:[^>]*>', page)]


def test_every_image_is_described(notebook):
    assert not outputs(notebook, "image/png") + outputs(notebook, "image/jpeg")  # nbconvert describes none of these
    in_text = re.findall(r"<img[^>]*>|!\[[^\]]*\]", text(notebook))
    assert len(embedded(notebook)) > len(in_text) > 0
    assert all(re.search(r'alt="[^"]{5,}"|!\[[^\]]{5,}\]', image) for image in embedded(notebook) + in_text)


def test_figures_have_two_pixels_for_each_of_the_page(notebook):
    figures = [re.search(r'base64,([^"]*)".* width="(\d+)"', tag) for tag in embedded(notebook)]
    figures = [figure.groups() for figure in figures if figure]
    assert figures
    for data, width in figures:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.width == 2 * int(width)


def test_committed_tables_are_those_of_a_run(committed, project):
    tables = [outputs(notebook, "text/markdown") for notebook in (committed, project[1])]
    numbers = [[float(n) for n in re.findall(r"\d+\.\d+", "\n".join(texts))] for texts in tables]
    assert [re.sub(r"[\d.,+-]+", "#", table) for table in tables[0]] == [
        re.sub(r"[\d.,+-]+", "#", t) for t in tables[1]
    ]
    np.testing.assert_allclose(*numbers, atol=0.15)


def test_cells_stay_short(committed):
    assert max(len(cell.source.splitlines()) for cell in code_cells(committed)) <= 15


def assigned(cell):
    """The names that a cell gives a value at its top level, imports left aside."""
    names = set()
    for statement in ast.parse(cell.source).body:
        if isinstance(statement, ast.FunctionDef):
            names.add(statement.name)
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Store)
                and not in_comprehension(statement, node)
            }
    return names


def in_comprehension(statement, name):
    scopes = ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp
    return any(name in ast.walk(node) for node in ast.walk(statement) if isinstance(node, scopes))


def test_no_cell_overwrites_what_another_made(committed):
    counts = Counter(name for cell in code_cells(committed) for name in assigned(cell))
    assert not [name for name, count in counts.items() if count > 1]


def test_contents_lead_to_headings(committed):
    links = re.findall(r"\]\(#([^)]*)\)", text(committed))
    anchors = re.findall(r'<a id="([^"]*)"></a>\n## ', text(committed))
    assert links and set(links) <= set(anchors) and all(link.isascii() for link in links)


def test_figures_and_tables_are_numbered_and_exist(committed):
    for kind in ("그림", "표"):
        captions = [int(number) for number in re.findall(rf"^\*\*{kind} (\d+)\.\*\*", text(committed), re.MULTILINE)]
        assert captions == list(range(1, len(captions) + 1))
        mentioned = {int(number) for number in re.findall(rf"{kind} (\d+)", text(committed))}
        assert mentioned == set(captions)


def test_linked_files_exist(committed):
    targets = re.findall(r'\]\(((?!http|#)[^)]*)\)|src="([^"]*)"', text(committed))
    assert targets and all((ROOT / (link or source)).exists() for link, source in targets)


def test_notebook_and_readme_name_one_repository(committed):
    (repository,) = re.findall(r'REPOSITORY = "(.*)"', "\n".join(cell.source for cell in code_cells(committed)))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"/github/([^/\s]+/[^/\s]+)/blob", readme)) == {repository}


@pytest.mark.parametrize("name", INPUTS)
def test_images_are_upscaled_four_times(project, name):
    images = project[0] / "images"
    srgan, bicubic = (read_image(images / f"{name}_{method}.jpg") for method in ("srgan", "bicubic"))
    height, width = read_image(images / INPUTS[name]).shape[:2]
    factor = 1 if name == "brushes" else 4
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


def test_three_gifs_are_shown_at_one_width(committed):
    shown = dict(re.findall(r'<img src="gifs/([^"]*)" width="(\d+)"', text(committed)))
    del shown["crossing_side_by_side.gif"]
    assert set(shown) == {"crossing_lr.gif", "crossing_bicubic.gif", "crossing_srgan.gif"}
    assert len(set(shown.values())) == 1
