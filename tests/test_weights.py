"""Loading weights: bundled files, files of Keras 3, files written by Keras 2, and a local stand-in for the hub."""

import http.server
import importlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from conftest import difference, randomise

from srgan import apply_srgan
from superres import network
from superres.network import models, weights
from superres.network.weights import load_generator

IMAGE = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
COMMIT = "c" * 40


def same_weights(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def small_generator(seed=0):
    """More than ten layers of a class, which sorting by name would misplace: conv2d_10 before conv2d_2."""
    return randomise(models.generator(blocks=3, channels=4), seed)


def course_generator(channels=64, blocks=16, normalise=lambda x: x / 255.0):
    """The original SRGAN generator of krasserm/super-resolution, in Keras 2, Lambda layers and all."""
    layers = tf_keras.layers

    def conv(x, filters, size=3, **options):
        return layers.Conv2D(filters, size, padding="same", **options)(x)

    def prelu(x):
        return layers.PReLU(shared_axes=[1, 2])(x)

    inputs = layers.Input((None, None, 3))
    x = skip = prelu(conv(layers.Lambda(normalise)(inputs), channels, 9))
    for _ in range(blocks):
        y = prelu(layers.BatchNormalization(momentum=0.8)(conv(x, channels)))
        x = layers.Add()([x, layers.BatchNormalization(momentum=0.8)(conv(y, channels))])
    x = layers.Add()([skip, layers.BatchNormalization()(conv(x, channels))])
    for _ in range(2):
        x = prelu(layers.Lambda(lambda x: tf.nn.depth_to_space(x, 2))(conv(x, 4 * channels)))
    x = layers.Lambda(lambda x: (x + 1) * 127.5)(conv(x, 3, 9, activation="tanh"))
    model = tf_keras.Model(inputs, x)
    model.set_weights(randomise(models.generator(blocks, channels, batch_norm=True, tanh=True)).get_weights())
    return model


# ---- bundled, interpolated -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", weights.BUNDLED)
def test_bundled_weights_load_without_a_network(name, monkeypatch):
    def no_network(*_):
        raise AssertionError("a bundled file needs no network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    assert load_generator(name) is load_generator(name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of weights/ to damage."""
    copy = shutil.copytree(weights.FOLDER, tmp_path / "weights")
    monkeypatch.setattr(weights, "FOLDER", copy)
    monkeypatch.setattr(weights, "load", weights.load.__wrapped__)
    return copy


def test_bundled_weights_with_a_flipped_bit_are_refused(folder):
    path = folder / "srgan_x4.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for source in "srgan", "srgan:0.5":
        with pytest.raises(ValueError, match=r"srgan_x4\.keras: SHA-256"):
            load_generator(source)


def test_a_bundled_file_in_place_of_another_is_refused(folder):
    shutil.copy(folder / "srresnet_x4.keras", folder / "srgan_x4.keras")
    with pytest.raises(ValueError, match=r"srgan_x4\.keras: SHA-256"):
        load_generator("srgan")


def test_bundled_weights_that_are_missing_are_named(folder):
    (folder / "srresnet_x4.keras").unlink()
    for source in "srresnet", "srgan:0.5":
        with pytest.raises(FileNotFoundError, match=r"srresnet_x4\.keras"):
            load_generator(source)


def test_interpolation_goes_from_srresnet_to_srgan():
    assert same_weights(load_generator("srgan:0"), load_generator("srresnet"))
    assert same_weights(load_generator("srgan:1"), load_generator("srgan"))
    ends = (load_generator(name).get_weights() for name in ("srresnet", "srgan"))
    for middle, start, end in zip(load_generator("srgan:0.5").get_weights(), *ends, strict=True):
        np.testing.assert_allclose(middle, (start + end) / 2, atol=1e-7)


@pytest.mark.parametrize("alpha", ["1.01", "-0.1", "nan", "half", ""])
def test_interpolation_outside_the_range_is_an_error(alpha):
    with pytest.raises(ValueError, match=f"'srgan:{alpha}': expected .* between 0 .* and 1"):
        load_generator(f"srgan:{alpha}")


@pytest.mark.parametrize("name", ["srgna", "", "SRGAN"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(ValueError, match=f"unknown weights '{name}': expected one of srgan, photo, srresnet, srcnn"):
        load_generator(name)


# ---- the course's files ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The original model, and the folder that holds it as Keras 2's weights and as its whole model."""
    folder, model = tmp_path_factory.mktemp("course"), course_generator()
    model.save_weights(folder / "any name.h5")
    model.save(folder / "other.hdf5")
    return model, folder


@pytest.mark.parametrize("file", ["any name.h5", "other.hdf5"])
def test_the_courses_generator_gives_its_own_pixels(file, course):
    original, folder = course
    model = load_generator(folder / file)
    for image in IMAGE, IMAGE[:1, :1]:
        expected = np.asarray(original(image[None].astype(np.float32)))[0].clip(0, 255).round()
        assert np.isin(expected, (0, 255)).mean() < 0.5, "saturated: little would show"
        most, mean = difference(apply_srgan(image, model), expected.astype(np.uint8))
        assert most <= 1 and mean < 0.01


def test_a_lambda_in_a_file_is_never_executed(tmp_path):
    marker, path = tmp_path / "executed", tmp_path / "trap.h5"

    def trap(x, marker=str(marker)):
        open(marker, "w").close()
        return x / 255.0

    model = course_generator(channels=4, blocks=1, normalise=trap)
    model.save(path)
    marker.unlink()
    apply_srgan(IMAGE, load_generator(path))
    assert not marker.exists()
    tf_keras.models.load_model(path)
    assert marker.exists(), "the trap does not work"


def test_the_courses_srcnn_gives_its_own_values(tmp_path):
    layers = tf_keras.layers
    original = tf_keras.Sequential([
        layers.Conv2D(128, 9, padding="same", input_shape=(None, None, 3)), layers.ReLU(),
        layers.Conv2D(64, 5, padding="same"), layers.ReLU(),
        layers.Conv2D(3, 5, padding="same"),
    ])  # fmt: skip
    original.compile("adam", "mse")
    original.save(tmp_path / "srcnn.h5")
    x = IMAGE[None].astype(np.float32)
    np.testing.assert_allclose(load_generator(tmp_path / "srcnn.h5")(x), 255 * original(x / 255), atol=1e-3)


# ---- files -----------------------------------------------------------------------------------------------------------


def save(model, path):
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "model.h5"])
def test_a_file_of_this_keras_comes_back(file, tmp_path):
    for model in small_generator(), randomise(models.srcnn((5, 4))):
        path = save(model, tmp_path / file)
        assert same_weights(load_generator(path), model)
        assert load_generator(str(path)) is load_generator(path)
    model = randomise(models.generator(blocks=2, channels=4, batch_norm=True, tanh=True))
    path = save(model, tmp_path / file)
    np.testing.assert_allclose(load_generator(path)(IMAGE[None]), model(IMAGE[None]), atol=1e-3)


@pytest.mark.parametrize("changed", ["inode", "time", "size"])
def test_a_changed_file_is_loaded_again(changed, tmp_path):
    """Each of the three alone is enough."""
    path, new = tmp_path / "model.weights.h5", tmp_path / "new.weights.h5"
    model = models.generator(blocks=1, channels=4 if changed != "size" else 2)
    load_generator(save(small_generator(), path))
    save(model if changed == "size" else small_generator(1), new)
    before = path.stat()
    os.replace(new, path) if changed == "inode" else path.write_bytes(new.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + (changed == "time")))
    after = path.stat()
    assert (before.st_ino != after.st_ino, before.st_size != after.st_size) == (changed == "inode", changed == "size")
    assert same_weights(load_generator(path), model if changed == "size" else small_generator(1))


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "model.h5"])
def test_a_file_cut_short_is_refused(file, tmp_path):
    content = save(small_generator(), tmp_path / file).read_bytes()
    for length in 0, 1, 4, 100, len(content) // 2, len(content) * 9 // 10, len(content) - 1:
        refuse(tmp_path / f"cut_{length}_{file}", content[:length], "damaged")


