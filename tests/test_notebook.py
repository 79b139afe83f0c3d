"""The notebook, run once from top to bottom in a copy of the project, and what it leaves."""

import ast
import base64
import io
import re
import shutil
import struct
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import ROOT, difference
from matplotlib import cbook
from nbclient import NotebookClient
from nbconvert import HTMLExporter
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
    assert len(nbformat.writes(notebook).encode()) < 5_500_000


def images(notebook):
    """Every image in the outputs: its file, its description and its width on the page, "" where it has its own."""
    for output in outputs(notebook, "text/html"):
        for tag in re.findall(r"<img [^>]*>", output):
            data = base64.b64decode(re.search(r'src="data:image/[a-z]+;base64,([^"]*)"', tag)[1])
            yield data, re.search(r'alt="([^"]*)"', tag)[1], (re.findall(r'width="(\d+)"', tag) or [""])[0]


def test_every_image_is_described(notebook):
    in_text = re.findall(r"<img[^>]*>|!\[[^\]]*\]", text(notebook))
    assert in_text and all(re.search(r'alt="[^"]{5,}"|!\[[^\]]{5,}\]', image) for image in in_text)
    described = [len(alt) >= 5 for _, alt, _ in images(notebook)]
    assert len(described) > len(in_text) and all(described)
    assert not outputs(notebook, "image/png") + outputs(notebook, "image/jpeg")  # nbconvert drops their descriptions


def test_a_page_made_of_the_notebook_keeps_the_descriptions(committed):
    page, _ = HTMLExporter().from_notebook_node(committed)
    assert "No description has been provided" not in page
    assert all(f'alt="{alt}"' in page for _, alt, _ in images(committed))


def test_figures_fit_the_page_with_two_pixels_for_each_of_its_own(notebook):
    widths = []
    for data, _, width in images(notebook):
        with Image.open(io.BytesIO(data)) as image:
            widths.append((image.width, int(width or 0)))
    figures = [(pixels, width) for pixels, width in widths if width]
    assert len(figures) > 15 and all(pixels == 2 * width <= 2 * 832 for pixels, width in figures)


def words(notebook):
    """What is read of the text: words, outside of formulas, tags, addresses and the rules of tables."""
    return re.sub(r"\$\$.*?\$\$|\$[^$]*\$|<[^>]*>|\]\([^)]*\)|[|:\-]{3,}", " ", text(notebook), flags=re.DOTALL).split()


def test_a_grader_has_time_to_read_it(committed):
    figures = len(list(images(committed))) + text(committed).count("<img") + len(outputs(committed, "text/markdown"))
    assert len(committed.cells) <= 80
    assert len(words(committed)) <= 2700
    assert len(words(committed)) / 210 + figures * 13 / 60 <= 22  # minutes: words a minute, seconds a figure


def test_the_first_screen_is_a_title_two_sentences_and_a_picture(committed):
    first = committed.cells[0].source
    assert re.match(r"# .*\n\n[^\n<]+\n\n<img [^>]*src=\"images/course_comparison.png\"", first)
    prose = re.sub(r"^#.*$|<[^>]*>|\*\*그림 1\.\*\*.*", "", first, flags=re.MULTILINE)
    assert len(re.findall(r"\w\.(?:\s|$)", prose)) == 2
    with Image.open(ROOT / "images" / "course_comparison.png") as picture:
        assert picture.height / picture.width < 0.62  # of 832 pixels: leaves room for the words


def test_one_cell_of_code_after_the_contents_sets_everything_up(committed):
    kinds = [cell.cell_type for cell in committed.cells]
    contents = next(number for number, cell in enumerate(committed.cells) if 'id="contents"' in cell.source)
    assert kinds.index("code") == contents + 1
    imports = [cell for cell in code_cells(committed) if re.search(r"^(import|from) ", cell.source, re.MULTILINE)]
    assert imports == [committed.cells[contents + 1], *(cell for cell in imports if "my_file = " in cell.source)]


