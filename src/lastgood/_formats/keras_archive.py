"""``*.keras``: Keras 3's model archive, a zip."""

import zipfile
from pathlib import Path
from typing import Any, ClassVar

from .._record import Record


class KerasArchive:
    """A whole model in one zip.

    The record is the zip's comment. It is no member, because stock ``load_model`` unpacks the whole archive to disk
    where there are more than three.
    """

    name: ClassVar[str] = "keras"
    suffix: ClassVar[str] = ".keras"

    def check_model(self, model: Any) -> None:
        """Do nothing: this format holds whatever Keras can train."""

    def write(self, model: Any, path: Path, record: Record) -> None:
        """Write with stock Keras, then add the record."""
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = record.to_json().encode()

    def read_record(self, path: Path) -> Record | None:
        """Return the record in the zip's comment."""
        try:
            with zipfile.ZipFile(path) as archive:
                return Record.from_json(archive.comment.decode())
        except (OSError, zipfile.BadZipFile, UnicodeDecodeError):
            return None

    def load_weights(self, model: Any, path: Path) -> None:
        """Load with stock Keras."""
        model.load_weights(path)

    def may_replace(self, path: Path) -> bool:
        """A file replaces anything but a directory."""
        return not path.is_dir()
