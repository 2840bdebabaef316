"""The shipper stamps lines with the time of sending and starts anew after a restart: doubles."""

MODULE = "refstack.logship.ship"
CATCHES = "logs/loss-free::a_short_outage_of_the_log_store_loses_no_line"
REASON = "there twice"


def patch(module):
    module._read_positions = lambda path: {}
    module.written_at = lambda line, year: module.time.time_ns()
