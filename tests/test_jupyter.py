"""In a notebook: two kernels at once, the progress bar, and interrupting the kernel."""

import time

import pytest
from conftest import ROOT
from jupyter_client.manager import start_new_kernel

SETUP = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from srgan import apply_srgan, read_gif, save_gif, upscale_frames
image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
small = image[:20, :30]
result = apply_srgan(small, dtype="float32", progress=True)
"""


@pytest.fixture
def kernels(tmp_path):
    """Two kernels, and clients to talk to them."""
    started = [start_new_kernel(kernel_name="python3", cwd=tmp_path) for _ in range(2)]
    yield started
    for manager, client in started:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def printed(client, message, interrupt=lambda: None):
    """What a cell prints, and the name of its error. ``interrupt`` is called once it has printed "begun"."""
    output = ""
    while True:
        answer = client.get_iopub_msg(timeout=300)
        content = answer["content"]
        if answer["parent_header"].get("msg_id") != message:
            continue
        if answer["msg_type"] == "stream":
            output += content["text"]
            if "begun" in content["text"]:
                interrupt()
        elif answer["msg_type"] == "error":
            output += content["ename"]
        elif answer["msg_type"] == "status" and content["execution_state"] == "idle":
            return output


def test_two_kernels_and_their_interruption(kernels, tmp_path):
    messages = [client.execute(SETUP) for _, client in kernels]
    for (_, client), message in zip(kernels, messages, strict=True):
        bar = printed(client, message)
        assert bar.count("\n") == 1 and bar.endswith("\n") and "100%" in bar.rpartition("\r")[2], "one line"
    (manager, client), _ = kernels
    for endless in (
        "while True: apply_srgan(image, dtype='float32')",
        "for _ in upscale_frames([image, 255 - image] * 99, apply_srgan): pass",
        "save_gif('clip.gif', (np.roll(image, k, 0) for k in range(10**6)), 40)",
    ):
        interrupted = []

        def interrupt(interrupted=interrupted):
            interrupted.append(time.monotonic())
            manager.interrupt_kernel()

        output = printed(client, client.execute(f"print('begun', flush=True)\n{endless}"), interrupt)
        assert output == "begun\nKeyboardInterrupt" and time.monotonic() - interrupted[0] < 30  # on a busy machine
        assert not list(tmp_path.iterdir())
    again = "print((apply_srgan(small, dtype='float32') == result).all()); save_gif('a.gif', [small], 40)"
    assert printed(client, client.execute(again)) == "True\n" and [path.name for path in tmp_path.iterdir()] == [
        "a.gif"
    ]
