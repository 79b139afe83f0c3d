"""Loading weights: bundled ones, files of this project or of the course, files on the Hugging Face Hub."""

import functools
import hashlib
import io
import math
import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from tqdm import TqdmWarning

if TYPE_CHECKING:
    import keras

FOLDER = Path(__file__).resolve().parents[2] / "weights"
BUNDLED = ("srgan", "photo", "srresnet", "srcnn")

# The most that is read of a file: an SRGAN generator has 93 arrays of 6.2 million bytes in all, with batch
# normalisation 225.
MOST_ARRAYS, MOST_BYTES = 1000, 2**26

EXPECTED = f"expected one of {', '.join(BUNDLED)}, srgan:ALPHA, a weights file, or hf://OWNER/REPO/FILE[@REVISION]"


def load_generator(source: str | os.PathLike = "srgan", *, shared: bool = True) -> "keras.Model":
    """The Keras model that ``source`` names, cached: float32 RGB in [0, 255], (b, h, w, 3), to (b, 4h, 4w, 3).

    source: one of
        "srgan", "photo", "srresnet", "srcnn"
                                      bundled under ``weights/``, their SHA-256 checked; "photo" is an SRGAN for
                                      visibly noisy photographs
        "srgan:ALPHA"                 ALPHA in [0, 1] between SRResNet (0) and SRGAN (1): network interpolation
                                      (Wang et al. 2018, ESRGAN, section 3.4)
        a path                        a ``.keras`` or ``.weights.h5`` file of this project, or a Keras 2 ``.h5`` of
                                      the course (weights or whole model, batch normalisation included); loaded again
                                      if the file has changed
        "hf://OWNER/REPO/FILE[@REVISION]"  such a file on the Hugging Face Hub, by way of its local cache

    shared: False for another model of the same weights, which no other caller has and may have changed.

    The network is recognised by the shapes of the arrays in the file; nothing else is read, and no code in it is run.
    SRCNN's model, unlike the others, takes an image already upscaled and keeps its size.

    Raises ValueError (unknown name, not weights, damaged, another network), FileNotFoundError (no such file,
    repository or revision), ConnectionError (the download fails and the cache has no copy).
    """
    try:
        source = os.fsdecode(source)
    except TypeError:
        raise ValueError(f"weights {source!r}: {EXPECTED}") from None
    stat = os.stat(source) if os.path.isfile(source) else None
    return load(source, stat and (stat.st_ino, stat.st_mtime_ns, stat.st_size), shared)


@functools.lru_cache(maxsize=8)
def load(source, version, shared):
    """``load_generator``; ``version`` is only a cache key, which changes with the file that ``source`` names."""
    if source.startswith("srgan:"):
        return build(interpolated(source), source)
    if source in BUNDLED:
        return build(bundled(source), source)
    return build(read_arrays(locate(source), source), source)


def locate(source):
    """The local path of the file that ``source`` names; that of the hub is downloaded."""
    if source.startswith("hf://"):
        return download(source)
    if os.path.isfile(source):
        return source
    if os.path.exists(source):
        raise ValueError(f"{source}: a folder, pipe or device, expected a weights file")
    if source == Path(source).stem:
        raise ValueError(f"unknown weights {source!r}: {EXPECTED}")
    raise FileNotFoundError(f"{source}: no such weights file")


def bundled(name):
    """The arrays of a file under ``weights/``, checked against ``weights/SHA256SUMS`` (as ``sha256sum -c``)."""
    path = FOLDER / f"{name}_x4.keras"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the bundled weights are missing; restore them with git checkout")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if f"{found}  {path.name}" not in (FOLDER / "SHA256SUMS").read_text().splitlines():
        raise ValueError(f"{path}: SHA-256 {found} is not the one in SHA256SUMS; restore the file with git checkout")
    return read_arrays(io.BytesIO(content), path)


def interpolated(source):
    """The arrays of ``srgan:ALPHA``, as ``read_arrays``."""
    try:
        alpha = float(source.removeprefix("srgan:"))
    except ValueError:
        alpha = np.nan
    if not 0 <= alpha <= 1:
        raise ValueError(f"weights {source!r}: expected srgan:ALPHA with ALPHA between 0 (SRResNet) and 1 (SRGAN)")
    ends = map(bundled, ("srresnet", "srgan"))
    return [[(1 - alpha) * a + alpha * b for a, b in zip(*pair, strict=True)] for pair in zip(*ends, strict=True)]