def test_committed_tables_are_those_of_a_run(committed, project):
    """On another processor a number may differ by one unit of its last digit, and a file by some bytes."""
    pattern = r"\d+(?:,\d{3})+|\d+\.\d+|\d+(?=%)"
    tables = ["\n".join(outputs(notebook, "text/markdown")) for notebook in (committed, project[1])]
    assert re.sub(pattern, "#", tables[0]) == re.sub(pattern, "#", tables[1])
    for number, again in zip(*(re.findall(pattern, table) for table in tables), strict=True):
        if "," in number:
            assert int(again.replace(",", "")) == pytest.approx(int(number.replace(",", "")), rel=0.01)
        else:
            decimals = len(number.partition(".")[2])
            assert abs(float(again) - float(number)) < 1.5 * 10**-decimals


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


def test_the_portraits_truth_is_matplotlibs_scan():
    """Within what another version of libjpeg decodes."""
    box = 31.6, 40.3, 507.3, 516.0
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as scan:
        aligned = np.asarray(scan.resize((464, 464), Image.Resampling.BILINEAR, box=box))
    assert difference(aligned, read_image(ROOT / "images" / "portrait_truth.jpg"))[1] < 2


def test_the_portraits_truth_lies_where_the_input_does():
    """Moved by a pixel any way, or half a per cent larger or smaller, it would be further from the input."""
    low = Image.open(ROOT / "images" / "portrait_lr.jpg").crop((10, 10, 118, 118))
    truth = Image.open(ROOT / "images" / "portrait_truth.jpg")

    def error(left=0.0, top=0.0, growth=0.0):
        box = 16 + left - growth, 16 + top - growth, 448 + left + growth, 448 + top + growth
        reduced = truth.resize((108, 108), Image.Resampling.BICUBIC, box=box)
        return np.mean((np.asarray(reduced, float) - np.asarray(low, float)) ** 2)

    moved = [error(left=1), error(left=-1), error(top=1), error(top=-1), error(growth=1), error(growth=-1)]
    assert 10 * np.log10(255**2 / error()) > 30 and error() < min(moved)


def bad_files(folder):
    """A file of every kind that is no image to upscale, and a word of what is said of it."""
    (folder / "note.jpg").write_text("not an image")
    huge = folder / "huge.jpg"
    Image.new("RGB", (64, 64)).save(huge)
    data = huge.read_bytes()
    start = data.index(b"\xff\xc0") + 5  # of height and width in the frame header
    huge.write_bytes(data[:start] + struct.pack(">HH", 15000, 20000) + data[start + 4 :])
    return {folder / "missing.jpg": "no such", folder / "note.jpg": "not an image", huge: "too large"}


def test_your_own_image_is_shown_or_one_line_says_what_is_wrong(committed, project, tmp_path, monkeypatch, capsys):
    """In a fresh kernel: the cell is run with no name but its own."""
    monkeypatch.chdir(project[0])
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    (cell,) = [cell.source for cell in code_cells(committed) if "my_file = " in cell.source]

    def lines_for(path):
        source, count = re.subn(r'my_file = ".*"', f"my_file = {str(path)!r}", cell)
        assert count == 1
        exec(source, {})
        return capsys.readouterr().out.splitlines()

    for path, reason in bad_files(tmp_path).items():
        (line,) = lines_for(path)
        assert reason in line and path.name in line
    assert not shown
    animated = tmp_path / "animated.webp"
    first, second = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    first.save(animated, save_all=True, append_images=[second])
    warning, result = lines_for(animated)
    assert Path(result).is_file() and "only the first of several frames" in warning
    (output,) = shown
    data = base64.b64decode(re.search(r"base64,([^\"]*)", output.data)[1])
    assert data == Path(result).read_bytes() and f'alt="{result}"' in output.data


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
    assert open_gif(project[0] / "gifs" / "crossing_side_by_side.gif").size[0] == 832  # each clip at 100%
