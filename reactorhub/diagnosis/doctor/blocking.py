"""Calls that do not return before something outside of the process has happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reactorhub.diagnosis.doctor.kinds import Harm, table

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

BLOCKING: Mapping[str, Harm] = table(
    ("time.sleep", _SLEEP),
    (
        "curl_cffi.requests.get curl_cffi.requests.post curl_cffi.requests.request "
        "requests.get requests.post requests.put requests.patch requests.delete requests.head "
        "requests.options "
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
        "pymysql.connections.Connection MySQLdb.connect MySQLdb.Connect mysql.connector.connect "
        "pyodbc.connect "
        "pymssql.connect cx_Oracle.connect oracledb.connect",
        _DATA,
    ),
    ("sqlite3.connect", _SMALL),
    ("concurrent.futures.wait concurrent.futures.as_completed", _NAMES),
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
    _client(
        "concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor", _NAMES, "result map"
    ),
    _client(
        "multiprocessing.Pool multiprocessing.get_context().Pool multiprocessing.pool.Pool "
        "multiprocessing.pool.ThreadPool multiprocessing.dummy.Pool",
        _NAMES,
        "map starmap apply join",
    ),
    _client(
        "selenium.webdriver.Chrome selenium.webdriver.Firefox selenium.webdriver.Edge "
        "selenium.webdriver.Remote "
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
        "pymysql.connections.Connection MySQLdb.connect MySQLdb.Connect mysql.connector.connect "
        "pyodbc.connect "
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


def by_root(clients: Iterable[Client]) -> dict[str, list[tuple[str, Client]]]:
    """Return the makers of clients by the package that they come from."""
    found: dict[str, list[tuple[str, Client]]] = {}
    for client in clients:
        for maker in client.makers:
            found.setdefault(maker.partition(".")[0], []).append((maker, client))
    return found
