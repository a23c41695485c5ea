"""What runs outside the hub: the zygote, and the processes that it forks for single crawls.

It runs under the Python of any project, with any Scrapy from 2.11 on. So it imports nothing but the standard
library and what comes with Scrapy, and by relative names, since nothing else of the hub is there.
"""
