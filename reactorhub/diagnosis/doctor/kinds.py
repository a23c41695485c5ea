"""What the doctor looks for, as tables: which calls, why they matter, what to do instead, and how grave it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reactorhub.model.doctor import Severity

SEVERITIES: Mapping[str, Severity] = {
    "blocks": Severity.ISOLATE,
    "may-block": Severity.ADVICE,
    "spider-state": Severity.ISOLATE,
    "class-state": Severity.ISOLATE,
    "module-state": Severity.ISOLATE,
    "kept-value": Severity.ADVICE,
    "import-time": Severity.ISOLATE,
    "import-random": Severity.ADVICE,
    "import-connection": Severity.ISOLATE,
    "relative-path": Severity.ISOLATE,
    "logging": Severity.ISOLATE,
    "logger-level": Severity.ADVICE,
    "signals": Severity.ISOLATE,
    "working-folder": Severity.ISOLATE,
    "locale": Severity.ISOLATE,
    "warnings": Severity.ISOLATE,
    "warnings-hidden": Severity.ADVICE,
    "umask": Severity.ISOLATE,
    "process-limits": Severity.ISOLATE,
    "sockets": Severity.ISOLATE,
    "streams": Severity.ISOLATE,
    "reactor": Severity.ISOLATE,
    "own-process": Severity.ISOLATE,
    "event-loop": Severity.ISOLATE,
    "process-exit": Severity.ISOLATE,
    "exit": Severity.ADVICE,
    "patch": Severity.ISOLATE,
    "certificates": Severity.ADVICE,
    "environment": Severity.ADVICE,
    "start-requests": Severity.ADVICE,
    "ignored-setting": Severity.ADVICE,
}
"""Every kind of finding, and whether it asks for a process of its own."""


@dataclass(frozen=True, slots=True)
class Harm:
    """Why a call matters: ``why`` follows its name in a sentence, ``remedy`` says what to write instead."""

    kind: str
    why: str
    remedy: str


def _table(*rows: tuple[str, Harm]) -> dict[str, Harm]:
    return {f"{path}()": harm for names, harm in rows for path in names.split()}


_BLOCKED = "blocks every crawl until it returns"
_WEB = Harm("blocks", _BLOCKED, "yield a scrapy.Request, or use await asyncio.to_thread(...)")
_RUN = Harm("blocks", _BLOCKED, "use asyncio.create_subprocess_exec, or await asyncio.to_thread(...)")
_DATA = Harm("blocks", _BLOCKED, "use a driver for asyncio, or await asyncio.to_thread(...)")
_SLEEP = Harm("blocks", _BLOCKED, "use await asyncio.sleep(...), or set DOWNLOAD_DELAY")
_NAMES = Harm("blocks", _BLOCKED, "use await asyncio.to_thread(...)")
_BROWSER = Harm("blocks", _BLOCKED, "use scrapy-playwright, or await asyncio.to_thread(...)")
_ASKS = Harm("blocks", "waits for a keyboard that a hub does not have", "take a spider argument instead")
_SMALL = Harm(
    "may-block",
    "reads or writes a database file while every crawl waits",
    "fine for single rows; use await asyncio.to_thread(...) for more",
)

BLOCKING: Mapping[str, Harm] = _table(
    ("time.sleep", _SLEEP),
    (
        "curl_cffi.requests.get curl_cffi.requests.post curl_cffi.requests.request "
        "requests.get requests.post requests.put requests.patch requests.delete requests.head requests.options "
        "requests.request requests.api.get requests.api.post requests.api.request "
        "urllib.request.urlopen urllib.request.urlretrieve "
        "httpx.get httpx.post httpx.put httpx.patch httpx.delete httpx.head httpx.options httpx.request "
        "httpx.stream",
        _WEB,
    ),
    (
        "subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.getoutput "
        "subprocess.getstatusoutput subprocess.Popen.wait subprocess.Popen.communicate os.system os.wait "
        "os.waitpid",
        _RUN,
    ),
    (
        "psycopg2.connect psycopg.connect psycopg.Connection.connect pymysql.connect pymysql.Connect "
        "pymysql.connections.Connection MySQLdb.connect MySQLdb.Connect mysql.connector.connect pyodbc.connect "
        "pymssql.connect cx_Oracle.connect oracledb.connect",
        _DATA,
    ),
    ("sqlite3.connect", _SMALL),
    ("socket.create_connection socket.gethostbyname socket.getaddrinfo", _NAMES),
    (
        "builtins.input builtins.breakpoint getpass.getpass pdb.set_trace ipdb.set_trace "
        "scrapy.shell.inspect_response",
        _ASKS,
    ),
)
"""Functions that do not return before something outside of the process has happened."""

_VERBS = "get post put patch delete head options request send stream"
_QUERIES = (
    "execute executemany executescript commit rollback fetchone fetchall fetchmany callproc query ping flush "
    "scalar scalars"
)
_MONGO = (
    "insert insert_one insert_many update update_one update_many replace_one delete_one delete_many "
    "bulk_write find_one find_one_and_update find_one_and_replace find_one_and_delete count_documents "
    "estimated_document_count distinct aggregate create_index drop command list_collection_names "
    "list_database_names server_info"
)
_REDIS_QUIET = "from_url pipeline close lock register_script pubsub"


@dataclass(frozen=True, slots=True)
class Client:
    """Objects whose methods block: those in ``methods``, or all but those in ``quiet``."""

    makers: tuple[str, ...]
    harm: Harm
    methods: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()

    def blocks(self, method: str) -> bool:
        """Whether this method waits for something outside of the process."""
        if method.startswith("_"):
            return False
        return method in self.methods if self.methods else method not in self.quiet


def _client(makers: str, harm: Harm, methods: str = "", quiet: str = "") -> Client:
    return Client(
        tuple(f"{each}()" for each in makers.split()),
        harm,
        frozenset(methods.split()),
        frozenset(quiet.split()),
    )


CLIENTS: tuple[Client, ...] = (
    _client("requests.Session requests.session requests.sessions.Session", _WEB, _VERBS),
    _client("httpx.Client", _WEB, _VERBS),
    _client("urllib3.PoolManager urllib3.ProxyManager", _WEB, "request urlopen"),
    _client("urllib.request.build_opener urllib.request.OpenerDirector", _WEB, "open"),
    _client("cloudscraper.create_scraper cloudscraper.CloudScraper", _WEB, _VERBS),
    _client("curl_cffi.requests.Session tls_client.Session", _WEB, _VERBS),
    _client("http.client.HTTPConnection http.client.HTTPSConnection", _WEB, "connect request getresponse"),
    _client("subprocess.Popen", _RUN, "wait communicate"),
    _client("os.popen", _RUN, "read readlines close"),
    _client("threading.Thread multiprocessing.Process", _NAMES, "join"),
    _client("threading.Event", _NAMES, "wait"),
    _client("concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor", _NAMES, "result"),
    _client(
        "selenium.webdriver.Chrome selenium.webdriver.Firefox selenium.webdriver.Edge selenium.webdriver.Remote "
        "selenium.webdriver.Safari undetected_chromedriver.Chrome seleniumwire.webdriver.Chrome "
        "seleniumwire.webdriver.Firefox",
        _BROWSER,
        "get refresh find_element find_elements execute_script back forward",
    ),
    _client(
        "selenium.webdriver.support.ui.WebDriverWait selenium.webdriver.support.wait.WebDriverWait",
        _BROWSER,
        "until",
    ),
    _client("playwright.sync_api.sync_playwright", _BROWSER, "start"),
    _client(
        "boto3.client boto3.resource", _DATA, quiet="get_paginator get_waiter generate_presigned_url close"
    ),
    _client("smtplib.SMTP smtplib.SMTP_SSL", _DATA, "connect starttls login send sendmail send_message"),
    _client("elasticsearch.Elasticsearch", _DATA, "index search bulk get delete update count exists"),
    _client("pika.BlockingConnection", _DATA, "channel process_data_events"),
    _client(
        "psycopg2.connect psycopg.connect psycopg.Connection.connect pymysql.connect pymysql.Connect "
        "pymysql.connections.Connection MySQLdb.connect MySQLdb.Connect mysql.connector.connect pyodbc.connect "
        "pymssql.connect cx_Oracle.connect oracledb.connect",
        _DATA,
        _QUERIES,
    ),
    _client("sqlite3.connect", _SMALL, _QUERIES),
    _client("sqlalchemy.create_engine sqlalchemy.engine.create_engine", _DATA, "connect begin execute"),
    _client(
        "sqlalchemy.orm.sessionmaker sqlalchemy.orm.scoped_session sqlalchemy.orm.Session", _DATA, _QUERIES
    ),
    _client("pymongo.MongoClient pymongo.mongo_client.MongoClient", _DATA, _MONGO),
    _client(
        "redis.Redis redis.StrictRedis redis.client.Redis redis.client.StrictRedis redis.from_url "
        "redis.Redis.from_url redis.StrictRedis.from_url",
        _DATA,
        quiet=_REDIS_QUIET,
    ),
)
"""Objects that talk to something outside of the process while everybody waits."""

CONNECTIONS: frozenset[str] = frozenset(
    maker
    for client in CLIENTS
    if client.harm in (_DATA, _SMALL)
    for maker in client.makers
    if "sessionmaker" not in maker and "create_engine" not in maker
) | {"builtins.open()", "io.open()", "codecs.open()"}
"""What a run would share with all others if it were opened by an import."""

_LOGGING = Harm(
    "logging",
    "sets up logging for the whole process",
    "leave it to the LOG_ settings of the project or the run",
)
_SIGNALS = Harm("signals", "takes a signal from the hub", "connect to Scrapy's spider_closed instead")
_LOOP = Harm("event-loop", "meddles with the event loop that all crawls share", "use await, or ensure_future")
_PROCESS = Harm(
    "own-process",
    "starts a Scrapy of its own inside this process",
    'put it under if __name__ == "__main__":, or give the spider a schedule',
)
_REACTOR = Harm(
    "reactor", "starts, stops or replaces the reactor of all crawls", "raise CloseSpider to end a crawl"
)
_QUITS = Harm("process-exit", "ends the whole process", "raise CloseSpider to end a crawl")

PROCESS_WIDE: Mapping[str, Harm] = _table(
    (
        "logging.basicConfig logging.config.dictConfig logging.config.fileConfig logging.disable "
        "logging.captureWarnings logging.setLoggerClass logging.setLogRecordFactory logging.shutdown "
        "logging.getLogger.setLevel logging.getLogger.addHandler scrapy.utils.log.configure_logging coloredlogs.install",
        _LOGGING,
    ),
    ("signal.signal signal.alarm signal.setitimer signal.siginterrupt", _SIGNALS),
    (
        "os.chdir os.fchdir",
        Harm("working-folder", "changes the working folder of all crawls", "use absolute paths"),
    ),
    (
        "locale.setlocale",
        Harm("locale", "changes the locale of all crawls", "parse with the library babel or dateparser"),
    ),
    (
        "warnings.filterwarnings warnings.simplefilter warnings.resetwarnings",
        Harm(
            "warnings",
            "changes which warnings all crawls show",
            "use it within with warnings.catch_warnings():",
        ),
    ),
    (
        "resource.setrlimit",
        Harm("process-limits", "limits the whole process", "set memory_limit of the schedule"),
    ),
    ("os.umask", Harm("umask", "changes the access rights of all files written from now on", "use os.chmod")),
    (
        "socket.setdefaulttimeout socks.set_default_proxy socks.setdefaultproxy",
        Harm("sockets", "changes all sockets of the process", "set DOWNLOAD_TIMEOUT or the request's proxy"),
    ),
    ("time.tzset", Harm("locale", "changes the local time zone of all crawls", "use zoneinfo")),
    (
        "sys.exit builtins.exit builtins.quit",
        Harm("exit", "becomes an error of the run", "raise CloseSpider to end a crawl"),
    ),
    ("os._exit os.abort os.execv os.execl os.execvp os.fork", _QUITS),
    ("scrapy.crawler.CrawlerProcess scrapy.crawler.AsyncCrawlerProcess scrapy.cmdline.execute", _PROCESS),
    (
        "twisted.internet.reactor.run twisted.internet.reactor.stop twisted.internet.reactor.crash "
        "twisted.internet.asyncioreactor.install scrapy.utils.reactor.install_reactor crochet.setup "
        "gevent.monkey.patch_all",
        _REACTOR,
    ),
    (
        "asyncio.run asyncio.set_event_loop asyncio.set_event_loop_policy asyncio.run_until_complete "
        "asyncio.get_event_loop.run_until_complete asyncio.get_event_loop.run_forever "
        "asyncio.get_event_loop.stop asyncio.get_event_loop.close asyncio.get_running_loop.stop "
        "asyncio.get_running_loop.close asyncio.new_event_loop.run_until_complete nest_asyncio.apply uvloop.install",
        _LOOP,
    ),
    (
        "os.putenv os.environ.update os.environ.setdefault os.environ.pop os.environ.clear",
        Harm("environment", "changes the environment of all crawls", "use settings or spider arguments"),
    ),
)
"""Calls whose effect reaches beyond the crawl. An object is written without the ``()`` that made it."""

HIDDEN_WARNINGS = Harm(
    "warnings-hidden", "hides warnings of all crawls", "use it within with warnings.catch_warnings():"
)

LOGGER_LEVEL = Harm(
    "logger-level", "changes this logger for all crawls", "set LOG_LEVEL for the project or the run"
)

_STREAMS = Harm(
    "streams", "replaces a stream of the whole process", "use contextlib.redirect_stdout for a while"
)
PATCHES: Mapping[str, Harm] = {
    "sys.stdout": _STREAMS,
    "sys.stderr": _STREAMS,
    "socket.socket": Harm("sockets", "changes all sockets of the process", "set the request's proxy"),
    "socket.create_connection": Harm(
        "sockets", "changes all sockets of the process", "set the request's proxy"
    ),
    "ssl._create_default_https_context": Harm(
        "certificates",
        "changes how all crawls that use Python's own HTTPS check certificates",
        "leave it out: Scrapy does not check them",
    ),
    "os.environ[]": Harm(
        "environment", "changes the environment of all crawls", "use settings or spider arguments"
    ),
}
"""Attributes of other people's modules that all crawls depend on."""

