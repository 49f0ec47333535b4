"""Takes one photograph through a file and back, and shows what every layer is for.

    python -m experiments.demo            (or: make demo)

Writes into --out_dir: the stream, the reconstruction, and stages.png, which shows the original, the
up-sampled compact picture, the label map, the prediction and the reconstruction side by side.
Takes a few seconds.
"""

import os
import sys
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont

import smapcomp
from smapcomp import metrics
from smapcomp.ade20k import CLASS_NAMES, PALETTE, colourise, commonest, label_counts
from smapcomp.codec import api as codec
from smapcomp.codec.bitstream import container
from smapcomp.codec.bitstream.stream import CODERS
from smapcomp.codec.decoder import Stages
from smapcomp.codec.options import CompressOptions
from smapcomp.design import MODES
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io
from smapcomp.zoo import VARIANTS

_CAPTION_HEIGHT = 40
_GAP = 8
_LEGEND_ENTRIES = 10


def run_demo(input_path: str, out_dir: str, **options: Any) -> None:
    """Compresses a picture to a file, decompresses that file, prints figures, draws the stages.

    Args:
      input_path: the picture.
      out_dir: folder for the three files, made if it is absent; files in it are replaced.
      options: as `smapcomp.compress` takes them.
    """
    original = image_io.read_picture(input_path).samples
    os.makedirs(out_dir, exist_ok=True)
    name = os.path.splitext(os.path.basename(input_path))[0]
    stream_path = os.path.join(out_dir, f"{name}.smc")
    reconstruction_path = os.path.join(out_dir, f"{name}.png")
    stages_path = os.path.join(out_dir, "stages.png")

    coded = smapcomp.compress(original, **options)
    image_io.write_file(stream_path, coded, overwrite=True)

    with open(stream_path, "rb") as file:
        data = file.read()
    reconstruction = smapcomp.decompress(data)
    image_io.write_image(reconstruction_path, reconstruction, overwrite=True)

    stages = codec.decode_stages(data)
    print(_sizes(stream_path, data))
    print(_scores("up-sampled compact", original, stages.compact))
    print(_scores("prediction", original, stages.prediction))
    print(_scores("reconstruction", original, reconstruction))
    image_io.write_image(
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
    """Lays pictures of one size out in rows, a caption above each.

    Args:
      panels: (caption, uint8 [H, W, 3] or [H, W, 1]).
      columns: pictures in a row.

    Returns:
      uint8 [rows * (H + caption + gap), columns * (W + gap), 3] on white.
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
    """Draws the names and colours of the commonest labels.

    Args:
      label_map: integers [H, W], 0..150, or None.
      height, width: size of the picture to draw.

    Returns:
      uint8 [height, width, 3].
    """
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    line = height // (_LEGEND_ENTRIES + 1)
    font = _font(max(8, line // 2))
    counts = np.zeros(0, int) if label_map is None else label_counts(label_map)
    for row, (label, share) in enumerate(commonest(counts, _LEGEND_ENTRIES)):
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
    """Bytes and bits per pixel of the stream and of each part of it."""
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
    shown = "none" if ms_ssim is None else f"{ms_ssim:.4f}"
    return f"{name:<20} PSNR {_psnr(original, image)}  MS-SSIM {shown}"


def _psnr(original: np.ndarray, image: np.ndarray) -> str:
    return f"{metrics.psnr(original, image):.2f} dB"


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def main(argv: list[str]) -> None:
    """Runs the demo with the values of the flags."""
    if len(argv) > 1:
        raise app.UsageError(f"takes no arguments, got {' '.join(argv[1:])}")
    values = flags.FLAGS
    try:
        run_demo(
            values.input,
            values.out_dir,
            quality=values.quality,
            mode=values.mode,
            variant=values.variant,
            compact_coder=values.compact_coder,
        )
    except SmapcompError as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    flags.DEFINE_string("input", "docs/demo/photo.png", "the picture.")
    flags.DEFINE_string("out_dir", "out/demo", "folder for the files.")
    flags.DEFINE_integer("quality", CompressOptions.quality, "quality, 0..100.", 0, 100)
    flags.DEFINE_enum(
        "compact_coder",
        None,
        CODERS["compact"],
        "coder of the compact picture; jxl: the papers' design.",
    )
    flags.DEFINE_enum("mode", CompressOptions.mode, MODES, "segmentation mode.")
    flags.DEFINE_enum("variant", CompressOptions.variant, tuple(VARIANTS), "set of networks.")
    app.run(main)
