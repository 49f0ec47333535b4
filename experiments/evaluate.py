r"""Measures the codec on a folder of pictures.

    python -m experiments.evaluate --pictures=DIR --out=results.csv --quality=20,50,80
    python -m experiments.evaluate --pictures=kodak --out=kodak.csv --quality=20,40,60
    python -m experiments.evaluate --pictures=kodak --out=kodak.csv --quality=20,40,60 \\
        --compact_coder=jxl

The first is the codec's own choice of compact and residual settings, the second the papers' design.
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
from experiments.picture_folder import picture_files
from smapcomp import image_io, metrics
from smapcomp.codec import codec
from smapcomp.codec.settings import COMPACT_CODERS, RESIDUAL_CODERS
from smapcomp.codec.stream import MODES
from smapcomp.errors import SmapcompError
from smapcomp.quiet import import_keras
from smapcomp.zoo import PAPER_SCALE

FLAGS = flags.FLAGS

FIELDS = (
    "picture",
    "variant",
    "mode",
    "quality",
    "settings",
    "model_digest",
    "compact_coder",
    "compact_scale",
    "bytes",
    "bpp",
    "psnr",
    "ms_ssim",
    "compact_bpp",
    "labels_bpp",
    "residual_bpp",
    "header_bpp",
    "prediction_psnr",
    "upsampled_psnr",
    "floor_psnr",
    "encode_seconds",
    "decode_seconds",
)
KEY = ("picture", "variant", "mode", "quality", "settings", "model_digest")
SETTINGS = ("compact_coder", "compact_scale", "compact_quality", "residual_coder", "speed")


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
    settings = {name: FLAGS[name].value for name in SETTINGS if FLAGS[name].value is not None}
    named = " ".join(f"{name}={value}" for name, value in settings.items())
    began = time.monotonic()
    for number, (source, mode, quality) in enumerate(tasks, 1):
        key = (source.name, FLAGS.variant, mode, str(quality), named, digest)
        if key not in done:
            rows.append(_measure(source, mode, quality, settings) | {"settings": named})
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
    chosen = [row for row in chosen if row["settings"] == named]
    print(mean_table([row for row in chosen if row["variant"] == FLAGS.variant]))


def _pictures(folder: str) -> list[Path]:
    if folder == "kodak":
        from data import kodak

        return [Path(path) for path in kodak.open_kodak(FLAGS.kodak_dir).images]
    return picture_files(folder)


def _digest() -> str:
    """Of every network that decodes, whatever a stream needs of them."""
    from smapcomp import zoo
    from smapcomp.codec.stream import weights_digest

    networks = zoo.load(FLAGS.variant, FLAGS.weights_dir)
    roles = ["finenet", *zoo.LOSSY_FINENETS]
    found = [role for role in roles if (networks.folder / f"{role}.npz").is_file()]
    digests = {role: np.frombuffer(networks.digest(role), np.uint8) for role in found}
    return weights_digest(digests).hex()


def _measure(source: Path, mode: str, quality: int, settings: dict) -> dict[str, str]:
    """Compresses one picture to a file, decodes that file, and compares."""
    original = image_io.read_picture(source).samples
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
                **settings,
            )
        )
        encoded = time.perf_counter()
        data = stream.read_bytes()
        reconstruction = smapcomp.decompress(data, weights_dir=FLAGS.weights_dir)
        decoded = time.perf_counter()
        stages = codec.decode_stages(data, weights_dir=FLAGS.weights_dir)
    facts = smapcomp.info(data)
    bpp = {f"{layer['kind']}_bpp": layer["bpp"] for layer in facts["layers"]}
    row = {
        "picture": source.name,
        "variant": FLAGS.variant,
        "mode": mode,
        "quality": quality,
        "model_digest": _digest(),
        "compact_coder": facts["layers"][0]["coder"],
        "compact_scale": facts["compact_scale"],
        "bytes": len(data),
        "bpp": metrics.bits_per_pixel(len(data), width, height),
        "psnr": metrics.psnr(original, reconstruction),
        "ms_ssim": metrics.ms_ssim(original, reconstruction),
        "compact_bpp": bpp["compact_bpp"],
        "labels_bpp": bpp.get("labels_bpp", 0.0),
        "residual_bpp": bpp.get("residual_bpp", 0.0),
        "header_bpp": metrics.bits_per_pixel(facts["header_bytes"], width, height),
        "prediction_psnr": metrics.psnr(original, stages.prediction),
        "upsampled_psnr": metrics.psnr(original, stages.compact),
        "floor_psnr": metrics.psnr(original, _floor(original)),
        "encode_seconds": encoded - began,
        "decode_seconds": decoded - encoded,
    }
    return {name: _text(value) for name, value in row.items()}


def _text(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def _floor(original: np.ndarray) -> np.ndarray:
    """No learning at all: Lanczos to an eighth, bicubic back."""
    height, width, _ = original.shape
    rows, columns = max(1, round(height / PAPER_SCALE)), max(1, round(width / PAPER_SCALE))
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
        "up-sampled dB": ("upsampled_psnr", 2),
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
    flags.DEFINE_enum("compact_coder", None, COMPACT_CODERS, "As `smapcomp compress` takes it.")
    flags.DEFINE_integer("compact_scale", None, "As `smapcomp compress` takes it.")
    flags.DEFINE_integer("compact_quality", None, "As `smapcomp compress` takes it.", 0, 100)
    flags.DEFINE_enum("residual_coder", None, RESIDUAL_CODERS, "As `smapcomp compress` takes it.")
    flags.DEFINE_integer("speed", None, "As `smapcomp compress` takes it.", 0, 10)
    flags.DEFINE_string("variant", "lite", "Variant of the networks.")
    flags.DEFINE_string("weights_dir", None, "Folder of weights; by default those in the box.")
    app.run(main)
