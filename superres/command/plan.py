"""What the command line is to upscale, and where the results go."""

import functools
import hashlib
import itertools
import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from superres import SCALE
from superres.clips.reader import Gif
from superres.command.messages import FILE_ERRORS, count_of, describe, write_line
from superres.images.files import check_target, format_of_suffix, software_of
from superres.images.formats import HEIF_SUFFIXES, UNREADABLE_SUFFIXES

NAMED_METHODS = ("srgan", "photo", "srresnet", "srcnn", "bicubic")
SCALES = (2, 3, SCALE)
PROGRAM = "srgan.py"
RESULT_ENDINGS = tuple(f"_x{scale}{map}" for scale in SCALES for map in ("", "_trust"))


class Job(NamedTuple):
    source: Path
    target: Path
    replace: bool = False  # what is at the target
    folder: Path | None = None  # the one on the command line that the source was found in
    gif: Gif | None = None
    pixels: int = 0  # of the network's result, in all frames


def plan(options):
    """The jobs that the command line asks for, and a line for each of its names that cannot be done.

    Raises ValueError or OSError if nothing can be done.
    """
    if options.output is None and len(options.names) == 2 and not options.names[0].is_dir():
        return [job_of_pair(*options.names, options)], []
    if options.output is not None:
        check_folder(options.output)
    jobs, failures = [], []
    for name in options.names:
        try:
            if name.is_dir():
                found, unreadable = jobs_in(name, options)
                jobs += found
                failures += unreadable
            else:
                jobs.append(Job(name, default_target(name, options), options.overwrite))
        except FILE_ERRORS as error:
            failures.append(describe(error, name))
    jobs = with_own_targets({os.path.abspath(job.source): job for job in jobs}.values())
    sources = {os.path.realpath(job.source) for job in jobs}
    existing = Counter()
    planned = []
    for job in jobs:
        if os.path.realpath(job.target) in sources:
            failures.append(f"{job.target}: an input, and the output of {job.source}")
        elif job.replace or not os.path.exists(job.target):
            planned.append(job)
        elif job.folder:
            existing[job.folder] += 1
        else:
            failures.append(f"{job.target}: exists already: add --overwrite to replace it")
    for folder, count in existing.items():
        total = sum(job.folder == folder for job in jobs)
        write_line(f"{folder}: {count} of {total} images have their results already; see --overwrite")
    if options.output is not None:
        for folder in {job.target.parent for job in planned}:
            folder.mkdir(parents=True, exist_ok=True)
    return planned, failures


def job_of_pair(source, target, options):
    """The job of INPUT and OUTPUT. Raises ValueError or OSError where they do not fit, or OUTPUT is to be kept."""
    if is_gif(source) != is_gif(target):
        raise ValueError(f"{target}: a GIF becomes a GIF and an image an image, but the input is {source}")
    if options.format:
        raise ValueError(f"{target}: --format is for results without an OUTPUT")
    check_target(target)
    if os.path.realpath(source) == os.path.realpath(target):
        raise ValueError(f"{target}: an input, and the output of {source}")
    is_result = target == default_target(source, options) or software_of(target) == signature(source)
    if target.exists() and not options.overwrite and not is_result:
        raise FileExistsError(
            f"{target}: exists already, and is no result of {source}: "
            "add --overwrite to replace it, or -o DIR to upscale both"
        )
    return Job(source, target, options.overwrite or is_result)


def jobs_in(folder, options):
    """The jobs of the images in a folder, and a line for each of its sub-folders that cannot be read.

    Says what is left out. Raises ValueError if there are no images, OSError if the folder cannot be read.
    """
    files, unseen, errors = files_in(folder, options.recursive)
    kinds = {path: kind_of(path) for path in files}
    jobs = [
        Job(path, default_target(path, options, path.parent.relative_to(folder)), options.overwrite, folder)
        for path in files
        if kinds[path] == "image"
    ]
    results = {path for path in files if kinds[path] == "result"}
    others = Counter(kind for kind in kinds.values() if kind not in ("image", "result", "other"))
    if foreign := len(results - {job.target for job in jobs}):
        others[f"named *_x{SCALE} or the like (taken for results)"] = foreign
    left_out = []
    if others:
        listed = ", ".join(f"{count} {kind}" for kind, count in others.items())
        left_out.append(f"{count_of(others.total(), 'file')} left out: {listed}")
    if unseen:
        left_out.append(f"{count_of(unseen, 'sub-folder')} left out (see --recursive)")
    if errors and not jobs:
        raise errors[0]
    if not jobs and not results:
        raise ValueError("; ".join([f"{folder}: no images in this folder", *left_out]))
    if left_out:
        write_line(f"{folder}: {'; '.join(left_out)}")
    return jobs, [describe(error, error.filename) for error in errors]


