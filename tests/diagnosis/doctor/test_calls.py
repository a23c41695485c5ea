"""Calls that block, reach beyond the crawl, name files: each kind, its disguises, its look-alikes."""

from __future__ import annotations

import pytest

from reactorhub.diagnosis.doctor.calls import blocking, is_relative
from tests.support.doctor_project import found, kinds, spider

PARSE = "def parse(self, response):\n    {}"
ASYNC = "async def parse(self, response):\n    {}"


def in_parse(line: str, top: str = "") -> str:
    """A spider whose callback has one line."""
    return spider(PARSE.format(line), top)


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("import time", "time.sleep(1)"),
        ("from time import sleep as s", "s(1)"),
        ("import time as clock", "clock.sleep(1)"),
        ("import time\nnap = time.sleep", "nap(1)"),
        ("from time import *", "sleep(1)"),
        ("from scrapy.http import *\nfrom time import *\nfrom math import *", "sleep(1)"),
        ("from requests import *", "get('http://x')"),
        ("from requests import *", "s = Session(); s.get('http://x')"),
        ("from urllib import *", "request.urlopen('http://x')"),
        ("import requests as r", "r.get('http://x')"),
        ("from requests import post", "post('http://x')"),
        ("import requests", "requests.Session().get('http://x')"),
        ("import requests", "with requests.Session() as s: s.post('http://x')"),
        ("import requests\nsession = requests.Session()", "session.get('http://x')"),
        ("from urllib.request import urlopen", "urlopen('http://x')"),
        ("import urllib.request", "urllib.request.urlopen('http://x')"),
        ("import httpx", "httpx.get('http://x')"),
        ("import httpx", "httpx.Client().get('http://x')"),
        ("import subprocess", "subprocess.run(['true'])"),
        ("import subprocess as sp", "sp.check_output(['true'])"),
        ("from subprocess import Popen", "Popen(['true']).wait()"),
        ("import subprocess", "p = subprocess.Popen(['true']); p.communicate()"),
        ("import os", "os.system('true')"),
        ("import psycopg2", "psycopg2.connect('')"),
        ("import pymysql.cursors", "pymysql.connect(host='x')"),
        ("import MySQLdb as db", "db.connect('x')"),
        ("from pymongo import MongoClient", "MongoClient().shop.items.insert_one({})"),
        ("import redis", "redis.Redis().get('x')"),
        ("import redis", "redis.from_url('x').set('x', 1)"),
        ("from redis import StrictRedis", "StrictRedis().pipeline().execute()"),
        ("import socket", "socket.gethostbyname('x')"),
        ("from selenium import webdriver", "webdriver.Chrome().get('http://x')"),
        ("import boto3", "boto3.client('s3').put_object()"),
        ("from concurrent.futures import ThreadPoolExecutor", "ThreadPoolExecutor().submit(print).result()"),
        ("from concurrent.futures import ThreadPoolExecutor as P", "with P(2) as p: list(p.map(print, [1]))"),
        ("import concurrent.futures as cf", "list(cf.as_completed([]))"),
        ("from multiprocessing import Pool", "with Pool(2) as pool: pool.map(print, [1])"),
        ("import multiprocessing as mp", "mp.get_context('fork').Pool(2).map(print, [1])"),
        ("try:\n    import requests\nexcept ImportError:\n    requests = None", "requests.get('http://x')"),
        ("", "input('?')"),
        ("from scrapy.shell import inspect_response", "inspect_response(response, self)"),
    ],
)
def test_a_call_that_blocks_is_found_under_any_name(top: str, line: str) -> None:
    """A callback that waits for the world outside holds up everybody, however the call is written."""
    (finding,) = found(in_parse(line, top))
    assert (finding.kind, finding.severity.value) == ("blocks", "isolate")
    assert finding.line == 7 + top.count("\n")


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("import asyncio", "await asyncio.sleep(1)"),
        ("from asyncio import sleep", "await sleep(1)"),
        ("import time", "time.monotonic()"),
        ("import requests", "await asyncio.to_thread(requests.get, 'http://x')"),
        ("import requests, asyncio", "await asyncio.to_thread(lambda: requests.get('http://x'))"),
        (
            "import requests\nfrom twisted.internet.threads import deferToThread",
            "await deferToThread(requests.get, 'x')",
        ),
        ("import time, asyncio", "await asyncio.get_running_loop().run_in_executor(None, time.sleep, 1)"),
        ("import time", "self.pool.submit(time.sleep, 1)"),
        ("import requests", "requests.utils.quote('x')"),
        ("import requests", "self.session = requests.Session()"),
        ("import httpx", "async with httpx.AsyncClient() as client: await client.get('http://x')"),
        ("import redis.asyncio as redis", "await redis.Redis().get('x')"),
        ("from redis import asyncio as redis", "await redis.from_url('x').get('x')"),
        ("from urllib.parse import urljoin", "urljoin('a', 'b')"),
        ("import subprocess", "subprocess.list2cmdline([])"),
        ("from pymongo import MongoClient", "MongoClient()"),
        ("import psycopg2.extras", "psycopg2.extras.Json({})"),
        (
            "from twisted.enterprise import adbapi\nimport time",
            "adbapi.ConnectionPool('x').runInteraction(time.sleep)",
        ),
        ("import threading", "threading.Thread(target=print).start()"),
        ("", "requests = []; requests.append(1)"),
        ("from shop.fake import time", "time.sleep(1)"),
        ("", "self.input('x')"),
        ("def input(text): return text", "input('x')"),
        ("", "time = response.meta['time']; time.sleep(1)"),
    ],
)
def test_what_only_looks_like_blocking_is_left_alone(top: str, line: str) -> None:
    """Awaited, in a thread, a namesake, or the harmless part of a library: nothing to say."""
    assert kinds(spider(ASYNC.format(line), top)) == []