def download(source):
    """The local path of a file on the Hugging Face Hub; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured."""
    # Of a revision, the hub's library makes the name of a file: no part of it may begin with a dot.
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/([^@]+)(?:@([\w-][\w.-]*(?:/[\w-][\w.-]*)*))?", source)
    if match is None or not {"", ".", ".."}.isdisjoint(re.split(r"[/\\]", match[2])):
        raise ValueError(f"{source}: expected hf://OWNER/REPO/FILE[@REVISION]")
    repository, file, revision = match.groups()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # about widgets for its progress bar, in a notebook without them
        import huggingface_hub as hub
        from huggingface_hub import errors
    try:
        if not isinstance(hub.try_to_load_from_cache(repository, file, revision=revision), str):
            # Fails at once if the hub cannot be reached; hf_hub_download would retry for minutes.
            hub.get_hf_file_metadata(hub.hf_hub_url(repository, file, revision=revision))
        return hub.hf_hub_download(repository, file, revision=revision)
    except errors.HFValidationError as error:
        raise ValueError(f"{source}: {error}") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(f"{source}: the hub has no repository {repository}, or keeps it private") from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{source}: {repository} on the hub has no revision {revision}") from error
    except Exception as error:
        # LocalEntryNotFoundError means that the hub could not be reached. The types of other connection errors depend
        # on the HTTP library that this version of huggingface_hub uses.
        if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
            raise FileNotFoundError(f"{source}: {repository} on the hub has no file {file}") from error
        reason = str(error).partition("\n")[0]
        raise ConnectionError(f"{source}: not in the cache, and the download from the hub failed: {reason}") from error


def read_arrays(file, source):
    """The arrays of all layers that have any, [[kernel, bias], [slopes], ...], from a Keras 3 or Keras 2 weights file.

    file: a path or a binary file.

    Layers of one class are in the network's order; layers of different classes only in a Keras 2 file.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                check_bytes(archive.getinfo("model.weights.h5").file_size)
                # The size may be a lie. zipfile compares the checksum only if a member is read to its end.
                file = io.BytesIO(archive.open("model.weights.h5").read(MOST_BYTES + 1))
        with h5py.File(file) as weights:
            return arrays_of(weights)
    except Exception as error:  # h5py and zipfile raise exceptions of many types for damaged files
        raise ValueError(
            f"{source}: not a weights file, or a damaged one ({error}): expected .keras, .weights.h5 or Keras 2 .h5"
        ) from error


def check_bytes(count):
    if count > MOST_BYTES:
        raise ValueError(f"its arrays take {count:,} bytes, expected at most {MOST_BYTES:,}")


def arrays_of(file):
    """``read_arrays`` of an open HDF5 file."""
    weights = item(file, "model_weights") if "model_weights" in file else file
    if "layer_names" in weights.attrs:
        groups = [item(weights, name) for name in at_most(MOST_ARRAYS, weights.attrs["layer_names"])]
        layers = [[item(group, name) for name in at_most(MOST_ARRAYS, group.attrs["weight_names"])] for group in groups]
    else:

        def order(name):
            return int((re.search(r"_(\d+)$", name) or "_0")[1])

        weights = item(weights, "layers")
        groups = [item(weights, f"{name}/vars") for name in sorted(at_most(MOST_ARRAYS, weights), key=order)]
        layers = [[item(group, str(i)) for i in range(len(at_most(MOST_ARRAYS, group)))] for group in groups]
    datasets = at_most(MOST_ARRAYS, [dataset for layer in layers for dataset in layer])
    for dataset in datasets:
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"{dataset.name} is kept outside it")
    check_bytes(sum(map(bytes_of, datasets)))
    arrays = [[np.asarray(dataset, np.float32) for dataset in layer] for layer in layers if layer]
    if not all(np.isfinite(array).all() for layer in arrays for array in layer):
        raise ValueError("some of its values are infinite or no numbers")
    return arrays


def item(group, path):
    """What is at a path in an HDF5 group. Raises ValueError at a link, which may lead anywhere, before following it."""
    for name in os.fsencode(path).split(b"/"):
        if group.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path} is kept outside it")
        group = group[name]
    return group


def at_most(count, items):
    if len(items) > count:
        raise ValueError(f"it has {len(items):,} layers or arrays, expected at most {count:,}")
    return items


def bytes_of(dataset):
    """What it takes to read an HDF5 dataset as float32: of a chunk all is decompressed, however little is used."""
    return max(dataset.size, math.prod(dataset.chunks or ())) * max(dataset.dtype.itemsize, 4)


def build(layers, source):
    """The network whose layers fit these arrays, loaded with them. Raises ValueError if there is none."""
    from superres.network import models  # imports Keras, which takes seconds: errors in names are said before

    kernels = [arrays[0].shape for arrays in layers if arrays[0].ndim == 4]
    try:
        model = models.model_with_kernels(kernels, batch_norm=any(len(arrays) == 4 for arrays in layers))
        targets = [layer for layer in model.layers if layer.weights]
        # The number of arrays tells the class of a layer; a stable sort by it keeps the order within each class.
        for layer, arrays in zip(sorted(targets, key=lambda x: len(x.weights)), sorted(layers, key=len), strict=True):
            layer.set_weights(arrays)
    except ValueError as error:
        shapes = ", ".join("x".join(map(str, shape)) for shape in kernels[:3])
        raise ValueError(
            f"{source}: the weights of another network ({len(kernels)} convolutions, the first of shapes [{shapes}]): "
            "expected an SRGAN generator (37 convolutions: 16 residual blocks of 64 channels) or an SRCNN 9-5-5"
        ) from error
    return model
