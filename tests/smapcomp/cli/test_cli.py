"""The command `smapcomp`: what it writes, what it prints and how it ends."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import smapcomp
from smapcomp.cli import main
from smapcomp.codec import api
from smapcomp.codec.bitstream import container
from smapcomp.codec.bitstream.stream import Layer, Stream
from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers.paths import ROOT

PHOTO = ROOT / "docs" / "demo" / "photo.png"


@pytest.fixture
def command(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Function that runs the command line in an empty folder and returns status and outputs."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main(["smapcomp", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def small_picture(tmp_path: Path) -> Path:
    """File of a 40x24 crop of the photograph."""
    path = tmp_path / "small.png"
    write_picture(path, Picture(read_picture(PHOTO).samples[100:124, 200:240]))
    return path


def stream_of_one_layer(payload: bytes = b"payload") -> bytes:
    return container.pack(
        Stream(
            width=20,
            height=10,
            channels=3,
            compact_scale=8,
            compact_step=8,
            mode="none",
            variant="lite",
            model_digest=b"weights!",
            prediction_digest=b"predict!",
            layers=(Layer("compact", "jxl", payload),),
        )
    )


def assert_one_line_error(result: tuple[int, str, str], status: int, *parts: str) -> None:
    assert result[0] == status
    assert result[1] == ""
    assert result[2].count("\n") == 1
    for part in parts:
        assert part in result[2]


def test_help_names_every_command(command):
    for words in (["--help"], ["-h"], ["help"]):
        status, out, err = command(*words)
        assert (status, err) == (0, "")
        for name in ("compress IN OUT", "decompress IN OUT", "info IN", "compare A B"):
            assert name in out
        assert "smapcomp compress photo.jpg photo.smc" in out
    assert command()[0] == 2


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (
            "compress",
            [
                "--quality=N",
                "Default: 60.",
                "--mode=none|sent|matched|mapped",
                "Default: mapped.",
                "--variant=paper|lite",
                "--overwrite",
                "--weights_dir",
                "Quality or size: one of these:",
                "--target_bytes=N",
                "smapcomp compress *.png --out_dir=small --quality=40",
            ],
        ),
        ("decompress", ["--overwrite", "--weights_dir", f"Default: {1 << 27}.", ".png"]),
        ("info", ["--json"]),
        ("compare", ["--json"]),
    ],
)
def test_help_of_a_command_names_its_flags_and_defaults(command, name, flags):
    status, out, err = command(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: smapcomp {name}")
    for flag in flags:
        assert flag in out
    assert command(name, "IN", "-h")[1] == out


def test_help_has_the_goal_first_and_the_server_last(command):
    out = command("compress", "--help")[1]
    titles = [line for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles[1:] == [
        "Quality or size: one of these:",
        "Output:",
        "Content:",
        "Codec, for experts:",
        "Networks and limits:",
        "Networks on a server:",
    ]


def test_version_is_printed(command):
    assert command("--version") == (0, f"smapcomp {smapcomp.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["expand", "a", "b"], "unknown command 'expand'"),
        (["compress"], "expected IN OUT, got nothing"),
        (["compress", "a"], "expected IN OUT, or IN... with --out_dir=DIR, got a"),
        (["compress", "a", "b", "c"], "expected IN OUT, or IN... with --out_dir=DIR, got a b c"),
        (["compress", "x/a.png", "a.jpg", "--out_dir=o"], "would both become o/a.smc"),
        (["compress", "a", "b", "--quality=3", "--target_psnr=40"], "--quality and --target_psnr"),
        (["compress", "a", "b", "--compact_scale=3"], "--compact_scale=3"),
        (["decompress", "a", "b", "--stage=all"], "--stage=all"),
        (["compare", "a", "b", "c"], "expected A B, got a b c"),
        (["compress", "a", "b", "--quality=101"], "--quality=101"),
        (["compress", "a", "b", "--quality=high"], "--quality=high"),
        (["compress", "a", "b", "--mode=magic"], "--mode=magic"),
        (["compress", "a", "b", "--max_pixels=0"], "--max_pixels=0"),
        (["compress", "a", "b", "--colour=3"], "'colour'"),
        (["decompress", "a", "b", "--quality=3"], "'quality'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(command, words, message):
    assert_one_line_error(command(*words), 2, message)


def test_wrong_files_are_one_line_and_exit_status_1(command, tmp_path, small_picture):
    (tmp_path / "text").write_text("no picture, no stream")
    (tmp_path / "cut").write_bytes(stream_of_one_layer()[:-3])
    (tmp_path / "long").write_bytes(stream_of_one_layer() + b"!")
    for words, message in [
        (["compress", "absent.png", "out"], "absent.png: No such file or directory"),
        (["compress", "text", "out"], "text: not a picture"),
        (["compress", small_picture, "absent/out"], "no directory"),
        (["compress", small_picture, "."], "is a directory"),
        (["compress", small_picture, small_picture, "--overwrite"], "the output is the input"),
        (["compress", small_picture, "text"], "text: exists; --overwrite replaces it"),
        (["compress", small_picture, "out", "--max_pixels=959"], "up to 959 are allowed"),
        (["compress", small_picture, "out", "--lossless", "--target_bpp=1"], "with lossless"),
        (["compress", small_picture, "out", "--target_ms_ssim=1.5"], "target_ms_ssim 1.5"),
        (["compress", small_picture, "--out_dir=text"], "text: File exists"),
        (["decompress", "absent", "out.png"], "absent: No such file or directory"),
        (["decompress", "cut", "out.xyz"], "unknown extension '.xyz'"),
        (["decompress", "cut", "small.png"], "small.png: exists"),
        (["decompress", "cut", "cut"], "cut: the output is the input"),
        (["compare", small_picture, PHOTO], "different sizes: 40x24 and 512x512"),
        (["compare", small_picture, "text"], "text: not a picture"),
        (["info", "absent"], "absent: No such file or directory"),
        (["info", "."], ".: Is a directory"),
        (["info", "text"], "text: starts with"),
        (["info", "cut"], "cut: compact layer needs 7 bytes, 4 are left"),
        (["info", "long"], "long: 1 bytes after the last layer"),
        (["decompress", "text", "out.png"], "text: starts with"),
        (["decompress", "cut", "out.png"], "cut: compact layer needs"),
    ]:
        assert_one_line_error(command(*words), 1, message)
    assert sorted(os.listdir()) == ["cut", "long", "small.png", "text"]


def test_info_reports_sizes_model_and_digests_without_networks(command, tmp_path):
    data = stream_of_one_layer(b"x" * 30)
    (tmp_path / "stream").write_bytes(data)
    status, out, err = command("info", "stream", "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert (facts["width"], facts["height"]) == (20, 10)
    assert facts["mode"] == "none"
    assert facts["variant"] == "lite"
    assert facts["bytes"] == len(data)
    assert facts["bpp"] == pytest.approx(8 * len(data) / 200)
    assert facts["layers"] == [
        {"kind": "compact", "coder": "jxl", "bytes": 30, "bpp": pytest.approx(8 * 30 / 200)}
    ]
    assert facts["header_bytes"] == len(data) - 30
    assert b"weights!".hex() in out
    assert b"predict!".hex() in out
    readable = command("info", "stream")[1]
    for fact in ("20", "10", "none", "lite", str(len(data)), b"weights!".hex()):
        assert re.search(rf"\b{fact}\b", readable)
    assert re.search(r"compact +jxl +30 +1\.2000\n", readable)


def test_compare_prints_psnr_and_ms_ssim(command, tmp_path):
    image = read_picture(PHOTO).samples[:170, :180] // 2
    write_picture(tmp_path / "a.png", Picture(image))
    write_picture(tmp_path / "b.bmp", Picture(image + np.uint8(10)))
    status, out, err = command("compare", "a.png", "b.bmp", "--json")
    assert (status, err) == (0, "")
    scores = json.loads(out)
    assert scores["psnr"] == pytest.approx(20 * np.log10(25.5), abs=1e-9)
    assert 0.9 < scores["ms_ssim"] < 1
    assert (scores["width"], scores["height"], scores["identical"]) == (180, 170, False)
    out = command("compare", "a.png", "b.bmp")[1]
    assert out == f"PSNR     28.131 dB\nMS-SSIM  {scores['ms_ssim']:.5f}\n"


def test_compare_of_small_and_equal_pictures_says_so(command, small_picture, tmp_path):
    status, out, _ = command("compare", small_picture, small_picture)
    assert status == 0
    assert out == "PSNR     inf dB\nMS-SSIM  none (a side is under 161 pixels)\n"
    scores = json.loads(command("compare", small_picture, small_picture, "--json")[1])
    assert (scores["identical"], scores["psnr"], scores["ms_ssim"]) == (True, None, None)


def test_compare_of_grey_and_rgb_repeats_the_grey_channel(command, tmp_path):
    grey = read_picture(PHOTO).samples[:20, :20, :1]
    write_picture(tmp_path / "grey.png", Picture(grey))
    write_picture(tmp_path / "rgb.png", Picture(np.repeat(grey, 3, axis=2)))
    assert command("compare", "grey.png", "rgb.png")[1].startswith("PSNR     inf dB")


def test_notices_are_lines_on_standard_error(command, tmp_path):
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    status, _, err = command("compare", "deep.png", "deep.png")
    assert status == 0
    assert err == "smapcomp: deep.png: 16-bit samples are rounded to 8 bits\n" * 2


def run_module(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    return subprocess.run(
        [sys.executable, "-m", "smapcomp", *map(str, words)],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_python_m_smapcomp_returns_the_exit_status(tmp_path):
    assert run_module("--help", cwd=tmp_path).returncode == 0
    result = run_module("info", "absent", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "smapcomp: absent: No such file or directory\n"
    assert run_module("inform", cwd=tmp_path).returncode == 2


def test_a_picture_goes_through_a_file_and_back(command, small_picture, tmp_path):
    image = read_picture(small_picture).samples
    status, out, err = command("compress", small_picture, "photo.smc")
    data = (tmp_path / "photo.smc").read_bytes()
    bpp = 8 * len(data) / (40 * 24)
    assert (status, err) == (0, "")
    assert out == f"photo.smc: 40x24, {len(data)} bytes, {bpp:.3f} bpp\n"
    assert data == smapcomp.compress(image)

    status, out, err = command("decompress", "photo.smc", "back.png")
    assert (status, out, err) == (0, "back.png: 40x24\n", "")
    back = read_picture(tmp_path / "back.png").samples
    np.testing.assert_array_equal(back, smapcomp.decompress(data))

    scores = json.loads(command("compare", small_picture, "back.png", "--json")[1])
    assert scores["psnr"] > 25
    facts = json.loads(command("info", "photo.smc", "--json")[1])
    assert (facts["bytes"], facts["mode"]) == (len(data), "mapped")


def test_flags_reach_the_codec(command, small_picture, tmp_path):
    assert command("compress", small_picture, "best", "--quality=90", "--mode=sent")[0] == 0
    assert command("compress", small_picture, "least", "--quality", "0", "--mode=none")[0] == 0
    assert container.unpack((tmp_path / "best").read_bytes()).mode == "sent"
    least = container.unpack((tmp_path / "least").read_bytes())
    assert least.mode == "none"
    assert least.layer("residual") is None or not least.layer("residual").payload
    assert_one_line_error(
        command("decompress", "least", "out.png", "--max_pixels=959"), 1, "least: ", "959"
    )
    assert_one_line_error(
        command("compress", small_picture, "out", "--weights_dir=absent"), 1, "absent"
    )
    assert sorted(os.listdir()) == ["best", "least", "small.png"]


def test_many_files_go_into_a_folder_and_one_bad_one_does_not_stop_the_rest(
    command, small_picture, tmp_path
):
    (tmp_path / "bad.png").write_text("no picture")
    other = read_picture(PHOTO).samples[:20, :30]
    write_picture(tmp_path / "other.bmp", Picture(other))
    words = ["compress", "small.png", "bad.png", "other.bmp", "--out_dir=small", "--speed=9"]
    status, out, _ = command(*words)
    assert status == 1
    summary = json.loads(out)
    assert [summary[key] for key in ("done", "kept", "failed", "not_reached")] == [2, 0, 1, 0]
    done, bad, last = summary["files"]
    assert (done["input"], done["status"]) == ("small.png", "done")
    assert done["bytes"] == (tmp_path / "small" / "small.smc").stat().st_size
    assert done["bpp"] == pytest.approx(8 * done["bytes"] / 960)
    assert (bad["status"], bad["error"]) == ("failed", "bad.png: not a picture of a known format")
    assert last["output"] == os.path.join("small", "other.smc")
    assert sorted(os.listdir("small")) == ["other.smc", "small.smc"]

    before = (tmp_path / "small" / "small.smc").stat().st_mtime_ns
    status, out, _ = command(*words)
    assert status == 1
    assert [file["status"] for file in json.loads(out)["files"]] == ["kept", "failed", "kept"]
    assert (tmp_path / "small" / "small.smc").stat().st_mtime_ns == before
    status, out, _ = command(*words[:2], "--out_dir=small", "--overwrite", "--speed=9")
    assert (status, json.loads(out)["files"][0]["status"]) == (0, "done")

    status, out, _ = command(
        "decompress", "small/small.smc", "small/other.smc", "--out_dir=back", "--format=webp"
    )
    assert (status, json.loads(out)["done"]) == (0, 2)
    assert sorted(os.listdir("back")) == ["other.webp", "small.webp"]
    assert read_picture("back/other.webp").samples.shape == other.shape


def test_an_interrupted_batch_reports_what_it_did(command, small_picture, monkeypatch):
    shutil.copy("small.png", "second.png")
    compress = api.compress

    def interrupted(*arguments, **options):
        if os.path.exists("out/small.smc"):
            raise KeyboardInterrupt
        return compress(*arguments, **options)

    monkeypatch.setattr(api, "compress", interrupted)
    status, out, _ = command("compress", "small.png", "second.png", "--out_dir=out", "--speed=9")
    summary = json.loads(out)
    assert status == 130
    assert (summary["done"], summary["not_reached"]) == (1, 1)
    assert os.listdir("out") == ["small.smc"]


def test_stages_and_cut_off_streams_are_decompressed_as_asked(command, small_picture, tmp_path):
    words = ["--quality=60", "--compact_coder=jxl", "--speed=9"]
    assert command("compress", small_picture, "stream", *words)[0] == 0
    data = (tmp_path / "stream").read_bytes()
    for stage in ("compact", "prediction", "full"):
        assert command("decompress", "stream", f"{stage}.png", f"--stage={stage}")[0] == 0
        expected = smapcomp.decompress(data, stage=stage)
        found = read_picture(tmp_path / f"{stage}.png").samples
        np.testing.assert_array_equal(found, expected)
    (tmp_path / "cut").write_bytes(data[:-9])
    assert_one_line_error(command("decompress", "cut", "cut.png"), 1, "cut: residual layer needs")
    status, _, err = command("decompress", "cut", "cut.png", "--allow_partial")
    assert (status, err) == (0, "smapcomp: the stream is cut off; without residual\n")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "cut.png").samples, smapcomp.decompress(data, stage="prediction")
    )


def test_targets_metadata_and_lossless_reach_the_codec(command, tmp_path):
    image = Image.fromarray(read_picture(PHOTO).samples[:96, :120])
    image.save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    assert command("compress", "a.png", "a.smc", "--target_bytes=2500", "--speed=9")[0] == 0
    assert 2450 <= (tmp_path / "a.smc").stat().st_size <= 2500
    words = ["--lossless", "--keep_metadata", "--speed=9"]
    assert command("compress", "a.png", "b.smc", *words)[0] == 0
    facts = json.loads(command("info", "b.smc", "--json")[1])
    assert (facts["lossless"], facts["metadata"]) == (True, ["exif"])
    assert command("decompress", "b.smc", "b.png")[0] == 0
    assert json.loads(command("compare", "a.png", "b.png", "--json")[1])["identical"]


def test_a_damaged_stream_leaves_no_picture(command, small_picture, tmp_path):
    assert command("compress", small_picture, "stream", "--mode=none")[0] == 0
    data = bytearray((tmp_path / "stream").read_bytes())
    data[-1] ^= 1
    (tmp_path / "stream").write_bytes(data)
    (tmp_path / "old.png").write_bytes(b"mine")
    for target in ("old.png", "new.png"):
        result = command("decompress", "stream", target, "--overwrite")
        assert_one_line_error(result, 1, "stream: ", "CRC-32")
    assert (tmp_path / "old.png").read_bytes() == b"mine"
    assert sorted(os.listdir()) == ["old.png", "small.png", "stream"]


def test_networks_load_silently_and_decode_streams_of_other_processes(small_picture, tmp_path):
    """A stream decodes in another process, whatever the encoder's process did before."""
    result = run_module("compress", small_picture, "theirs.smc", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    photo = read_picture(PHOTO).samples
    smapcomp.compress(photo[:24, :56].copy(), quality=0)
    (tmp_path / "ours.smc").write_bytes(smapcomp.compress(photo[:88, :120].copy(), quality=30))
    result = run_module("decompress", "theirs.smc", "ours.smc", "--out_dir=back", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for name, shape in (("theirs", (24, 40, 3)), ("ours", (88, 120, 3))):
        back = read_picture(tmp_path / f"back/{name}.png").samples
        assert back.shape == shape
        here = smapcomp.decompress((tmp_path / f"{name}.smc").read_bytes())
        np.testing.assert_array_equal(back, here)