def test_a_changed_byte_in_a_keras_file_is_noticed(tmp_path):
    content = bytearray(save(small_generator(), tmp_path / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    refuse(tmp_path / "changed.keras", content, "damaged")


def refuse(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        load_generator(path)
    assert str(raised.value).startswith(f"{path}: ") and reason in str(raised.value)
    assert "expected" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"weights\n" * 1000, b"PK\x05\x06" + bytes(18), b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_holds_no_weights_is_refused(content, tmp_path):
    refuse(tmp_path / "model.keras", content, "not a weights file")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "model.h5"])
def test_values_that_are_no_numbers_are_refused(file, value, tmp_path):
    model = small_generator()
    model.get_layer("block01_conv1").bias.assign([0, 0, value, 0])
    path = save(model, tmp_path / file)
    refuse(path, path.read_bytes(), "some of its values are infinite or no numbers")


def peak_of(load):
    tracemalloc.start()
    try:
        load()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def layers_file(path, arrays, **options):
    """A Keras 3 weights file whose only layer has arrays of these shapes, which are never written."""
    with h5py.File(path, "w") as file:
        for number, shape in enumerate(arrays):
            file.create_dataset(f"layers/conv2d/vars/{number}", shape, "f4", chunks=True, **options)


def chunk_file(path):
    """One value, in a chunk of 256 MB."""
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (1,), "f4", maxshape=(None,), chunks=(2**26,), compression="gzip")


