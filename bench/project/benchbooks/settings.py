"""Nothing but where the spiders are: everything else is as Scrapy has it."""

BOT_NAME = "benchbooks"
SPIDER_MODULES = ["benchbooks.spiders"]
