"""Every part of Scrapy that is private or that a new version may change, and why it is needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A function or class of Scrapy that the hub overrides, replaces or calls although it is private.

    ``takes`` lists the names of its parameters, without defaults.
    """

    place: str
    takes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """An attribute that an object of Scrapy has while its spider is open. ``path`` begins at the crawler."""

    path: str
    reason: str


RELIED_ON: tuple[Part, ...] = (
    Part(
        "scrapy.utils.signal:liveReceivers",
        ("receivers",),
        "replaced: leaves out receivers of other runs that listen to all senders",
    ),
    Part(
        "pydispatch.dispatcher:connect",
        ("receiver", "signal", "sender", "weak"),
        "replaced: notes whose such a receiver is",
    ),
    Part("scrapy.crawler:Crawler.__init__", ("self", "spidercls", "settings", "init_reactor"), "HubCrawler"),
    Part("scrapy.crawler:Crawler._create_engine", ("self",), "overridden: puts the guards onto the engine"),
    Part("scrapy.crawler:Crawler._apply_settings", ("self",), "overridden: replaces load_settings() before"),
    Part(
        "scrapy.addons:AddonManager.load_settings",
        ("self", "settings"),
        "replaced: after it nothing changes settings any more",
    ),
    Part("scrapy.utils.conf:closest_scrapy_cfg", ("path", "prevpath"), "its default is the project's folder"),
    Part("scrapy.utils.conf:init_env", ("project", "set_syspath"), "its code is replaced"),
    Part("scrapy.utils.project:get_project_settings", (), "its code is replaced"),
    Part("scrapy.utils.project:inside_project", (), "its code is replaced"),
    Part("scrapy.utils.project:project_data_dir", ("project",), "its code is replaced"),
    Part("scrapy.utils.project:data_path", ("path", "createdir"), "its code is replaced"),
    Part(
        "scrapy.crawler:Crawler._update_root_log_handler",
        ("self",),
        "overridden: replaces the root log handler of the whole process otherwise",
    ),
    Part(
        "scrapy.crawler:CrawlerRunner.create_crawler",
        ("self", "crawler_or_spidercls"),
        "overridden: merges the runner's settings a second time otherwise, which costs 2 ms a run",
    ),
    Part("scrapy.spiderloader:SpiderLoader._load_all_spiders", ("self",), "overridden: loads every module"),
    Part(
        "scrapy.core.downloader:Downloader._process_queue",
        ("self", "slot"),
        "called after a slot's delay is set to 0, so that waiting requests end at once",
    ),
    Part(
        "scrapy.core.downloader:Downloader._wait_for_download",
        ("self", "slot", "request", "queue_dfd"),
        "replaced on the instance, in the child's module of this name: counts a download before it runs",
    ),
    Part("scrapy.core.downloader:Slot.close", ("self",), "ends the timer that waits for a slot's delay"),
    Part(
        "scrapy.core.downloader.handlers:DownloadHandlers.download_request_async",
        ("self", "request"),
        "replaced: lets a download be cut off",
    ),
    Part(
        "scrapy.core.scraper:Scraper.call_spider_async",
        ("self", "result", "request"),
        "replaced: contains what callbacks and errbacks raise",
    ),
    Part(
        "scrapy.pipelines:ItemPipelineManager.process_item_async",
        ("self", "item"),
        "replaced: contains what pipelines raise",
    ),
    Part(
        "scrapy.core.spidermw:SpiderMiddlewareManager.process_start",
        ("self", "spider"),
        "replaced: paces and contains start()",
    ),
    Part(
        "scrapy.utils.signal:logger.error",
        ("msg", "args", "kwargs"),
        "replaced in its module: counts the exceptions of signal handlers, which Scrapy logs with it",
    ),
    Part(
        "scrapy.core.scraper:Scraper.close_spider_async", ("self",), "replaced: counts what pipelines raise"
    ),
    Part(
        "scrapy.extensions.feedexport:FeedExporter._start_new_batch",
        ("self", "batch_id", "uri", "feed_options", "spider", "uri_template"),
        "replaced: counts the items of each file that could not be stored",
    ),
    Part(
        "scrapy.utils.misc:build_from_crawler", ("objcls", "crawler", "args", "kwargs"), "as the engine does"
    ),
    Part(
        "scrapy.utils.signal:robustApply",
        ("receiver", "arguments", "named"),
        "replaced in its module: calls every signal handler; contains what they raise",
    ),
    Part(
        "scrapy.core.scraper:iterate_spider_output",
        ("result",),
        "replaced in its module: makes a task of a coroutine callback, which is contained before that",
    ),
    Part("scrapy.core.engine:ExecutionEngine._start_scheduled_requests", ("self",), "replaced"),
    Part("scrapy.core.engine:ExecutionEngine.close_spider_async", ("self", "reason"), "called"),
    Part("scrapy.utils.defer:_schedule_coro", ("coro",), "called: starts a coroutine, as the engine does"),
    Part(
        "scrapy.crawler:CrawlerRunner.crawl",
        ("self", "crawler_or_spidercls", "args", "kwargs"),
        "replaced: refuses crawls that a module starts when it is imported",
    ),
    Part(
        "scrapy.crawler:AsyncCrawlerRunner.crawl",
        ("self", "crawler_or_spidercls", "args", "kwargs"),
        "likewise",
    ),
    Part(
        "scrapy.crawler:CrawlerProcess.start",
        ("self", "stop_after_crawl", "install_signal_handlers"),
        "replaced: refuses to run the reactor, from imports and runs",
    ),
    Part(
        "scrapy.crawler:AsyncCrawlerProcess.start",
        ("self", "stop_after_crawl", "install_signal_handlers"),
        "likewise",
    ),
)
"""Methods. A test checks that each exists and takes these parameters."""

HELD: tuple[Held, ...] = (
    Held("_engine", "the engine, None before the crawl starts; the public attribute raises then"),
    Held("_stats", "the stats collector, None before the crawl starts; the public attribute raises then"),
    Held("stats._cached_close_spider", "replaced on the instance: where the collector looks first"),
    Held("spidercls", "the class of the spider"),
    Held("engine.running", "a stop before the engine runs is lost"),
    Held("engine._slot.nextcall.cancel", "a timer that an engine leaves behind when it does not close"),
    Held("engine._slot.heartbeat.running", "likewise"),
    Held("engine._slot.heartbeat.stop", "likewise"),
    Held("engine.downloader.slots", "one slot per site, with a delay each"),
    Held("engine.downloader._delay", "the delay of slots to come"),
    Held("engine.downloader.handlers.download_request_async", "replaced on the instance"),
    Held("engine.scheduler_cls", "replaced on the instance: from_crawler() of it makes the scheduler"),
    Held("engine._slot.scheduler", "made of it"),
    Held("engine._slot.closing", "says whether the spider is being closed"),
    Held("engine._slot.nextcall.schedule", "called to ask the scheduler again"),
    Held("engine.downloader.middleware.methods", "methods of the project's own are replaced in these lists"),
    Held("engine.scraper.spidermw.methods", "likewise"),
    Held("engine.scraper.itemproc.methods", "likewise"),
    Held("engine.scraper.itemproc._mw_methods_requiring_spider", "those that take a spider argument"),
    Held("engine.scraper.call_spider_async", "replaced on the instance"),
    Held("engine.scraper.itemproc.process_item_async", "replaced on the instance"),
    Held("engine.scraper.spidermw.process_start", "replaced on the instance"),
)
"""Attributes of a running crawl. A test looks at each one while a spider is open."""