def test_an_attribute_is_what_was_assigned_to_it() -> None:
    """``self.session`` is known in every method, whichever of them has made it."""
    text = spider(
        """
        def __init__(self):
            self.session = requests.Session()

        def parse(self, response):
            self.session.get("http://x")
        """,
        "import requests",
    )
    (finding,) = found(text)
    assert (finding.line, finding.what[:27]) == (10, "requests.Session().get() bl")


def test_a_variable_of_another_module_is_followed() -> None:
    """``from shop.db import client`` is as good as the client itself."""
    text = in_parse("client.get('x')", "from shop.db import client")
    db = "import redis\nclient = redis.Redis()\n"
    assert kinds(text, db=db) == ["import-connection", "blocks"]


@pytest.mark.parametrize(
    ("top", "line", "kind"),
    [
        ("import logging", "logging.basicConfig(level=10)", "logging"),
        ("from logging.config import dictConfig", "dictConfig({})", "logging"),
        ("import logging", "logging.getLogger().setLevel(10)", "logging"),
        ("import logging\nroot = logging.getLogger()", "root.addHandler(None)", "logging"),
        ("from scrapy.utils.log import configure_logging as c", "c()", "logging"),
        ("import logging", "logging.getLogger('scrapy').setLevel(30)", "logger-level"),
        ("import signal", "signal.signal(signal.SIGTERM, None)", "signals"),
        ("import signal", "signal.alarm(5)", "signals"),
        ("from os import chdir", "chdir('/tmp')", "working-folder"),
        ("import locale", "locale.setlocale(locale.LC_ALL, 'de_DE')", "locale"),
        ("import warnings", "warnings.simplefilter('error')", "warnings"),
        ("import warnings", "warnings.resetwarnings()", "warnings"),
        ("import warnings", "warnings.filterwarnings('ignore')", "warnings-hidden"),
        ("import resource", "resource.setrlimit(resource.RLIMIT_AS, (1, 1))", "process-limits"),
        ("import ssl", "ssl._create_default_https_context = ssl._create_unverified_context", "certificates"),
        ("import scrapy.http", "scrapy.http.TextResponse.text = ''", "patch"),
        ("from twisted.web.client import Agent", "Agent.request = None", "patch"),
        ("import os", "os.umask(0)", "umask"),
        ("import sys", "sys.exit(1)", "exit"),
        ("", "exit()", "exit"),
        ("import os", "os._exit(1)", "process-exit"),
        ("import os, signal", "os.kill(os.getpid(), signal.SIGINT)", "process-exit"),
        ("import _thread", "_thread.interrupt_main()", "process-exit"),
        ("import random", "random.seed(42)", "random-seed"),
        ("import socket", "socket.getaddrinfo = print", "sockets"),
        ("from loguru import logger", "logger.add('shop.log')", "relative-path"),
        ("import configparser", "configparser.ConfigParser().read('shop.ini')", "relative-path"),
        ("import configparser\nc = configparser.ConfigParser()", "c.read('shop.ini')", "relative-path"),
        ("import os", "os.path.exists('seen.txt')", "relative-path"),
        ("import json", "json.JSONEncoder.default = None", "patch"),
        ("import builtins", "builtins.print = None", "patch"),
        ("import http.client", "http.client._MAXHEADERS = 1000", "patch"),
        ("from twisted.internet import reactor", "reactor.stop()", "reactor"),
        ("import asyncio", "asyncio.run(None)", "event-loop"),
        ("import asyncio", "asyncio.get_event_loop().run_until_complete(None)", "event-loop"),
        ("import asyncio", "asyncio.set_event_loop(None)", "event-loop"),
        ("from scrapy.crawler import CrawlerProcess", "CrawlerProcess()", "own-process"),
        ("import socket", "socket.setdefaulttimeout(5)", "sockets"),
        ("import sys", "sys.stdout = None", "streams"),
        ("import os", "os.environ['TZ'] = 'UTC'", "environment"),
    ],
)
@pytest.mark.parametrize("at_import", [False, True])
def test_calls_beyond_the_crawl_are_found(top: str, line: str, kind: str, at_import: bool) -> None:
    """What changes the whole process is found in a callback and at the top of a module."""
    text = spider("pass", f"{top}\n{line}") if at_import else in_parse(line, top)
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("import logging", "logging.getLogger(__name__).setLevel(10)"),
        ("import logging", "logging.getLogger('x').warning('x')"),
        ("import logging", "logging.info('x')"),
        ("import warnings", "warnings.warn('x')"),
        ("import warnings", "with warnings.catch_warnings(): warnings.simplefilter('ignore')"),
        ("import signal", "signal.getsignal(signal.SIGTERM)"),
        ("from scrapy import signals", "signals.spider_closed"),
        ("import locale", "locale.getlocale()"),
        ("import locale", "locale.setlocale(locale.LC_ALL)"),
        ("from scrapy.http import Request", "request = Request('http://x'); request.x = 1"),
        ("import sys", "sys.stdout.write('x')"),
        ("import sys", "print('x', file=sys.stderr)"),
        ("import os", "os.environ['HOME']"),
        ("import os", "os.environ.get('HOME')"),
        ("import os", "os.getcwd()"),
        ("import os", "os.kill(self.program.pid, 15)"),
        ("import random", "random.Random(42).random()"),
        ("import os", "os.path.exists('/etc/hosts')"),
        ("import json", "encoder = json.JSONEncoder(); encoder.default = None"),
        ("import requests", "session = requests.Session(); session.verify = False"),
        ("import sys\nfrom loguru import logger", "logger.add(sys.stderr)"),
        ("from twisted.internet import reactor", "reactor.callLater(1, self.parse)"),
        ("import asyncio", "asyncio.get_event_loop()"),
        ("import asyncio", "asyncio.ensure_future(None)"),
        ("from scrapy.exceptions import CloseSpider", "raise CloseSpider('done')"),
        ("import contextlib, io", "with contextlib.redirect_stdout(io.StringIO()): pass"),
    ],
)
def test_calls_that_stay_within_the_crawl_are_left_alone(top: str, line: str) -> None:
    """Reading what others set, and logging as usual, harms nobody."""
    assert kinds(in_parse(line, top)) == []