PATCHED_LIBRARIES = ("scrapy.", "twisted.", "asyncio.", "parsel.", "w3lib.", "itemadapter.")
PATCH = Harm("patch", "changes a library under all crawls", "write a subclass and name it in the settings")

STALE: Mapping[str, Harm] = _table(
    (
        "datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today time.time time.time_ns time.strftime time.ctime time.localtime time.gmtime "
        "arrow.now arrow.utcnow pendulum.now pendulum.today pendulum.yesterday pendulum.tomorrow "
        "pandas.Timestamp.now pandas.Timestamp.today",
        Harm(
            "import-time",
            "is computed once, by the import; all later runs use that old value",
            "compute it in start()",
        ),
    ),
    (
        "uuid.uuid1 uuid.uuid4 secrets.token_hex secrets.token_urlsafe",
        Harm("import-time", "is made once, by the import; all runs use the same one", "make it in start()"),
    ),
    (
        "random.random random.choice random.choices random.randint random.randrange random.sample random.uniform",
        Harm(
            "import-random",
            "is chosen once, by the import; all runs use the same one",
            "choose it in start()",
        ),
    ),
)
"""Values that are different each time, and so are wrong when they are kept."""

AT_IMPORT = Harm(
    "import-time", "holds up the import, and all later runs use what it has returned", "call it in start()"
)

