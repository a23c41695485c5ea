"""The settings of every spider. See https://docs.scrapy.org/en/latest/topics/settings.html"""

BOT_NAME = "bookshop"
USER_AGENT = "bookshop (example project, crawls its own machine only)"

SPIDER_MODULES = ["bookshop.spiders"]
NEWSPIDER_MODULE = "bookshop.spiders"

# The shop is on this machine. On the site of somebody else, begin with one request at a time and a delay.
CONCURRENT_REQUESTS_PER_DOMAIN = 8
DOWNLOAD_DELAY = 0
DOWNLOAD_TIMEOUT = 30
ROBOTSTXT_OBEY = True
COOKIES_ENABLED = False

# Each of these would open a port for each crawl.
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False

ITEM_PIPELINES = {"bookshop.pipelines.PriceCheck": 300}
FEED_EXPORT_ENCODING = "utf-8"
LOG_LEVEL = "INFO"