@pytest.mark.parametrize(
    "guard", ["if __name__ == '__main__':", "if '__main__' == __name__:", "if TYPE_CHECKING:"]
)
def test_guarded_code_does_not_run(guard: str) -> None:
    """An import does not run what stands below the usual guards."""
    top = f"""
        import logging, time
        from typing import TYPE_CHECKING
        from scrapy.crawler import CrawlerProcess
        {guard}
            logging.basicConfig()
            CrawlerProcess().start()
            time.sleep(1)
    """
    assert kinds(spider("pass", top)) == []


def test_what_an_import_calls_is_a_part_of_it() -> None:
    """A function that is called at the top of a module counts as the import does."""
    called = "import logging\ndef set_up():\n    logging.basicConfig()\n"
    assert kinds(spider("pass", f"{called}set_up()")) == ["logging"]
    assert kinds(spider("pass", called)) == []
    helper = f"{called}set_up()\n"
    assert kinds(spider("pass", "from shop import helper"), helper=helper) == ["logging"]


def test_an_import_that_waits_for_the_network_is_found() -> None:
    """``requests.get`` at the top of a module holds up the hub's start, and gives old values later."""
    (finding,) = found(spider("pass", "import requests\nURLS = requests.get('http://x').json()"))
    assert (finding.kind, finding.line, finding.at_import) == ("import-time", 3, True)


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("from time import *\ndef sleep(n): pass", "sleep(1)"),
        ("from asyncio import *", "sleep(1)"),
        ("from nobody.knows import *", "sleep(1)"),
        ("from time import *", "self.sleep(1)"),
        ("from time import *", "sleep = print; sleep(1)"),
    ],
)
def test_a_star_import_of_something_else(top: str, line: str) -> None:
    """A name comes from a module only if the module has it, and nothing nearer has."""
    assert kinds(in_parse(line, top)) == []


