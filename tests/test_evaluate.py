import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan import apply_srgan, bicubic_upscale
from superres.images.degrade import degrade
from superres.images.measures import checkerboard_strength
from training import data, evaluate


def test_evaluation_agrees_with_scikit_image(photos, capsys):
    evaluate.main([str(photos), "--models", "bicubic", "--limit", "1"])
    header, _, row = capsys.readouterr().out.splitlines()
    assert header == "| PSNR / SSIM / checkerboard | clean | cv2 | gif | jpeg | photo | strong |"
    hr = data.read_hr(photos / "0.png")
    sr = cv2.resize(degrade(hr, "cv2"), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    a, b = (16 + p[4:-4, 4:-4] @ np.array([65.481, 128.553, 24.966]) / 255 for p in (hr, sr))
    psnr = peak_signal_noise_ratio(a, b, data_range=255)
    ssim = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )  # fmt: skip
    assert row.split(" | ")[2] == f"{psnr:.2f} / {ssim:.4f} / {checkerboard_strength(sr):.3f}"
    assert checkerboard_strength(sr) != pytest.approx(checkerboard_strength(hr), abs=0.01)


def test_models_are_measured_in_float32(rng, monkeypatch):
    monkeypatch.setattr("superres.network.inference.has_native_bfloat16", lambda: True)
    lr = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(evaluate.method("srresnet")(lr), apply_srgan(lr, "srresnet", dtype="float32"))
    assert not np.array_equal(evaluate.method("srresnet")(lr), apply_srgan(lr, "srresnet"))
    np.testing.assert_array_equal(evaluate.method("bicubic")(lr), bicubic_upscale(lr))


def test_evaluation_errors_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        evaluate.main([str(tmp_path)])
    assert exit.value.code == 2 and "no images" in capsys.readouterr().err