_PATH_METHODS = "open read_text read_bytes write_text write_bytes mkdir touch unlink"
FILE_CALLS: frozenset[str] = frozenset(
    f"{each}()"
    for each in (
        "builtins.open io.open codecs.open gzip.open bz2.open lzma.open zipfile.ZipFile os.makedirs os.mkdir "
        "os.listdir os.scandir os.remove os.unlink os.rename shutil.rmtree sqlite3.connect logging.FileHandler "
        "logging.handlers.RotatingFileHandler pandas.read_csv pandas.read_excel pandas.read_json "
        "openpyxl.load_workbook"
    ).split()
) | {f"pathlib.Path().{each}()" for each in _PATH_METHODS.split()}
"""Calls that take the name of a file or folder first."""

MUTATORS: frozenset[str] = frozenset(
    "append add extend insert update setdefault pop popleft popitem remove discard clear appendleft extendleft "
    "difference_update intersection_update symmetric_difference_update subtract".split()
)

_NOT_HEEDED = "the hub ignores it in the shared reactor"
_DNS = "remove it, or run the project with isolate: process"
IGNORED_SETTINGS: Mapping[str, str] = {
    "MEMUSAGE_ENABLED": "use isolate: process for a memory limit",
    "MEMUSAGE_LIMIT_MB": "use isolate: process for a memory limit",
    "MEMUSAGE_WARNING_MB": "use isolate: process for a memory limit",
    "TELNETCONSOLE_ENABLED": "remove it",
    "REMOTE_CONTROL_ENABLED": "remove it",
    "TWISTED_REACTOR": "use the asyncio reactor, or isolate: process",
    "ASYNCIO_EVENT_LOOP": "remove it",
    "LOG_FILE": "read the log of each run from the hub",
    "DNS_RESOLVER": _DNS,
    "TWISTED_DNS_RESOLVER": _DNS,
    "DNSCACHE_ENABLED": _DNS,
    "DNSCACHE_SIZE": _DNS,
    "DNS_TIMEOUT": _DNS,
    "REACTOR_THREADPOOL_MAXSIZE": "all crawls share 32 threads",
}
"""Settings that have no effect in the shared reactor, each with what to do instead."""

