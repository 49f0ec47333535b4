"""Pillow plugin: after `import smapcomp.pillow`, `Image.open` and `Image.save` know the format.

Opening decodes no pixels and loads no network; that happens when pixels are first accessed. Saving
takes the options of `smapcomp.compress` and, like Pillow's own formats, `exif`, `icc_profile` (by
default the image's) and `xmp`; it ignores unknown options.

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
from smapcomp.pictures import metadata as pillow_metadata
from smapcomp.pictures.picture import Picture

FORMAT = "SMAPCOMP"
EXTENSIONS = [".smc", ".smap"]
MIME_TYPE = "image/x-smapcomp"

_MODES = {(1, False): "L", (1, True): "LA", (3, False): "RGB", (3, True): "RGBA"}
_INFO_KEYS = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}


class SmapcompImageFile(ImageFile.ImageFile):
    """A stream as a Pillow image of mode L, LA, RGB or RGBA.

    `info` holds "icc_profile", "exif" and "xmp" if the stream has them, as for other formats.
    """

    format = FORMAT
    format_description = "smapcomp semantic layered image"

    def _open(self) -> None:
        # Pillow tries the next format after a SyntaxError.
        try:
            self._data = self.fp.read()
            facts = smapcomp.info(self._data)
            self._read_metadata()
        except StreamError as error:
            raise SyntaxError(str(error)) from error
        self._size = (facts["width"], facts["height"])
        self._mode = _MODES[facts["channels"], bool(facts.get("alpha"))]

    def _read_metadata(self) -> None:
        stream = container.unpack(self._data, None)
        for kind in METADATA_KINDS:
            layer = stream.layer(kind)
            if layer is not None:
                data = decode_metadata(layer)
                self.info[_INFO_KEYS[kind]] = (
                    pillow_metadata.EXIF_PREFIX + data if kind == "exif" else data
                )

    def load(self) -> Any:
        """Decode the pixels, once.

        Raises:
            OSError: The stream is damaged, or its weights are not there.
        """
        if self._data is not None:
            try:
                # Pillow's own limit has been applied when the image was opened.
                picture = smapcomp.decode(self._data, max_pixels=MAX_SIDE**2)
            except SmapcompError as error:
                raise OSError(str(error)) from error
            self.im = picture.to_image().im
            self._data = None
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return Image.Image.load(self)

    def load_seek(self, pos: int) -> None:
        """Do nothing; that the method exists keeps Pillow's parser from decoding in pieces."""


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    given = image.encoderinfo
    exif = given.get("exif")
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    xmp = given.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    picture = Picture.from_image(image, keep_metadata=True)
    icc = picture.icc
    if "icc_profile" in given:
        channels = picture.samples.shape[2]
        icc = pillow_metadata.usable_icc(
            given["icc_profile"] or None, image.mode, channels, True, filename or "picture"
        )
    picture = replace(picture, icc=icc, exif=exif or None, xmp=xmp or None)
    names = {*option_table(CompressOptions), "predictor"}
    options = {name: value for name, value in given.items() if name in names}
    fp.write(smapcomp.compress(picture, **options))


Image.register_open(FORMAT, SmapcompImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extensions(FORMAT, EXTENSIONS)
Image.register_mime(FORMAT, MIME_TYPE)
