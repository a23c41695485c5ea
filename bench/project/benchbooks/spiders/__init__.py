"""One short crawl and one long one."""