def type_file(path):
    """One value, of a type that is 256 MB large."""
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (1,), np.dtype(("f4", (2**26,))), chunks=True)


def wide_file(path):
    """A generator of 12,000 channels, of which only the first kernel is as wide."""
    model = small_generator()
    with h5py.File(save(model, path), "a") as file:
        for name, shape in (("conv2d", (9, 9, 3, 12000)), ("p_re_lu", (1, 1, 12000))):
            variables = file[f"layers/{name}/vars"]
            del variables["0"]
            variables.create_dataset("0", shape, "f4", chunks=True)


def zipped(path, megabytes=80):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model.weights.h5", "w") as member:
        for _ in range(megabytes):
            member.write(bytes(2**20))


def lying_zip(path):
    """200 MB that are 1,000 bytes by the archive's directory."""
    zipped(path, 200)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\1\2") + 24, 1000)
    path.write_bytes(content)


def many_layers_file(path):
    with h5py.File(path, "w", libver="latest") as file:
        layers = file.create_group("layers")
        layers["conv2d"] = group = file.create_group("empty")
        for number in range(4_999):
            layers[f"conv2d_{number}"] = group


@pytest.mark.parametrize(
    "make, reason",
    [
        (
            lambda path: layers_file(path, [(2**29,)]),
            "its arrays take 2,147,483,648 bytes, expected at most 67,108,864",
        ),
        (lambda path: layers_file(path, [(2**19,)] * 50), "its arrays take 104,857,600 bytes"),
        (lambda path: layers_file(path, [(1,)] * 1001), "it has 1,001 layers or arrays, expected at most 1,000"),
        (chunk_file, "its arrays take 268,435,456 bytes"),
        (type_file, "its arrays take 268,435,456 bytes"),
        (wide_file, r"another network \(11 convolutions, .*9x9x3x12000"),
        (many_layers_file, "it has 5,000 layers or arrays"),
        (zipped, "its arrays take 83,886,080 bytes"),
    ],
)
def test_a_file_that_claims_too_much_is_refused_before_memory_is_asked_for(make, reason, tmp_path):
    path = tmp_path / "bomb.weights.h5"
    make(path)
    assert path.stat().st_size < 2**20

    def refused():
        with pytest.raises(ValueError, match=f"{path}: .*{reason}"):
            load_generator(path)

    assert peak_of(refused) < 2**25


def test_what_an_archive_says_of_a_size_is_not_believed(tmp_path):
    lying_zip(tmp_path / "a.keras")

    def refused():
        with pytest.raises(ValueError, match="a.keras: not a weights file, or a damaged one"):
            load_generator(tmp_path / "a.keras")

    assert peak_of(refused) < 150e6


