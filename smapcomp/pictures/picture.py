"""A picture as it is: samples of 8 bit, perhaps an alpha plane, and what is said about both."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from smapcomp.errors import SmapcompError
from smapcomp.pictures import metadata as pillow_metadata
from smapcomp.pictures import modes as pillow_modes
from smapcomp.pictures.strips import strips

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture.

    Attributes:
      samples: uint8 [H, W, 3] (RGB) or [H, W, 1] (grey), as the colour profile says or else sRGB.
      alpha: uint8 [H, W], 0 transparent to 255 opaque, not multiplied into the samples. A plane
        that is opaque everywhere becomes None.
      icc: colour profile of the samples, a whole ICC profile.
      exif: EXIF, a TIFF structure that starts with its byte order ("Exif\\0\\0" before it is cut).
      xmp: an XMP packet.

    Raises:
      SmapcompError: a field is not as said above.
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
        for kind in ("icc", "exif", "xmp"):
            data = getattr(self, kind)
            if not isinstance(data, (bytes, type(None))):
                raise SmapcompError(
                    f"{kind} of type {type(data).__name__}; bytes or None is needed"
                )
            if data == b"":
                object.__setattr__(self, kind, None)
        if self.exif is not None:
            object.__setattr__(self, "exif", pillow_metadata.bare_exif(self.exif))

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Picture":
        """Takes uint8 [H, W] or [H, W, 1 to 4]; of two and four channels the last is alpha."""
        _check_array("picture", array, "[H, W] or [H, W, 1 to 4]")
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in _MODES:
            raise SmapcompError(
                f"picture of shape {array.shape}; [H, W] or [H, W, 1 to 4] is needed"
            )
        if array.shape[2] in (2, 4):
            return cls(np.ascontiguousarray(array[:, :, :-1]), np.ascontiguousarray(array[..., -1]))
        return cls(array)

    @classmethod
    def from_image(cls, image: Image.Image, keep_metadata: bool = False) -> "Picture":
        """Takes a Pillow image of any mode with an 8-bit meaning.

        Palettes become RGB, or grey if all colours in use are; CMYK, YCbCr, Lab and HSV become RGB
        and 16-bit samples 8-bit ones, each with a notice on the logger "smapcomp". Pixels stay
        where they are: an EXIF orientation is not applied, `image_io.read_picture` does that.

        Args:
          image: loaded or not; not changed otherwise.
          keep_metadata: whether to take the profile, EXIF and XMP of `image.info` along.

        Raises:
          SmapcompError: the mode has no 8-bit meaning (floats, 32-bit integers).
        """
        name = getattr(image, "filename", "") or "picture"
        samples, alpha = pillow_modes.samples_and_alpha(image, name)
        metadata = pillow_metadata.metadata_of(image, name)
        icc = pillow_metadata.usable_icc(
            metadata.icc, image.mode, samples.shape[2], keep_metadata, name
        )
        if not keep_metadata:
            return cls(samples, alpha)
        return cls(samples, alpha, icc, metadata.exif, metadata.xmp)

    def to_array(self) -> np.ndarray:
        """Returns uint8 [H, W, C]: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        if self.alpha is None:
            return self.samples
        return np.concatenate([self.samples, self.alpha[:, :, None]], axis=2)

    def to_image(self) -> Image.Image:
        """Returns a Pillow image of mode L, LA, RGB or RGBA; metadata are in its `info`."""
        if self.alpha is None:
            image = Image.fromarray(np.ascontiguousarray(_squeezed(self.samples)))
        else:
            image = self._image_with_alpha()
        if self.icc is not None:
            image.info["icc_profile"] = self.icc
        if self.exif is not None:
            image.info["exif"] = pillow_metadata.EXIF_PREFIX + self.exif
        if self.xmp is not None:
            image.info["xmp"] = self.xmp
        return image

    def _image_with_alpha(self) -> Image.Image:
        """In strips, so that no array of all channels is needed beside the image."""
        height, width, channels = self.samples.shape
        image = Image.new(_MODES[channels + 1], (width, height))
        for rows in strips(height, width):
            strip = np.dstack([self.samples[rows], self.alpha[rows]])
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
