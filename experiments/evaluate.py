"""Measures the codec on a folder of pictures.

    python -m experiments.evaluate --pictures=DIR --out=results.csv --quality=20,50,80
    python -m experiments.evaluate --pictures=kodak --out=kodak.csv --quality=20,40,60

Every stream is written to a file and decoded from that file; bits are true bits per pixel, header
included. One line a picture, mode and quality goes to the CSV file, whose measured lines are kept
and not measured again; the means are printed as a Markdown table.
"""

import csv
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image

import smapcomp
from smapcomp import image_io, metrics
from smapcomp.codec import codec
from smapcomp.codec.compact import decode_compact, dequantise_compact
from smapcomp.codec.container import MODES, unpack
from smapcomp.errors import SmapcompError
from smapcomp.quiet import import_keras

FLAGS = flags.FLAGS

FIELDS = (
    "picture",
    "variant",
    "mode",
    "quality",
    "model_digest",
    "bytes",
    "bpp",
    "psnr",
    "ms_ssim",
    "compact_bpp",
    "labels_bpp",
    "residual_bpp",
    "header_bpp",
    "prediction_psnr",
    "bicubic_psnr",
    "floor_psnr",
    "encode_seconds",
    "decode_seconds",
)
KEY = ("picture", "variant", "mode", "quality", "model_digest")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".ppm", ".tif", ".tiff")


def main(_):
    import_keras()
    try:
        evaluate(_pictures(FLAGS.pictures))
    except SmapcompError as error:
        print(f"\nevaluate: {error}", file=sys.stderr)
        sys.exit(1)


