"""Compress a photograph, decompress it, and draw every stage of it.

    python -m experiments.demo            (or: make demo)

Writes three files into --out_dir: the stream, the reconstruction, and stages.png, which shows the
original, the up-sampled compact picture, the label map, the prediction and the reconstruction side
by side. Every option of `smapcomp compress` is a flag. Takes a few seconds.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont

import smapcomp
from smapcomp import metrics
from smapcomp.ade20k import CLASS_NAMES, PALETTE, colourise, label_counts, top_labels
from smapcomp.cli.command import Flags, option_values
from smapcomp.codec.api import decode_stages
from smapcomp.codec.bitstream import container
from smapcomp.codec.decoder import Stages
from smapcomp.codec.options import CompressOptions, DecodeOptions, option_table
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.pictures import image_files

FLAGS = flags.FLAGS

_CAPTION_HEIGHT = 40
_GAP = 8
_LEGEND_ENTRIES = 10


def run_demo(input_path: str, out_dir: str, **options: Any) -> None:
    """Compress a picture to a file, decompress the file, print figures and draw the stages.

    Args:
        input_path: File of the picture.
        out_dir: Folder of the three files; created if it does not exist. Files in it are replaced.
        **options: Fields of `CompressOptions`.

    Raises:
        SmapcompError: The picture cannot be read, or an option is not allowed.
    """
    decode_options = {k: v for k, v in options.items() if k in option_table(DecodeOptions)}
    original = image_files.read_picture(input_path).samples
    os.makedirs(out_dir, exist_ok=True)
    name = os.path.splitext(os.path.basename(input_path))[0]
    stream_path = os.path.join(out_dir, f"{name}.smc")
    reconstruction_path = os.path.join(out_dir, f"{name}.png")
    stages_path = os.path.join(out_dir, "stages.png")

    coded = smapcomp.compress(original, **options)
    image_files.write_file(stream_path, coded, overwrite=True)

    with open(stream_path, "rb") as file:
        data = file.read()
    reconstruction = smapcomp.decompress(data, **decode_options)
    image_files.write_image(reconstruction_path, reconstruction, overwrite=True)

    stages = decode_stages(data, **decode_options)
    print(_sizes(stream_path, data))
    print(_scores("up-sampled compact", original, stages.compact))
    print(_scores("prediction", original, stages.prediction))
    print(_scores("reconstruction", original, reconstruction))
    image_files.write_image(
        stages_path, _draw_stages(original, stages, reconstruction, data), overwrite=True
    )
    print(f"\nsee {stages_path}; the file is {stream_path}, decompressed {reconstruction_path}")


def _draw_stages(
    original: np.ndarray, stages: Stages, reconstruction: np.ndarray, data: bytes
) -> np.ndarray:
    bpp = metrics.bits_per_pixel(len(data), original.shape[1], original.shape[0])
    panels = [
        ("original", original),
        (f"compact, up-sampled: {_psnr(original, stages.compact)}", stages.compact),
        ("label map", _label_panel(stages.label_map, original.shape)),
        (f"prediction: {_psnr(original, stages.prediction)}", stages.prediction),
        (f"reconstruction: {_psnr(original, reconstruction)}, {bpp:.3f} bpp", reconstruction),
        ("labels", legend(stages.label_map, *original.shape[:2])),
    ]
    return side_by_side(panels)


def side_by_side(panels: list[tuple[str, np.ndarray]], columns: int = 3) -> np.ndarray:
    """Arrange pictures of one size in rows, each with a caption above it.

    Args:
        panels: Caption and picture, uint8 `[H, W, 3]` or `[H, W, 1]`.
        columns: Number of pictures in a row.

    Returns:
        uint8 `[rows * (H + caption + gap), columns * (W + gap), 3]`; the background is white.
    """
    height, width = panels[0][1].shape[:2]
    rows = -(-len(panels) // columns)
    cell_height, cell_width = height + _CAPTION_HEIGHT + _GAP, width + _GAP
    sheet = Image.new("RGB", (columns * cell_width, rows * cell_height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (caption, image) in enumerate(panels):
        row, column = divmod(index, columns)
        left, top = column * cell_width + _GAP // 2, row * cell_height
        draw.text((left, top + 8), caption, "black", _font(max(10, min(20, width // 26))))
        sheet.paste(Image.fromarray(_rgb(image)), (left, top + _CAPTION_HEIGHT))
    return np.array(sheet)


def legend(label_map: np.ndarray | None, height: int, width: int) -> np.ndarray:
    """Draw the names and colours of the commonest labels.

    Args:
        label_map: Integers `[H, W]` in 0..150; `None` draws an empty legend.
        height: Height of the drawing in pixels.
        width: Width of the drawing in pixels.

    Returns:
        uint8 `[height, width, 3]`.
    """
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    line = height // (_LEGEND_ENTRIES + 1)
    font = _font(max(8, line // 2))
    counts = np.zeros(0, int) if label_map is None else label_counts(label_map)
    for row, (label, share) in enumerate(top_labels(counts, _LEGEND_ENTRIES)):
        top = row * line + line // 4
        colour = tuple(map(int, PALETTE[label]))
        draw.rectangle((line // 2, top, line * 3 // 2, top + line * 3 // 4), fill=colour)
        draw.text((2 * line, top), f"{CLASS_NAMES[label]} {share:.1%}", "black", font)
    return np.array(sheet)


def _label_panel(label_map: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if label_map is None:
        return np.full((*shape[:2], 3), 128, np.uint8)
    return colourise(label_map)


def _sizes(path: str, data: bytes) -> str:
    """Return a text of the bytes and bits per pixel of the stream and of each part of it."""
    stream = container.unpack(data)
    parts = [(layer.kind, len(layer.payload)) for layer in stream.layers]
    parts.insert(0, ("header", len(data) - sum(size for _, size in parts)))
    lines = [f"{path}: {stream.width}x{stream.height}, mode {stream.mode}"]
    for name, size in [*parts, ("file", len(data))]:
        bpp = metrics.bits_per_pixel(size, stream.width, stream.height)
        lines.append(f"  {name:<9}{size:>8} bytes {bpp:8.4f} bpp")
    return "\n".join(lines)


def _scores(name: str, original: np.ndarray, image: np.ndarray) -> str:
    ms_ssim = metrics.ms_ssim(original, image)
    text = "none" if ms_ssim is None else f"{ms_ssim:.4f}"
    return f"{name:<20} PSNR {_psnr(original, image)}  MS-SSIM {text}"


def _psnr(original: np.ndarray, image: np.ndarray) -> str:
    return f"{metrics.psnr(original, image):.2f} dB"


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    with errors_in_one_line("demo"):
        run_demo(FLAGS.input, FLAGS.out_dir, **option_values(FLAGS, CompressOptions))


if __name__ == "__main__":
    flags.DEFINE_string("input", "docs/demo/photo.png", "file of the picture.")
    flags.DEFINE_string("out_dir", "out/demo", "folder of the files.")
    Flags(FLAGS).options(CompressOptions)
    app.run(main)
