"""Picture in memory: 8-bit samples, optional alpha, and metadata."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from smapcomp.design import METADATA_KINDS
from smapcomp.errors import SmapcompError
from smapcomp.pictures.colour import usable_icc
from smapcomp.pictures.metadata import EXIF_PREFIX, INFO_KEYS, bare_exif, read_metadata
from smapcomp.pictures.modes import samples_and_alpha
from smapcomp.pictures.strips import strips

PILLOW_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's mode by number of channels, alpha included."""


@dataclass(frozen=True, eq=False)
class Picture:
    r"""Samples of a picture, its alpha plane and its metadata.

    Attributes:
        samples: uint8 `[height, width, 3]` (RGB) or `[height, width, 1]` (grey), in the colour
            space of `icc`, or sRGB if there is no profile.
        alpha: uint8 `[height, width]`, from 0 (transparent) to 255 (opaque), not multiplied into
            the samples. A plane that is opaque everywhere becomes `None`.
        icc: Colour profile of the samples, a whole ICC profile.
        exif: EXIF, a TIFF structure that starts with its byte order; a prefix "Exif\0\0" is
            removed.
        xmp: XMP packet.

    Raises:
        SmapcompError: A field has another type or shape.

    Example:
        >>> import numpy as np
        >>> picture = Picture.from_array(np.zeros((2, 3, 4), np.uint8))
        >>> picture.samples.shape, picture.alpha.shape
        ((2, 3, 3), (2, 3))
    """

    samples: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    def __post_init__(self) -> None:
        _check_array("samples", self.samples, "[H, W, 3] or [H, W, 1]")
        if self.samples.ndim != 3 or self.samples.shape[2] not in (1, 3):
            raise SmapcompError(
                f"samples of shape {self.samples.shape}; [H, W, 3] or [H, W, 1] is needed"
            )
        if self.alpha is not None:
            _check_array("alpha", self.alpha, "[H, W]")
            if self.alpha.shape != self.samples.shape[:2]:
                raise SmapcompError(
                    f"alpha of shape {self.alpha.shape}; that of the samples is "
                    f"{self.samples.shape}"
                )
            if self.alpha.min() == 255:
                object.__setattr__(self, "alpha", None)
        for kind in METADATA_KINDS:
            data = getattr(self, kind)
            if not isinstance(data, (bytes, type(None))):
                raise SmapcompError(
                    f"{kind} of type {type(data).__name__}; bytes or None is needed"
                )
            if data == b"":
                object.__setattr__(self, kind, None)
        if self.exif is not None:
            object.__setattr__(self, "exif", bare_exif(self.exif))

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Picture":
        """Make a picture from an array.

        Args:
            array: uint8 `[height, width]` or `[height, width, 1 to 4]`. Of two and four channels
                the last one is alpha.

        Raises:
            SmapcompError: The array has another type or shape.
        """
        _check_array("picture", array, "[H, W] or [H, W, 1 to 4]")
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in PILLOW_MODES:
            raise SmapcompError(
                f"picture of shape {array.shape}; [H, W] or [H, W, 1 to 4] is needed"
            )
        if array.shape[2] in (2, 4):
            return cls(np.ascontiguousarray(array[:, :, :-1]), np.ascontiguousarray(array[..., -1]))
        return cls(array)

    @classmethod
    def from_image(cls, image: Image.Image, keep_metadata: bool = False) -> "Picture":
        """Make a picture from a Pillow image of any mode with an 8-bit meaning.

        Palettes become RGB, or grey if all colours in use are grey. CMYK, YCbCr, Lab and HSV become
        RGB, and 16-bit samples become 8-bit ones. A warning on the logger "smapcomp" tells of each
        of these conversions. An EXIF orientation is not applied; `image_files.read_picture` does
        that.

        Args:
            image: The image. It is loaded if it is not yet, and not changed otherwise.
            keep_metadata: Whether to keep colour profile, EXIF and XMP of `image.info`.

        Raises:
            SmapcompError: The mode has no 8-bit meaning (floats, 32-bit integers), or a side is 0.
        """
        name = getattr(image, "filename", "") or "picture"
        is_open_tiff = hasattr(image, "tag_v2") and getattr(image, "fp", None) is not None
        metadata = read_metadata(image, name) if is_open_tiff else None
        samples, alpha = samples_and_alpha(image, name)
        metadata = metadata or read_metadata(image, name)
        icc = usable_icc(metadata.icc, image.mode, samples.shape[2], keep_metadata, name)
        if not keep_metadata:
            return cls(samples, alpha)
        return cls(samples, alpha, icc, metadata.exif, metadata.xmp)

    def to_array(self) -> np.ndarray:
        """Return uint8 `[height, width, channels]`: grey, grey + alpha, RGB or RGB + alpha."""
        if self.alpha is None:
            return self.samples
        return np.concatenate([self.samples, self.alpha[:, :, None]], axis=2)

    def to_image(self) -> Image.Image:
        """Return a Pillow image of mode L, LA, RGB or RGBA with the metadata in its `info`."""
        if self.alpha is None:
            image = Image.fromarray(np.ascontiguousarray(_squeezed(self.samples)))
        else:
            image = self._image_with_alpha(self.alpha)
        for kind, key in INFO_KEYS.items():
            data = getattr(self, kind)
            if data is not None:
                image.info[key] = EXIF_PREFIX + data if kind == "exif" else data
        return image

    def _image_with_alpha(self, alpha: np.ndarray) -> Image.Image:
        # Strip by strip, so that no array of all channels is needed beside the image.
        height, width, channels = self.samples.shape
        image = Image.new(PILLOW_MODES[channels + 1], (width, height))
        for rows in strips(height, width):
            strip = np.dstack([self.samples[rows], alpha[rows]])
            image.paste(Image.fromarray(strip), (0, rows.start))
        return image


def _squeezed(samples: np.ndarray) -> np.ndarray:
    return samples[:, :, 0] if samples.shape[2] == 1 else samples


def _check_array(what: str, array: np.ndarray, needed: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        got = getattr(array, "dtype", None) or type(array).__name__
        raise SmapcompError(f"{what} of type {got}; uint8 {needed} is needed")
    if array.size == 0:
        raise SmapcompError(f"{what} of shape {array.shape} has no pixels")
