import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres.degrade import degrade
from superres.measures import checkerboard_strength
from training import data, evaluate


def test_evaluation_agrees_with_scikit_image(photos, tmp_path, capsys):
    evaluate.main([str(photos), "--models", "bicubic", "--limit", "1", "--sheet", str(tmp_path / "sheet.png")])
    header, _, row = capsys.readouterr().out.splitlines()
    assert header == "| PSNR / SSIM / checkerboard | clean | cv2 | gif | jpeg |"
    hr = data.read_hr(photos / "0.png")
    sr = cv2.resize(degrade(hr, "cv2"), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    a, b = (16 + p[4:-4, 4:-4] @ np.array([65.481, 128.553, 24.966]) / 255 for p in (hr, sr))
    psnr = peak_signal_noise_ratio(a, b, data_range=255)
    ssim = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )  # fmt: skip
    assert row.split(" | ")[2] == f"{psnr:.2f} / {ssim:.4f} / {checkerboard_strength(sr):.3f}"
    assert checkerboard_strength(sr) != pytest.approx(checkerboard_strength(hr), abs=0.01)
    assert Image.open(tmp_path / "sheet.png").width > 200


def test_evaluation_errors_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        evaluate.main([str(tmp_path)])
    assert exit.value.code == 2 and "no images" in capsys.readouterr().err