def other_network(name):
    layers, rgb, generator = keras.layers, keras.Input((8, 8, 3)), small_generator()
    conv = layers.Conv2D
    srcnn = models.srcnn((5, 4))(rgb)
    return {
        "classifier": keras.Sequential([rgb, conv(4, 3), conv(4, 3), layers.Flatten(), layers.Dense(2)]),
        "no layers": keras.Sequential([rgb, layers.Flatten()]),
        "no biases": keras.Sequential([rgb, *(conv(n, 3, use_bias=False) for n in (4, 4, 3))]),
        "3-5-5": keras.Sequential([rgb, *(conv(n, size, padding="same") for n, size in ((4, 3), (4, 5), (3, 5)))]),
        "9-1-5": keras.Sequential([rgb, conv(4, 9, padding="same"), conv(4, 1), conv(3, 5)]),
        "one layer more": keras.Model(generator.inputs, conv(3, 1)(generator.output)),
        "other slopes": keras.Model(rgb, layers.PReLU()(srcnn)),
    }[name]


@pytest.mark.parametrize(
    "name", ["classifier", "no layers", "no biases", "3-5-5", "9-1-5", "one layer more", "other slopes"]
)
def test_another_network_is_refused(name, tmp_path):
    path = save(other_network(name), tmp_path / "model.weights.h5")
    refuse(path, path.read_bytes(), "the weights of another network")


def test_the_refusal_of_another_network_says_what_it_is_and_what_was_expected(tmp_path):
    rgb = keras.Input((None, None, 3))
    path = save(keras.Sequential([rgb, keras.layers.Conv2D(8, 3)]), tmp_path / "model.keras")
    with pytest.raises(
        ValueError, match=r"another network \(1 convolutions, .*\[3x3x3x8\]\): expected .*SRGAN generator .*SRCNN"
    ):
        load_generator(path)


@pytest.mark.parametrize("kind", ["link", "dataset", "view"])
def test_arrays_outside_the_file_are_refused(kind, tmp_path):
    path = save(small_generator(), tmp_path / "model.weights.h5")
    bias = np.zeros(4, np.float32)
    (tmp_path / "secret.bin").write_bytes(bias.tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["bias"] = bias
    with h5py.File(path, "a") as file:
        variables = file["layers/conv2d/vars"]
        del variables["1"]
        if kind == "link":
            variables["1"] = h5py.ExternalLink(tmp_path / "secret.h5", "bias")
        elif kind == "dataset":
            variables.create_dataset("1", (4,), "f4", external=[(tmp_path / "secret.bin", 0, bias.nbytes)])
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "bias", (4,))
            variables.create_virtual_dataset("1", layout)
    with pytest.raises(ValueError, match="kept outside"):
        load_generator(path)


