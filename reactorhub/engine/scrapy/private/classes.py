"""What the hub does to classes although Python or Scrapy has no public way for it. See the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from scrapy.pipelines.files import FilesPipeline
from scrapy.pipelines.images import ImagesPipeline

from reactorhub.containment.contexts import RUN
from reactorhub.engine.scrapy.private.relied_on import Part

T = TypeVar("T")

RELIED_ON_CLASSES: tuple[Part, ...] = (
    Part(
        "scrapy.pipelines.files:FilesPipeline._update_stores",
        ("settings",),
        "replaced: writes a crawl's keys and rights onto classes that all crawls share",
    ),
    Part("scrapy.pipelines.images:ImagesPipeline._update_stores", ("settings",), "likewise"),
)
"""Methods. A test checks that each exists and takes these parameters."""


def subclass_unnoticed(cls: type[T], attributes: Mapping[str, Any]) -> type[T]:
    """Return a new subclass of ``cls`` that looks like it, has more attributes, and was announced to nobody.

    ``type.__new__`` calls ``__init_subclass__`` of the bases it is given. So the class is made on a bare base
    of the same layout in memory, and gets its real base afterwards. ``cls`` and its metaclass are not called.

    :raises TypeError: if ``cls`` has ``__slots__``, so that no bare class has its layout.
    """
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    if "__firstlineno__" in vars(cls):  # since Python 3.13; inspect finds the source by it
        names["__firstlineno__"] = vars(cls)["__firstlineno__"]
    namespace = {**attributes, **names}
    new: Any = type.__new__(type(cls), cls.__name__, (_bare(_without_dict(cls)),), namespace)
    new.__bases__ = (cls,)
    return new  # type: ignore[no-any-return]


def _without_dict(cls: type) -> type:
    """Return the nearest base, as to the layout of instances, whose instances have no ``__dict__``."""
    while cls.__dictoffset__:
        cls = cls.__base__ or object
    return cls


@cache
def _bare(base: type) -> type:
    """Return a class that adds to ``base`` what any class does: a ``__dict__`` and weak references."""
    return type("Bare", (base,), {})


class StoreSetting:
    """An attribute of a store class of Scrapy's media pipelines, which has the value that a run gave it."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        run = RUN.get()
        return self.default if run is None else run.copies.get(self, self.default)


class _Recorder:
    """Stands for a store class while Scrapy writes to it, and keeps what is written for the run."""

    def __init__(self, store: type, copies: dict[Any, Any]) -> None:
        self.__dict__.update(_store=store, _copies=copies)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setting = vars(self._store).get(name)
        if not isinstance(setting, StoreSetting):
            setting = StoreSetting(getattr(self._store, name, None))
            setattr(self._store, name, setting)
        self._copies[setting] = value


def keep_store_settings_apart() -> Callable[[], None]:
    """Let each run have the keys and rights of its own settings in media pipelines. Return how to undo this.

    Scrapy writes them onto the classes ``S3FilesStore``, ``GCSFilesStore`` and ``FTPFilesStore``.
    """
    pipelines: tuple[type[Any], ...] = (FilesPipeline, ImagesPipeline)
    originals: Mapping[type[Any], Any] = {each: vars(each)["_update_stores"] for each in pipelines}
    for pipeline, original in originals.items():
        setattr(pipeline, "_update_stores", classmethod(_recording(original.__func__)))  # noqa: B010

    def undo() -> None:
        for pipeline, original in originals.items():
            setattr(pipeline, "_update_stores", original)  # noqa: B010

    return undo


def _recording(update: Callable[..., None]) -> Callable[..., None]:
    def update_stores(cls: Any, settings: Any) -> None:
        run = RUN.get()
        if run is None or any(isinstance(each, _Recorder) for each in cls.STORE_SCHEMES.values()):
            update(cls, settings)
            return
        recorders = {scheme: _Recorder(store, run.copies) for scheme, store in cls.STORE_SCHEMES.items()}
        update(subclass_unnoticed(cls, {"STORE_SCHEMES": recorders}), settings)

    return update_stores
