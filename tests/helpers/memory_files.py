"""A Beam file system `memory://` in this process, to test code that must work on any of them."""

import io
import time

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem


class MemoryFiles(FileSystem):
    """File system without folders, as object stores; renaming replaces no file, as on HDFS."""

    files: dict[str, tuple[bytes, float]] = {}  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return path.rpartition("/")[::2]

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in sorted(self.files):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path, mime_type="", compression_type=CompressionTypes.AUTO, **_):
        files = self.files

        class Written(io.BytesIO):
            def close(self):
                if not self.closed:
                    files[path] = (self.getvalue(), time.time())
                super().close()

        return Written()

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        if path not in self.files:
            raise BeamIOError(f"{path}: no such file")
        return io.BytesIO(self.files[path][0])

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            if target in self.files:
                raise BeamIOError(f"{target}: exists")
            self.files[target] = self.files.pop(source)

    def exists(self, path):
        return path in self.files

    def size(self, path):
        return len(self.files[path][0])

    def last_updated(self, path):
        return self.files[path][1]

    def checksum(self, path):
        raise NotImplementedError

    def metadata(self, path):
        data, when = self.files[path]
        return FileMetadata(path, len(data), when)

    def delete(self, paths):
        for path in paths:
            if self.files.pop(path, None) is None:
                raise BeamIOError(f"{path}: no such file")