@pytest.mark.skipif(os.name != "posix", reason="no pipes with names")
@pytest.mark.parametrize(
    "place", ["model_weights", "layers", "layers/conv2d", "layers/conv2d/vars", "layers/conv2d/vars/0"]
)
@pytest.mark.parametrize("link", [h5py.ExternalLink("pipe", "/x"), h5py.SoftLink("/elsewhere")])
def test_no_link_is_followed(place, link, tmp_path, monkeypatch):
    """A pipe would block whoever opens it, for ever."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    path = save(small_generator(), tmp_path / "model.weights.h5")
    with h5py.File(path, "a") as file:
        file["elsewhere"] = h5py.ExternalLink("pipe", "/x")
        if place in file:
            del file[place]
        file[place] = link
    refuse(path, path.read_bytes(), "is kept outside it")


@pytest.mark.parametrize("place", ["layer", "array"])
def test_no_link_in_a_file_of_keras_2_is_followed(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with h5py.File("a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        if place == "layer":
            file["conv"] = h5py.ExternalLink("pipe", "/x")
        else:
            file.create_group("conv").attrs["weight_names"] = [b"conv/kernel:0"]
            file["conv/conv"] = h5py.ExternalLink("pipe", "/x")
    refuse(tmp_path / "a.h5", Path("a.h5").read_bytes(), "is kept outside it")


@pytest.mark.parametrize("name", ["m.safetensors", "m.onnx", "m.npz"])
def test_weights_of_other_programs_are_refused(name, tmp_path):
    np.savez(tmp_path / "m.npz", kernel=np.zeros((9, 9, 3, 64), np.float32))
    others = {
        "m.safetensors": b"\x3b" + bytes(7) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + bytes(9),
        "m.onnx": b"\x08\x07\x12\x07pytorch" + bytes(99),
        "m.npz": (tmp_path / "m.npz").read_bytes(),
    }
    refuse(tmp_path / name, others[name], "not a weights file")


@pytest.mark.parametrize("source", [None, 3, ["srgan"], np.zeros(3)])
def test_what_is_no_name_is_answered_with_the_known_ones(source):
    with pytest.raises(ValueError, match="expected one of srgan, photo, srresnet, srcnn"):
        load_generator(source)


def test_the_default_is_nobodys_to_change():
    before = apply_srgan(IMAGE, dtype="float32"), apply_srgan(IMAGE, "srgan", dtype="float32")
    model = load_generator()
    kernel = next(layer for layer in model.layers if layer.weights).kernel
    original = kernel.numpy()
    kernel.assign(0 * original)
    try:
        assert (apply_srgan(IMAGE, model, dtype="float32") != before[0]).any()
        for expected, source in zip(before, (None, "srgan"), strict=True):
            np.testing.assert_array_equal(apply_srgan(IMAGE, source, dtype="float32"), expected)
    finally:
        kernel.assign(original)


def test_files_loaded_in_turn_stay_loaded(tmp_path):
    paths = [save(models.generator(blocks=1, channels=2), tmp_path / f"{number}.weights.h5") for number in range(4)]
    loaded = [load_generator(path) for path in paths]
    assert [load_generator(path) for path in paths] == loaded


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in tmp_path / "none.keras", tmp_path / "none":
        with pytest.raises(FileNotFoundError, match=f"{path}: no such weights file"):
            load_generator(path)
    os.mkfifo(tmp_path / "pipe")
    for path in tmp_path, tmp_path / "pipe":
        with pytest.raises(ValueError, match=f"{path}: a folder, pipe or device, expected a weights file"):
            load_generator(path)


# ---- the hub ---------------------------------------------------------------------------------------------------------


class Hub(http.server.ThreadingHTTPServer):
    """Answers as the Hugging Face Hub does to downloads of files in the repository someone/faces."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.files, self.requests, self.fault = files, [], None
        self.revisions = ("main", "v1", COMMIT)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass


