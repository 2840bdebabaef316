"""The pager: a stand-in for chat and paging services that keeps every delivery."""