AS_FORCED: Mapping[str, frozenset[object]] = {
    "MEMUSAGE_ENABLED": frozenset({False, 0}),
    "MEMUSAGE_LIMIT_MB": frozenset({0}),
    "MEMUSAGE_WARNING_MB": frozenset({0}),
    "TELNETCONSOLE_ENABLED": frozenset({False, 0}),
    "REMOTE_CONTROL_ENABLED": frozenset({False, 0}),
    "TWISTED_REACTOR": frozenset({"twisted.internet.asyncioreactor.AsyncioSelectorReactor", None}),
    "ASYNCIO_EVENT_LOOP": frozenset({None}),
    "LOG_FILE": frozenset({None, ""}),
}
"""Values of these settings that say what the hub does anyway."""

READ_BY_SCRAPY: frozenset[str] = frozenset(
    "name start_urls allowed_domains custom_settings rules sitemap_urls sitemap_rules sitemap_follow "
    "handle_httpstatus_list user_agent download_delay http_user http_pass".split()
)
"""Attributes of a spider's class that Scrapy reads without the project's help."""

SPIDER_HOOKS: frozenset[str] = frozenset(
    "__init__ from_crawler update_settings start parse closed close handles_request parse_start_url "
    "process_results parse_node parse_row adapt_response parse_nodes parse_rows sitemap_filter "
    "parse_with_rules __new__ _parse _build_request".split()
)
COMPONENT_HOOKS: frozenset[str] = frozenset(
    "__init__ __new__ from_crawler from_settings open_spider close_spider process_item process_request "
    "process_response process_exception process_spider_input process_spider_output "
    "process_spider_output_async process_spider_exception process_start spider_opened spider_closed "
    "get_media_requests file_path item_completed media_downloaded media_failed media_to_download "
    "file_downloaded image_downloaded get_images convert_image thumb_path image_key file_key "
    "request_seen open close log get_retry_request fingerprint __call__ update_settings".split()
)
"""Methods that Scrapy calls by name."""


def by_root(clients: Iterable[Client]) -> dict[str, list[tuple[str, Client]]]:
    """Return the makers of clients by the package that they come from."""
    found: dict[str, list[tuple[str, Client]]] = {}
    for client in clients:
        for maker in client.makers:
            found.setdefault(maker.partition(".")[0], []).append((maker, client))
    return found
