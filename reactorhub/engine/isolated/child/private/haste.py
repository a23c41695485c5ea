"""Spares a crawl what Scrapy does at its begin and need not do in a process that was forked for it.

What a crawl does and logs stays as it is.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from scrapy.http import HtmlResponse
from scrapy.settings import Settings
from scrapy.utils import log, project, python
from scrapy.utils.response import get_base_url, get_meta_refresh
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions

_NO_LOOP = "There is no current event loop"  # the warning that Scrapy hides while it makes one

_spare: list[Settings] = []


def prepare(parts: Iterable[object] = ()) -> None:
    """Do once, before the first fork, what each crawl would do first.

    :param parts: the classes of Scrapy that crawls are made of.
    """
    settings = Settings()
    _spare.append(settings)
    _warm_up_page(settings)
    _warm_up_tls(settings)
    remember_versions()
    _remember_signatures(parts)
    log.log_scrapy_info(Settings({"LOG_ENABLED": False}))
    configure = getattr(log, "dictConfig", None)
    if configure is not None:
        log.__dict__["dictConfig"] = _with_one_clearing(configure)


def _warm_up_page(settings: Settings) -> None:
    """Have the patterns compiled that the reading of a page takes."""
    html = b"<html><head><meta charset=utf-8></head><body><a class=b href=/x>x</a></body></html>"
    response = HtmlResponse("http://localhost/", body=html)
    response.css("a.b::attr(href)").getall()
    response.xpath("//a/text()").getall()
    get_base_url(response)
    re.compile(_NO_LOOP, re.IGNORECASE)  # Python remembers what a pattern was compiled to
    get_meta_refresh(response, ignore_tags=settings.getlist("METAREFRESH_IGNORE_TAGS"))


def _warm_up_tls(settings: Settings) -> None:
    ciphers = settings.get("DOWNLOADER_CLIENT_TLS_CIPHERS")
    if ciphers:
        AcceptableCiphers.fromOpenSSLCipherString(ciphers)  # Twisted remembers what it stands for
    CertificateOptions().getContext()


def _remember_signatures(parts: Iterable[object]) -> None:
    """Have Scrapy look up once how the methods of its own parts are called: that is 2 ms of CPU."""
    look_up = getattr(python, "_signature", None)
    if look_up is None:
        return
    known = {function: look_up(MethodType(function, part)) for part in parts for function in _methods(part)}

    def signature(func: Any) -> Any:
        function: Any = func.__func__ if isinstance(func, MethodType) else None
        found = known.get(function)
        return look_up(func) if found is None else found

    vars(python)["_signature"] = signature


def _methods(part: object) -> Iterator[FunctionType]:
    """Yield the methods of Scrapy's own that a class has. Those of others may change how they are called."""
    for name in dir(part) if isinstance(part, type) else ():
        method = getattr(part, name, None)
        function = getattr(method, "__func__", method)
        if isinstance(function, FunctionType) and function.__module__.startswith("scrapy."):
            yield function


def _with_one_clearing(configure: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let all loggers forget once, at the end, which levels they have, and not at each of fifty changes."""

    def configure_logging(config: Any) -> None:
        manager = logging.Logger.manager
        own = {key: value for key, value in vars(manager).items() if key == "_clear_cache"}
        vars(manager)["_clear_cache"] = lambda: None
        try:
            configure(config)
        finally:
            del vars(manager)["_clear_cache"]
            vars(manager).update(own)
            manager._clear_cache()  # type: ignore[attr-defined]

    return configure_logging


def default_settings() -> Settings:
    """Return Scrapy's own settings. One that was made before the fork is handed out once."""
    return _spare.pop() if _spare else Settings()


def settings_of_project(folder: str) -> Settings:
    """Return what ``get_project_settings()`` returns in the current folder.

    :param folder: the current folder. The environment names its settings module already.
    """
    in_folder = Path(folder, "scrapy.cfg").exists() and str(Path(folder).resolve()) in sys.path
    spared = {"Settings": default_settings, **({"init_env": _known} if in_folder else {})}
    right = {name: vars(project)[name] for name in spared}
    vars(project).update(spared)
    try:
        return project.get_project_settings()
    finally:
        vars(project).update(right)


def _known(*args: object, **kwargs: object) -> None:
    """Read no scrapy.cfg: it would put this folder on the path and say which settings to use."""


def remember_versions() -> None:
    """Have Scrapy look up once the versions that it logs for each crawl: that is 3 ms of CPU."""
    for name in ("get_versions", "scrapy_components_versions"):  # the newer and the older name
        look_up = getattr(log, name, None)
        if look_up is not None:
            setattr(log, name, _remembering(look_up))


def _remembering(look_up: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[str, ...], Any] = {}

    def remembered(software: Any = ()) -> Any:
        key = tuple(software or ())
        if key not in known:
            known[key] = look_up(software) if software else look_up()
        return known[key]

    return remembered