class HubRequest(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        hub = self.server
        if "/resolve/" not in self.path:
            return self.answer(404)
        hub.requests.append(self.command)
        owner, name, _, revision, path = self.path[1:].split("/", 4)
        if hub.fault == "silent":
            time.sleep(20)
        elif isinstance(hub.fault, int):
            self.answer(hub.fault)
        elif f"{owner}/{name}" != "someone/faces":
            self.answer(401, {"X-Error-Code": "RepoNotFound"})
        elif revision not in hub.revisions:
            self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        elif path not in hub.files:
            self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            self.answer(200, {"ETag": f'"{path}"', "X-Repo-Commit": COMMIT}, hub.files[path])

    do_GET = do_HEAD

    def answer(self, status, headers=(), content=b""):
        self.send_response(status)
        for header in {**dict(headers), "Content-Length": len(content)}.items():
            self.send_header(*map(str, header))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if self.server.fault == "cut" else content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def generator_file(tmp_path_factory):
    return save(small_generator(), tmp_path_factory.mktemp("hub") / "model.keras").read_bytes()


@pytest.fixture
def hub(generator_file):
    with Hub({"models/x4.keras": generator_file, "cut.keras": generator_file[:-100]}) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def new_session(hub, tmp_path, monkeypatch):
    """``load_generator`` as in a new process, since huggingface_hub reads the environment when imported."""

    def start(**environment):
        defaults = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_ETAG_TIMEOUT": "1"}
        for name, value in (defaults | environment).items():
            monkeypatch.setenv(name, value)
        for name in [name for name in sys.modules if name.startswith("huggingface_hub")] + ["superres.network.weights"]:
            monkeypatch.delitem(sys.modules, name)
        return importlib.import_module("superres.network.weights").load_generator

    monkeypatch.setattr(network, "weights", weights)
    for name in "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY":
        monkeypatch.delenv(name, raising=False)
    return start


def test_a_hub_file_is_downloaded_once(new_session, hub, generator_file, tmp_path):
    (tmp_path / "x4.keras").write_bytes(generator_file)
    expected = load_generator(tmp_path / "x4.keras")
    sessions = {"": "HEAD HEAD GET", "@main": "HEAD", "@v1": "HEAD HEAD", f"@{COMMIT}": ""}
    for revision, requests in sessions.items():
        load = new_session()
        model = load(f"hf://someone/faces/models/x4.keras{revision}")
        assert same_weights(model, expected)
        assert load(f"hf://someone/faces/models/x4.keras{revision}") is model
        assert hub.requests == requests.split()
        hub.requests.clear()


def test_a_hub_file_in_the_cache_needs_no_hub(new_session, hub):
    new_session()("hf://someone/faces/models/x4.keras")
    hub.requests.clear()
    assert new_session(HF_HUB_OFFLINE="1")("hf://someone/faces/models/x4.keras")
    assert not hub.requests
    hub.fault = 503
    assert new_session()("hf://someone/faces/models/x4.keras")


@pytest.mark.parametrize(("source", "missing"), [
    ("hf://someone/none/models/x4.keras", "no repository someone/none"),
    ("hf://someone/faces/models/none.keras", "no file models/none.keras"),
    ("hf://someone/faces/models/x4.keras@v2", "no revision v2"),
])  # fmt: skip
def test_what_the_hub_has_not_is_named(source, missing, new_session):
    with pytest.raises(FileNotFoundError, match=f"{source}: .*{missing}"):
        new_session()(source)


def test_a_damaged_hub_file_is_refused(new_session):
    with pytest.raises(ValueError, match=r"hf://someone/faces/cut\.keras: not a weights file, or a damaged one"):
        new_session()("hf://someone/faces/cut.keras")


@pytest.mark.parametrize("fault", ["closed", "offline", "silent", 403, 500])
def test_a_hub_that_does_not_answer_is_an_error_soon(fault, new_session, hub):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    hub.fault = fault
    load = new_session(**{"closed": {"HF_ENDPOINT": closed}, "offline": {"HF_HUB_OFFLINE": "1"}}.get(fault, {}))
    with pytest.raises(ConnectionError, match="hf://someone/faces/models/x4.keras: not in the cache, and the download"):
        load("hf://someone/faces/models/x4.keras")
    assert len(hub.requests) <= 6  # some versions of huggingface_hub retry five times


def test_an_interrupted_download_is_an_error_and_can_be_repeated(new_session, hub, monkeypatch):
    hub.fault = "cut"
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(
        ConnectionError, match="hf://someone/faces/models/x4.keras: .* the download from the hub failed"
    ):
        new_session()("hf://someone/faces/models/x4.keras")
    hub.fault = None
    assert new_session()("hf://someone/faces/models/x4.keras")


@pytest.mark.parametrize(
    "source",
    [
        "hf://faces/x4.keras",
        "hf://someone/faces",
        "hf://someone/faces@v1/x4.keras",
        "hf://someone/faces/x4.keras@../../../escaped",
        "hf://someone/faces/x4.keras@v1/../../escaped",
        "hf://someone/faces/x4.keras@/escaped",
        "hf://someone/faces/../x4.keras",
        "hf://someone/faces//x4.keras",
        "hf://someone/faces/..\\x4.keras",
    ],
)
def test_a_hub_source_that_lacks_a_part_or_leaves_its_place_is_an_error(source, new_session, hub, tmp_path):
    with pytest.raises(ValueError, match=f"{re.escape(source)}: expected hf://OWNER/REPO/FILE"):
        new_session()(source)
    assert not hub.requests and not (tmp_path / "cache").exists()


def test_a_revision_may_be_a_path(new_session, hub, monkeypatch):
    monkeypatch.setattr(hub, "revisions", ("main", "v1", COMMIT, "refs%2Fpr%2F1"))
    assert new_session()("hf://someone/faces/models/x4.keras@refs/pr/1")


def test_bundled_weights_do_not_import_what_downloads():
    """It takes half a second, and says in a notebook without ipywidgets that they are missing."""
    code = "import sys; from superres.network.weights import read_arrays; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=weights.FOLDER.parent, check=True)
