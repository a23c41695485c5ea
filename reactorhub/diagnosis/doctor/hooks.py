"""What Scrapy calls and reads by name."""

from __future__ import annotations

from reactorhub.diagnosis.doctor.kinds import words

READ_BY_SCRAPY: frozenset[str] = words(
    "name start_urls allowed_domains custom_settings rules sitemap_urls sitemap_rules sitemap_follow "
    "handle_httpstatus_list user_agent download_delay http_user http_pass"
)
"""Attributes of a spider's class that Scrapy reads without the project's help."""

SPIDER_HOOKS: frozenset[str] = words(
    "__init__ from_crawler update_settings start parse closed close handles_request parse_start_url "
    "process_results parse_node parse_row adapt_response parse_nodes parse_rows sitemap_filter "
    "parse_with_rules __new__ _parse _build_request"
)

COMPONENT_HOOKS: frozenset[str] = words(
    "__init__ __new__ from_crawler from_settings open_spider close_spider process_item process_request "
    "process_response process_exception process_spider_input process_spider_output "
    "process_spider_output_async process_spider_exception process_start spider_opened spider_closed "
    "get_media_requests file_path item_completed media_downloaded media_failed media_to_download "
    "file_downloaded image_downloaded get_images convert_image thumb_path image_key file_key "
    "request_seen open close log get_retry_request fingerprint __call__ update_settings _persist_stats"
)
"""Methods that Scrapy calls by name."""
