"""The shipper keeps no place in a file: after a restart it begins at the end."""

MODULE = "refstack.logship.tail"
CATCHES = "logs/loss-free::a_short_outage_of_the_log_store_loses_no_line"
REASON = "every line is there"


def patch(module):
    original = module.Tail.__init__

    def at_the_end(self, path, place, now):
        original(self, path, place, now)
        if place is not None:
            self.place.offset += self.behind()

    module.Tail.__init__ = at_the_end
