"""Calls that open files and folders by their names."""

from __future__ import annotations

_PATH_METHODS = "open read_text read_bytes write_text write_bytes mkdir touch unlink"

FILE_CALLS: frozenset[str] = frozenset(
    f"{each}()"
    for each in [
        "builtins.open",
        "io.open",
        "codecs.open",
        "gzip.open",
        "bz2.open",
        "lzma.open",
        "zipfile.ZipFile",
        "os.makedirs",
        "os.mkdir",
        "os.listdir",
        "os.scandir",
        "os.remove",
        "os.unlink",
        "os.rename",
        "shutil.rmtree",
        "sqlite3.connect",
        "logging.FileHandler",
        "logging.handlers.RotatingFileHandler",
        "logging.handlers.TimedRotatingFileHandler",
        "logging.handlers.WatchedFileHandler",
        "logging.config.fileConfig",
        "loguru.logger.add",
        "configparser.ConfigParser().read",
        "configparser.RawConfigParser().read",
        "glob.glob",
        "os.path.exists",
        "os.path.isdir",
        "os.path.isfile",
        "os.replace",
        "shelve.open",
        "tarfile.open",
        "pandas.read_csv",
        "pandas.read_excel",
        "pandas.read_json",
        "openpyxl.load_workbook",
    ]
) | {f"pathlib.Path().{each}()" for each in _PATH_METHODS.split()}
"""Calls that take the name of a file or folder first."""
