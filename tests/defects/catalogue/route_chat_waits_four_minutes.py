"""Pages are gathered for four minutes before the chat hears of one."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::nothing_makes_a_page_late_or_mute"
REASON = "chat is told of a page after"


def patch(module):
    original = module.alertmanager_config

    def late(pager, scale):
        wait = module.scaled("10s", scale)
        return original(pager, scale).replace(
            f"group_wait: {wait}", f"group_wait: {module.scaled('4m', scale)}", 1
        )

    module.alertmanager_config = late