def evaluate(sources: list[Path]) -> None:
    """Measures what is not measured yet and prints the means."""
    rows = _read_rows(FLAGS.out)
    done = {tuple(row[name] for name in KEY) for row in rows}
    digest = _digest()
    tasks = list(itertools.product(sources, FLAGS.mode, map(int, FLAGS.quality)))
    began = time.monotonic()
    for number, (source, mode, quality) in enumerate(tasks, 1):
        key = (source.name, FLAGS.variant, mode, str(quality), digest)
        if key not in done:
            rows.append(_measure(source, mode, quality))
            _write_rows(FLAGS.out, rows)
        elapsed = time.monotonic() - began
        print(
            f"\r{number}/{len(tasks)} {source.name} {mode} {quality}, {elapsed:.0f} s   ",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    names = {source.name for source in sources}
    chosen = [row for row in rows if row["picture"] in names and row["model_digest"] == digest]
    print(mean_table([row for row in chosen if row["variant"] == FLAGS.variant]))


def _pictures(folder: str) -> list[Path]:
    if folder == "kodak":
        from data import kodak

        return [Path(path) for path in kodak.open_kodak(FLAGS.kodak_dir).images]
    path = Path(folder)
    if not path.is_dir():
        raise app.UsageError(f"--pictures={folder}: no such folder")
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise app.UsageError(f"--pictures={folder}: no pictures; looked for {', '.join(SUFFIXES)}")
    return found


def _digest() -> str:
    from smapcomp import zoo

    return zoo.load(FLAGS.variant, FLAGS.weights_dir).digest.hex()


def _measure(source: Path, mode: str, quality: int) -> dict[str, str]:
    """Compresses one picture to a file, decodes that file, and compares."""
    original = image_io.read_image(source)
    height, width, _ = original.shape
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "stream.smc"
        began = time.perf_counter()
        stream.write_bytes(
            smapcomp.compress(
                original,
                quality=quality,
                mode=mode,
                variant=FLAGS.variant,
                weights_dir=FLAGS.weights_dir,
            )
        )
        encoded = time.perf_counter()
        data = stream.read_bytes()
        stages = codec.decode_stages(data, weights_dir=FLAGS.weights_dir)
        decoded = time.perf_counter()
    facts = smapcomp.info(data)
    bpp = {f"{layer['kind']}_bpp": layer["bpp"] for layer in facts["layers"]}
    row = {
        "picture": source.name,
        "variant": FLAGS.variant,
        "mode": mode,
        "quality": quality,
        "model_digest": facts["model_digest"],
        "bytes": len(data),
        "bpp": metrics.bits_per_pixel(len(data), width, height),
        "psnr": metrics.psnr(original, stages.reconstruction),
        "ms_ssim": metrics.ms_ssim(original, stages.reconstruction),
        "compact_bpp": bpp["compact_bpp"],
        "labels_bpp": bpp.get("labels_bpp", 0.0),
        "residual_bpp": bpp.get("residual_bpp", 0.0),
        "header_bpp": metrics.bits_per_pixel(facts["header_bytes"], width, height),
        "prediction_psnr": metrics.psnr(original, stages.prediction),
        "bicubic_psnr": metrics.psnr(original, _bicubic(data)),
        "floor_psnr": metrics.psnr(original, _floor(original)),
        "encode_seconds": encoded - began,
        "decode_seconds": decoded - encoded,
    }
    return {name: _text(value) for name, value in row.items()}


def _text(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def _bicubic(data: bytes) -> np.ndarray:
    """The stream's compact image, up-sampled by Pillow's bicubic filter instead of the networks."""
    stream = unpack(data)
    levels = decode_compact(stream.layer("compact"), stream.compact_shape, stream.compact_step)
    compact = dequantise_compact(levels, stream.compact_step)
    return _resized(compact, *stream.padded_shape, Image.Resampling.BICUBIC)[
        : stream.height, : stream.width
    ]


def _floor(original: np.ndarray) -> np.ndarray:
    """No learning at all: Lanczos to an eighth, bicubic back."""
    height, width, _ = original.shape
    rows, columns = max(1, round(height / codec.SCALE)), max(1, round(width / codec.SCALE))
    small = _resized(original, rows, columns, Image.Resampling.LANCZOS)
    return _resized(small, height, width, Image.Resampling.BICUBIC)


def _resized(pixels: np.ndarray, height: int, width: int, method) -> np.ndarray:
    channels = pixels.shape[2]
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    return np.asarray(image.resize((width, height), method)).reshape(height, width, channels)


def _read_rows(path: str) -> list[dict[str, str]]:
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise app.UsageError(f"--out={path}: not a file of this program; it has other columns")
        return list(reader)


def _write_rows(path: str, rows: list[dict[str, str]]) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def mean_table(rows: list[dict[str, str]]) -> str:
    """Markdown table of the means over pictures, a line for each mode and quality."""
    columns = {
        "bpp": ("bpp", 3),
        "PSNR dB": ("psnr", 2),
        "MS-SSIM": ("ms_ssim", 4),
        "compact bpp": ("compact_bpp", 3),
        "labels bpp": ("labels_bpp", 3),
        "residual bpp": ("residual_bpp", 3),
        "prediction dB": ("prediction_psnr", 2),
        "bicubic dB": ("bicubic_psnr", 2),
        "floor dB": ("floor_psnr", 2),
        "encode s": ("encode_seconds", 2),
        "decode s": ("decode_seconds", 2),
    }
    lines = [
        "| mode | quality | pictures | " + " | ".join(columns) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    groups: dict[tuple[str, int], list] = {}
    for row in rows:
        groups.setdefault((row["mode"], int(row["quality"])), []).append(row)
    for (mode, quality), members in sorted(groups.items()):
        cells = []
        for field, digits in columns.values():
            values = [float(row[field]) for row in members if row[field]]
            cells.append(f"{np.mean(values):.{digits}f}" if values else "–")
        lines.append(f"| {mode} | {quality} | {len(members)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    flags.DEFINE_string("pictures", None, "Folder of pictures, or `kodak`.", required=True)
    flags.DEFINE_string("kodak_dir", None, "Folder of the Kodak pictures; default: downloaded.")
    flags.DEFINE_string("out", None, "CSV file, read and written.", required=True)
    flags.DEFINE_list("quality", ["20", "50", "80"], "Qualities, 0..100.")
    flags.DEFINE_multi_enum("mode", ["mapped"], MODES, "Modes; may be repeated.")
    flags.DEFINE_string("variant", "lite", "Variant of the networks.")
    flags.DEFINE_string("weights_dir", None, "Folder of weights; by default those in the box.")
    app.run(main)