def test_a_file_that_is_named_after_its_spider() -> None:
    """The finding shows what the code tells of the name."""
    assert 'open("<name>_")' in found(in_parse("open(f'{spider.name}_{self.day}.csv')"))[0].what


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("", "open('urls.txt')"),
        ("", "with open(f'out/{response.url}', 'w') as f: f.write('x')"),
        ("NAME = 'urls.txt'", "open(NAME)"),
        ("", "name = f'page-{response.url}.html'; open(name, 'w')"),
        ("from pathlib import Path", "Path('out').mkdir()"),
        ("import pathlib", "(pathlib.Path('out') / 'x').write_text('x')"),
        ("import os", "os.makedirs('out')"),
        ("import os", "os.makedirs(os.path.join('out', 'x'))"),
        ("import pandas as pd", "pd.read_csv('urls.csv')"),
        ("", "open('out/%s.html' % response.url)"),
        ("", "open(self.name + '.csv')"),
        ("", "open(f'{self.name}.csv', 'a')"),
        ("", "open(f'{self.name}_{response.url}.csv', 'a')"),
        ("", "open('%s.csv' % self.name)"),
        ("", "open('{}.csv'.format(self.name))"),
        ("", "open(spider.name + '.csv')"),
        ("NAME = 'urls'", "open(f'{NAME}.txt')"),
        ("", "path = f'{self.name}.csv'; open(path)"),
    ],
)
def test_a_relative_path_is_found(top: str, line: str) -> None:
    """A file name without a folder is looked for in the hub's working folder."""
    assert kinds(in_parse(line, top)) == ["relative-path"]


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("", "open('/etc/hosts')"),
        ("import os", "open(os.devnull)"),
        ("", "open(self.path)"),
        ("from pathlib import Path", "path = Path(self.path); path.open('ab')"),
        ("from pathlib import Path", "Path(self.path).open('ab')"),
        ("from pathlib import Path", "self.path = Path(self.folder) / 'x'; self.path.open('ab')"),
        ("", "open(f'{self.folder}/x')"),
        ("", "open(self.folder + '/x')"),
        ("", "open(f'{self.title}.csv')"),
        ("", "open('' + self.folder)"),
        ("", "open(f'{response.meta}/{self.name}.csv')"),
        ("ROOT = '/data'", "open(f'{ROOT}/{self.name}.csv')"),
        ("ROOT = '/data/'", "open(ROOT + self.name)"),
        ("", "open('{}/x'.format(self.folder))"),
        ("", "open('%s/x' % self.folder)"),
        ("from pathlib import Path\nHERE = Path(__file__).parent", "(HERE / 'urls.txt').read_text()"),
        ("from pathlib import Path", "Path(__file__).parent.joinpath('x').open('r')"),
        ("import os\nHERE = os.path.dirname(__file__)", "open(os.path.join(HERE, 'urls.txt'))"),
        ("", "open('~/x'.replace('~', self.home))"),
        ("import zipfile, io", "zipfile.ZipFile(io.BytesIO(response.body)).open('data.csv')"),
        ("import tarfile", "tarfile.open(fileobj=response.body)"),
        ("import pandas as pd", "pd.read_csv('https://shop.example/x.csv')"),
        ("", "response.urljoin('x')"),
        ("", "self.opener.open('x')"),
    ],
)
def test_paths_that_are_whole_or_unknown_are_left_alone(top: str, line: str) -> None:
    """Only what the code itself shows to be relative is said to be."""
    assert kinds(in_parse(line, top)) == []


