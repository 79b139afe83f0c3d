"""Shared by the tests of GIFs: generated content, and frames as other readers decode them."""

import struct

import cv2
import numpy as np
from PIL import Image, ImageSequence

PALETTE = np.random.default_rng(0).permutation(256**3)[:256].astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].copy()


def rgba(frame):
    """RGBA with alpha 0 or 255, and all channels 0 where alpha is 0: what a GIF can store."""
    if frame.shape[2] == 3:
        return np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    visible = frame[..., 3:] >= 128
    return np.where(visible, np.dstack([frame[..., :3], np.full(frame.shape[:2], 255, np.uint8)]), 0)


def pillow_frames(path):
    with Image.open(path) as image:
        return [rgba(np.asarray(frame.convert("RGBA"))) for frame in ImageSequence.Iterator(image)]


def opencv_frames(path):
    """Frames as RGBA, durations in milliseconds, number of plays."""
    _, animation = cv2.imreadanimation(str(path))
    swapped = [frame[..., [2, 1, 0, 3][: frame.shape[2]]] for frame in animation.frames]
    return [rgba(frame) for frame in swapped], list(animation.durations), animation.loop_count


def write(path, data):
    path.write_bytes(data)
    return path


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def strict_frames(data):
    """Frames as RGBA and durations in milliseconds of a GIF, by the specification: what it does not say fails."""
    assert data[:6] == b"GIF89a"
    width, height, flags, background, aspect = struct.unpack_from("<HHBBB", data, 6)
    assert flags & 128 and background < 2 << (flags & 7) and aspect == 0
    position = 13 + 3 * (2 << (flags & 7))
    screen, frames, durations, control = np.zeros((height, width, 4), np.uint8), [], [], None
    while data[position] != 0x3B:
        if data[position] == 0x21:
            label = data[position + 1]
            blocks, position = sub_blocks(data, position + 2)
            if label == 0xF9:
                assert control is None and [len(block) for block in blocks] == [4]
                control = struct.unpack("<BHB", blocks[0])
            else:
                assert label == 0xFF and not frames and blocks[0] == b"NETSCAPE2.0" and blocks[1][:1] == b"\1"
            continue
        assert data[position] == 0x2C
        left, top, columns, rows, flags = struct.unpack_from("<4HB", data, position + 1)
        assert columns and rows and left + columns <= width and top + rows <= height and flags & 0xF8 == 128
        size, position = 2 << (flags & 7), position + 10
        palette = np.frombuffer(data, np.uint8, 3 * size, position).reshape(size, 3)
        code_size, position = data[position + 3 * size], position + 3 * size
        assert code_size == max(2, (flags & 7) + 1)
        blocks, position = sub_blocks(data, position + 1)
        indices = np.array(unlzw(b"".join(blocks), code_size)).reshape(rows, columns)
        packed, delay, transparent = control
        assert packed & 0xE2 == 0 and packed >> 2 in (1, 2) and indices.max() < size
        area = screen[top : top + rows, left : left + columns]
        drawn = indices != (transparent if packed & 1 else -1)
        area[drawn] = np.insert(palette, 3, 255, axis=1)[indices[drawn]]
        frames.append(screen.copy())
        durations.append(10 * delay)
        if packed >> 2 == 2:
            area[:] = 0
        control = None
    assert control is None and position == len(data) - 1
    return frames, durations


def sub_blocks(data, position):
    """Sub-blocks without their lengths, and the position behind the empty one. All but the last are full."""
    blocks = []
    while size := data[position]:
        blocks.append(data[position + 1 : position + 1 + size])
        position += 1 + size
    assert all(len(block) in (len(blocks[0]), 255) for block in blocks[:-1])
    return blocks, position + 1


def unlzw(data, code_size):
    """The indices of LZW codes (appendix F), which begin with a clear code and end with the end code."""
    clear, end = 1 << code_size, (1 << code_size) + 1
    indices, table, width, position, last = [], None, code_size + 1, 0, None
    while True:
        code = int.from_bytes(data[position // 8 : position // 8 + 4], "little") >> position % 8 & (1 << width) - 1
        position += width
        assert position <= 8 * len(data) and (table or code == clear)
        if code == clear:
            table, width, last = [[index] for index in range(clear)] + [None, None], code_size + 1, None
            continue
        if code == end:
            assert 8 * len(data) - position < 8
            return indices
        entry = table[code] if code < len(table) else last + last[:1]
        assert code <= len(table) and entry
        indices += entry
        if last and len(table) < 4096:
            table.append(last + entry[:1])
        if len(table) == 1 << width and width < 12:
            width += 1
        last = entry
