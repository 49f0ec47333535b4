"""The data set `scene_parse150` of TensorFlow Datasets.

What TFDS downloads under this name are the annotations of the Places Challenge 2017: *instances* of
100 kinds of objects, not the label maps of SceneParse150. They are turned into label maps in which
everything else (walls, sky, floors, ...) is void. A copy of the data set that was built from grey
annotations has all 150 labels.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import tensorflow as tf

from data.errors import DataError
from data.sources.base import Example, python_example, split_error
from data.sources.decode import decode_image, decode_instance_map
from data.sources.records import read_record, record_offsets

NAME = "scene_parse150"
"""Name of the data set in TFDS."""

URL = "http://sceneparsing.csail.mit.edu/data/ChallengeData2017/images.tar"
"""One of the two files that TFDS downloads."""

ANSWER_SECONDS = 10.0
"""Time for the server to answer before the download is given up. TFDS itself tries for minutes."""

SPLITS = {"training": "train", "validation": "test"}
"""Name in TFDS of each split; TFDS calls the validation split of the challenge "test"."""


class SceneParseSource:
    """One split of the data set.

    Args:
        split: A key of `SPLITS`.
        data_dir: Folder of TFDS; `None` for the one that TFDS uses by default.
        labels: As `data.load` takes it.

    Raises:
        DataError: The split is unknown, the data set is missing and cannot be downloaded, or it is
            stored in another format than TFRecord.
    """

    ignored: tuple[tuple[str, str], ...] = ()

    def __init__(self, split: str | None, data_dir: str | None = None, labels: bool | None = None):
        if split not in SPLITS:
            raise split_error(f"tfds:{NAME}", split, tuple(SPLITS))
        builder = _prepared_builder(data_dir)
        info = builder.info.splits[SPLITS[split]]
        self._features = builder.info.features
        self.split = split
        self.labelled = labels is not False
        paths = [os.fspath(path) for path in info.filepaths]
        records = [(path, offset) for path in paths for offset in record_offsets(path)]
        self._paths = [path for path, _ in records]
        self._offsets = np.array([offset for _, offset in records], np.int64)

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """Return split and number, since TFDS keeps no file names."""
        return f"{NAME}-{self.split}-{index:05}"

    def location(self, index: int) -> str:
        """Return the name of the example."""
        return self.name(index)

    def stamp(self, index: int) -> str:
        """Return the length of the shard and the position of the record in it."""
        path = self._paths[index]
        return f"{path} {tf.io.gfile.stat(path).length} {self._offsets[index]}"

    def notices(self, index: int) -> tuple[str, ...]:
        """Return nothing: every example is read in the same way."""
        return ()

    def image_file(self, index: int) -> bytes:
        """Return the JPEG file of the picture."""
        return self._files(tf.constant(index, tf.int64))["image"].numpy()

    def read(self, index: tf.Tensor) -> Example:
        """Read an example inside a graph.

        Args:
            index: Number of the example, int64 [].
        """
        files = self._files(index)
        inputs = [index, files["image"], files["annotation"]]
        return python_example(inputs, self.labelled, self._example)

    def _example(
        self, index: int, image_file: bytes, annotation: bytes
    ) -> tuple[bytes, np.ndarray, np.ndarray | None]:
        name = self.name(index)
        image = decode_image(image_file, name)
        label_map = None
        if self.labelled:
            location = f"{name}, annotation"
            label_map = decode_instance_map(annotation, location, image.shape[:2])
        return name.encode(), image, label_map

    def _files(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow_datasets as tfds  # takes long to load

        path = tf.gather(tf.constant(self._paths), index)
        skip = {key: tfds.decode.SkipDecoding() for key in ("image", "annotation")}
        record = read_record(path, tf.gather(self._offsets, index))
        return self._features.deserialize_example(record, decoders=skip)


def _prepared_builder(data_dir: str | None):
    """Return the builder of TFDS; the data set is downloaded and prepared if it is missing."""
    import tensorflow_datasets as tfds  # takes long to load

    builder = tfds.builder(NAME, data_dir=data_dir)
    if not set(SPLITS.values()) <= set(builder.info.splits or ()):
        if not _is_downloaded(os.fspath(builder.data_dir_root)):
            _require_answer(URL, f"tfds:{NAME}: not in {builder.data_dir} and cannot be downloaded")
        try:
            builder.download_and_prepare()
        except Exception as error:  # of the network, the disk or a mirror
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(
                f"tfds:{NAME}: not in {builder.data_dir} and cannot be prepared: {reason}"
            ) from None
    file_format = builder.info.file_format
    if file_format.value != "tfrecord":
        raise DataError(f"{builder.data_dir}: stored as {file_format.value!r}; allowed: 'tfrecord'")
    return builder


def _is_downloaded(data_dir: str) -> bool:
    """Return whether a folder of TFDS has both archives, so that no network is needed."""
    return len(tf.io.gfile.glob(os.path.join(data_dir, "downloads", "*.edu_Challe*.tar"))) > 1


def _require_answer(url: str, problem: str, seconds: float = ANSWER_SECONDS) -> None:
    """Check that a server answers, whatever it says.

    Args:
        url: Address of a file on it.
        problem: Start of the message if it does not.
        seconds: Time to wait.

    Raises:
        DataError: The server cannot be reached or does not answer in time.
    """
    faults: list[str] = []
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an answer, from which TFDS will draw its own conclusion
        except (OSError, ValueError) as error:
            faults.append(" ".join(str(getattr(error, "reason", error)).split()))
        answered.set()

    # In a thread, because no time limit holds for the look-up of the server's name.
    threading.Thread(target=ask, daemon=True).start()
    if not answered.wait(seconds):
        faults.append(f"no answer within {seconds:.0f} s")
    if faults:
        host = urllib.parse.urlsplit(url).hostname
        raise DataError(f"{problem}: {host}: {faults[0]}")
