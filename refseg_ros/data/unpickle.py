"""Pickled plain data, read without running anything: a pickle is a program, and ours may come from anywhere."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from refseg_ros.data.dataset import DatasetError


class _PlainOnly(pickle.Unpickler):
    """Admits lists, tuples, dicts, sets, text and numbers: everything else has to be looked up, which is refused."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")


def load_plain(path: Path) -> Any:
    """The plain containers in a pickle file, of Python 2 too. Raises DatasetError for any other content."""
    try:
        with path.open("rb") as file:
            return _PlainOnly(file, encoding="utf-8", errors="replace").load()
    except FileNotFoundError as error:
        raise DatasetError(f"{path} does not exist; check the folder.") from error
    except pickle.UnpicklingError as error:
        raise DatasetError(f"{path} holds more than plain lists and numbers ({error}); it is not opened.") from error
    # A damaged pickle fails in whichever way its bytes happen to ask for.
    except Exception as error:
        raise DatasetError(f"{path} is no pickle that can be read ({type(error).__name__}); fetch it again.") from error
