"""Pillow plugin: after `import smapcomp.pillow`, `Image.open` and `Image.save` know the format.

Opening an image does not decode its pixels and loads no network; the first access to a pixel does.
Saving takes the options of `smapcomp.compress`. Like Pillow's own formats it also takes `exif`,
`icc_profile` (by default the image's) and `xmp`, and ignores unknown options.

Example:
    >>> import io
    >>> from PIL import Image
    >>> import smapcomp.pillow
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (64, 48), "red").save(file, "SMAPCOMP", quality=60)
    >>> Image.open(file).size
    (64, 48)
"""

from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile

import smapcomp
from smapcomp.codec.bitstream import container
from smapcomp.codec.layers.metadata import decode_metadata
from smapcomp.codec.options import CompressOptions, option_table
from smapcomp.design import MAX_SIDE, METADATA_KINDS
from smapcomp.errors import SmapcompError, StreamError
from smapcomp.pictures.colour import usable_icc
from smapcomp.pictures.metadata import EXIF_PREFIX, INFO_KEYS
from smapcomp.pictures.picture import PILLOW_MODES, Picture

FORMAT = "SMAPCOMP"
EXTENSIONS = [".smc", ".smap"]
MIME_TYPE = "image/x-smapcomp"


class SmapcompImageFile(ImageFile.ImageFile):
    """Pillow image of a stream, of mode L, LA, RGB or RGBA.

    As for other formats, `info` holds "icc_profile", "exif" and "xmp" if the stream has them.
    """

    format = FORMAT
    format_description = "smapcomp semantic layered image"

    # A pickled or copied image is created without `_open`: it has pixels and no stream.
    _data: bytes | None = None

    def _open(self) -> None:
        assert self.fp is not None
        # Pillow tries the next format after a SyntaxError.
        try:
            data = self.fp.read()
            facts = smapcomp.info(data)
            self._read_metadata(data)
        except StreamError as error:
            raise SyntaxError(str(error)) from error
        self._data = data
        self._size = (facts["width"], facts["height"])
        self._mode = PILLOW_MODES[facts["channels"] + bool(facts.get("alpha"))]

    def _read_metadata(self, data: bytes) -> None:
        stream = container.unpack(data, None)
        for kind in METADATA_KINDS:
            layer = stream.layer(kind)
            if layer is not None:
                value = decode_metadata(layer)
                self.info[INFO_KEYS[kind]] = EXIF_PREFIX + value if kind == "exif" else value

    def load(self) -> Any:
        """Decode the pixels unless that is done already.

        Raises:
            OSError: The stream is damaged, or its weights are missing.
        """
        if self._data is not None:
            try:
                # Pillow applied its own limit when it opened the image.
                picture = smapcomp.decode(self._data, max_pixels=MAX_SIDE**2)
            except SmapcompError as error:
                raise OSError(str(error)) from error
            self.im = picture.to_image().im
            self._data = None
            if self._exclusive_fp and self.fp is not None:
                self.fp.close()
            self.fp = None
        return Image.Image.load(self)

    def close(self) -> None:
        """Release the file, the stream and the pixels; later access to pixels is a ValueError."""
        self._data = None
        super().close()

    def load_seek(self, pos: int) -> None:
        """Do nothing. The method must exist so that Pillow's parser does not decode in pieces."""


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    arguments = image.encoderinfo
    exif = arguments.get("exif")
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    xmp = arguments.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    picture = Picture.from_image(image, keep_metadata=True)
    icc = picture.icc
    if "icc_profile" in arguments:
        channels = picture.samples.shape[2]
        icc = usable_icc(
            arguments["icc_profile"] or None, image.mode, channels, True, filename or "picture"
        )
    picture = replace(picture, icc=icc, exif=exif or None, xmp=xmp or None)
    names = {*option_table(CompressOptions), "predictor"}
    options = {name: value for name, value in arguments.items() if name in names}
    fp.write(smapcomp.compress(picture, **options))


Image.register_open(FORMAT, SmapcompImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extensions(FORMAT, EXTENSIONS)
Image.register_mime(FORMAT, MIME_TYPE)