@pytest.mark.parametrize("line", ["import time", "time.sleep(1)  # reactorhub: shared, it is short"])
def test_a_comment_silences_its_line(line: str) -> None:
    """``# reactorhub: shared`` on a line is the last word about it."""
    assert kinds(in_parse(line, "import time")) == []


def test_a_comment_silences_a_call_of_several_lines() -> None:
    """The comment may stand on any of the lines."""
    text = spider(
        """
        def parse(self, response):
            time.sleep(
                1,  # reactorhub: shared
            )
            time.sleep(2)
        """,
        "import time",
    )
    assert [each.line for each in found(text)] == [10]


def test_a_library_is_reported_once_for_each_function() -> None:
    """Ten statements to one database are one finding."""
    lines = "\n    ".join(["c = psycopg2.connect('')", *["c.cursor().execute('x')"] * 9])
    assert kinds(in_parse(lines, "import psycopg2")) == ["blocks"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pymongo.MongoClient()[][].insert_one()", "pymongo.MongoClient().insert_one()"),
        ("redis.Redis().get().decode()", None),
        ("redis.Redis().close()", None),
        ("requests.Session().get().json()", None),
        ("psycopg2.connect().cursor().execute()", "psycopg2.connect().execute()"),
        ("sqlalchemy.orm.sessionmaker()().commit()", "sqlalchemy.orm.sessionmaker().commit()"),
        ("sqlalchemy.create_engine()", None),
    ],
)
def test_a_client_blocks_by_some_of_its_methods(path: str, name: str | None) -> None:
    """Making a client, and what is done with its answers, does not wait for anybody."""
    found = blocking(path)
    assert (found[0] if found else None) == name


@pytest.mark.parametrize(
    ("text", "relative"),
    [
        ("x.csv", True),
        ("./x", True),
        ("../x", True),
        ("data/", True),
        ("/x", False),
        ("~/x", False),
        ("C:\\x", False),
        ("s3://x", False),
        (":memory:", False),
        ("file:x?mode=ro", False),
        ("", False),
        ("{}", False),
        ("%s.csv", False),
    ],
)
def test_what_a_relative_path_looks_like(text: str, relative: bool) -> None:
    """A path is relative if it begins with a name or a dot."""
    assert is_relative(text) is relative


def test_a_chain_of_attributes_is_followed_to_its_beginning() -> None:
    """``self.cursor`` that came from ``self.connection`` is a cursor of that library."""
    text = spider(
        """
        def __init__(self):
            self.connection = psycopg2.connect("")  # reactorhub: shared
            self.cursor = self.connection.cursor()

        def parse(self, response):
            self.cursor.execute("select 1")
        """,
        "import psycopg2",
    )
    (finding,) = found(text)
    assert (finding.line, finding.what[:30]) == (11, "psycopg2.connect().execute() b")