def files_in(folder, recursive):
    """The visible files in a folder by name, and in those below it; how many of these are left out; and errors."""
    files, errors = [], []
    for parent, subfolders, names in os.walk(folder, onerror=errors.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files += (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        if not recursive:
            return files, len(subfolders), errors
    return files, 0, errors


def kind_of(path):
    """What a name stands for: "image", "result", "other" if it is no image, or a kind of file that cannot be read."""
    suffix = path.suffix.lower()
    if format_of_suffix(path):
        if not path.is_file():
            return "links to nowhere" if path.is_symlink() else "pipes or devices"
        return "result" if path.stem.endswith(RESULT_ENDINGS) else "image"
    if suffix in HEIF_SUFFIXES:
        return f"{suffix} (not supported; pip install pillow-heif)"
    # A download's name may go on after it: photo.jpg?w=200.
    if suffix in UNREADABLE_SUFFIXES or format_of_suffix("x" + re.match(r"\W?\w*", suffix)[0]):
        return f"{suffix} (not supported)"
    return "other"


def with_own_targets(jobs):
    """The jobs; the folder's name joins that of a result whose name another file of a folder has, or had in an earlier
    run, and a number where that is not enough.
    """
    counts = Counter(job.target for job in jobs)
    taken, own = set(counts), []
    for job in jobs:
        if counts[job.target] > 1 or (job.folder and is_taken(job.target, job.source)):
            folder = job.source.absolute().parent.name
            prefixes = itertools.chain([folder], (f"{folder}_{number}" for number in itertools.count(2)))
            targets = (job.target.with_name(f"{prefix}_{job.target.name}") for prefix in prefixes)
            target = next(target for target in targets if target not in taken and not is_taken(target, job.source))
            job = job._replace(target=target)
            taken.add(target)
        own.append(job)
    return own


def is_taken(target, source):
    """Whether there is a result of another file at the target, which may be called as the source is."""
    if target.parent == source.parent or not os.path.isfile(target):
        return False
    software = software_of(target)
    return str(software).startswith(PROGRAM) and software != signature(source)


def check_folder(folder):
    """Raise NotADirectoryError or ValueError for what is or looks like a file."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file, expected a folder for the results")
    if format_of_suffix(folder) and not folder.is_dir():
        raise ValueError(f"{folder}: the name of an image, expected a folder after -o; a file is named after the INPUT")


def is_gif(path):
    return path.suffix.lower() == ".gif"


def default_target(source, options, subfolder=""):
    """Where the result goes by default: photo.png to photo_srgan_x4.png, photo.jpg to photo.jpg_srgan_x4.png."""
    suffix = ".gif" if is_gif(source) else f".{options.format or 'png'}"
    label = source.stem if source.suffix == suffix else source.name
    folder = source.parent if options.output is None else options.output / subfolder
    return folder / f"{label}_{method_label(options.method)}_x{options.scale}{suffix}"


@functools.cache
def method_label(method):
    """A method as results are named after it; a weights file with a hash of it, since many have one name."""
    label = method.removeprefix("hf://")
    if method not in NAMED_METHODS and os.path.isfile(method):
        label = f"{Path(method).name}-{hashlib.sha256(Path(method).read_bytes()).hexdigest()[:8]}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in label)


def signature(source):
    """What a result names as its writer, to be known again as that of a file of this name in a folder of this name."""
    path = os.path.join(*source.absolute().parts[-2:])
    return f"{PROGRAM}, from {hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
