"""The notebook, run once from top to bottom in a copy of the project, and what it leaves."""

import ast
import base64
import io
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import ROOT, difference
from nbclient import NotebookClient
from PIL import Image

from srgan import bicubic_upscale, open_gif, read_gif, read_image

NOTEBOOK = "srgan_project.ipynb"
RESULTS = "*_srgan.*", "*_bicubic.*", "*_nearest.*", "*_side_by_side.*", "*_comparison.*"
INPUTS = {"brushes": "brushes.jpg", "patch": "patch_lr.png", "portrait": "portrait_lr.jpg", "flowers": "flowers_lr.jpg"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as a grader gets it, less the notebook's results, after one run: its folder and its notebook."""
    folder = tmp_path_factory.mktemp("project")
    results = shutil.ignore_patterns(*RESULTS, "__pycache__")
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
    assert len(nbformat.writes(notebook).encode()) < 7_000_000


def images(notebook):
    """Every image output: its file and its metadata."""
    for output in outputs(notebook):
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                yield base64.b64decode(output.data[kind]), output.metadata[kind]


def test_every_image_is_described(notebook):
    in_text = re.findall(r"<img[^>]*>|!\[[^\]]*\]", text(notebook))
    assert in_text and all(re.search(r'alt="[^"]{5,}"|!\[[^\]]{5,}\]', image) for image in in_text)
    described = [len(metadata["alt"]) >= 5 for _, metadata in images(notebook)]
    assert len(described) > len(in_text) and all(described)


def test_figures_fit_the_page_with_two_pixels_for_each_of_its_own(notebook):
    for data, metadata in images(notebook):
        with Image.open(io.BytesIO(data)) as image:
            assert image.width == 2 * metadata["width"] and metadata["width"] <= 832


def words(notebook):
    """What is read of the text: words with letters, outside of formulas, tags and addresses."""
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|<[^>]*>|\]\([^)]*\)", "", text(notebook), flags=re.DOTALL)
    return [word for word in prose.split() if re.search(r"[가-힣A-Za-z]", word)]


def test_a_grader_has_time_to_read_it(committed):
    figures = len(list(images(committed))) + text(committed).count("<img") + len(outputs(committed, "text/markdown"))
    assert len(committed.cells) <= 90
    assert len(words(committed)) <= 2900
    assert len(words(committed)) / 210 + figures * 13 / 60 <= 22  # minutes: words a minute, seconds a figure


def test_the_first_photograph_is_on_the_first_screen(committed):
    height = 0  # in pixels of nbconvert's page, 1280 wide; measured there
    for cell in committed.cells:
        if cell.cell_type == "code":
            height += 17 * len(cell.source.splitlines()) + 24
            if any("image/png" in output.get("data", {}) for output in cell.outputs):
                break
        else:
            lines = [line for line in cell.source.splitlines() if line]
            height += sum(36 if line.startswith("#") else 12 + 21 * -(-len(line) // 95) for line in lines) + 16
    assert height < 1000


def test_committed_tables_are_those_of_a_run(committed, project):
    tables = [outputs(notebook, "text/markdown") for notebook in (committed, project[1])]
    numbers = [[float(n) for n in re.findall(r"\d+\.\d+", "\n".join(texts))] for texts in tables]
    assert [re.sub(r"[\d.,+-]+", "#", table) for table in tables[0]] == [
        re.sub(r"[\d.,+-]+", "#", t) for t in tables[1]
    ]
    np.testing.assert_allclose(*numbers, atol=0.05)


def test_cells_stay_short(committed):
    assert max(len(cell.source.splitlines()) for cell in code_cells(committed)) <= 15


def assigned(cell):
    """The names that a cell gives a value at its top level, imports and loops' own variables left aside."""
    names, tree = set(), ast.parse(cell.source)
    loops = {name.id for loop in ast.walk(tree) if isinstance(loop, ast.For) for name in ast.walk(loop.target)
             if isinstance(name, ast.Name)}  # fmt: skip
    for statement in tree.body:
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
    return names - loops


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
        beside = re.sub(rf"^\*\*{kind} \d+\.\*\*", "", text(committed), flags=re.MULTILINE)
        assert {int(number) for number in re.findall(rf"{kind} (\d+)", beside)} == set(captions)


def test_references_are_cited(committed):
    prose, references = text(committed).split('<a id="references">')
    listed = {int(number) for number in re.findall(r"^(\d+)\. ", references, re.MULTILINE)}
    assert {int(number) for number in re.findall(r"\[(\d+)\]", prose)} == listed


def test_linked_files_exist(committed):
    targets = re.findall(r'\]\(((?!http|#)[^)]*)\)|src="([^"]*)"', text(committed))
    assert targets and all((ROOT / (link or source)).exists() for link, source in targets)


def test_no_badge_is_dead(committed):
    """The address is set in one place; the README names it, and before it is set, no badge is shown."""
    (repository,) = re.findall(r'REPOSITORY = "([^"]*)"', "\n".join(cell.source for cell in code_cells(committed)))
    badges = [page for page in outputs(committed, "text/markdown") if "img.shields.io" in page]
    assert len(badges) == bool(repository) and all(repository in badge for badge in badges)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`REPOSITORY`" in readme and "img.shields.io" not in readme


def bad_files(folder):
    """A file of every kind that is no image to upscale, and a word of what is said of it."""
    (folder / "note.jpg").write_text("not an image")
    huge = folder / "huge.jpg"
    Image.new("RGB", (64, 64)).save(huge)
    data = huge.read_bytes()
    start = data.index(b"\xff\xc0") + 5  # of height and width in the frame header
    huge.write_bytes(data[:start] + struct.pack(">HH", 15000, 20000) + data[start + 4 :])
    return {folder / "missing.jpg": "no such", folder / "note.jpg": "not an image", huge: "too large"}


def test_your_own_image_says_in_one_line_what_is_wrong(committed, project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project[0])
    (cell,) = [cell.source for cell in code_cells(committed) if "my_file = " in cell.source]

    def lines_for(path):
        source, count = re.subn(r'my_file = ".*"', f"my_file = {str(path)!r}", cell)
        assert count == 1
        exec(source, {"sys": sys, "subprocess": subprocess})
        return capsys.readouterr().out.splitlines()

    for path, reason in bad_files(tmp_path).items():
        (line,) = lines_for(path)
        assert reason in line and path.name in line
    animated = tmp_path / "animated.webp"
    first, second = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    first.save(animated, save_all=True, append_images=[second])
    result, warning = lines_for(animated)
    assert Path(result).is_file() and "only the first of several frames" in warning


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
    assert set(shown) == {f"crossing_{name}.gif" for name in ("side_by_side", "lr_nearest", "bicubic", "srgan")}
    assert set(shown.values()) == {"832"}


def test_the_low_resolution_gif_is_shown_with_its_pixels_repeated(project):
    frames, durations, loop = read_gif(project[0] / "gifs" / "crossing_lr.gif")
    shown, *timing = read_gif(project[0] / "gifs" / "crossing_lr_nearest.gif")
    assert timing == [durations, loop]
    assert np.array_equal(shown, np.repeat(np.repeat(frames, 8, axis=1), 8, axis=2))
    assert open_gif(project[0] / "gifs" / "crossing_side_by_side.gif").size[0] == 832  # each clip at 100 %
