"""The night rota rings at night only: by day on a weekend nobody is rung, as the table reads."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/route-by-hours::every_hour_has_one_owner"
REASON = "rings nobody"


def patch(module):
    original = module.alertmanager_config

    def by_the_table(pager, scale):
        text = original(pager, scale)
        daily = (
            "  - name: daytime\n"
            "    time_intervals:\n"
            "      - times:\n"
            "          - start_time: '09:00'\n"
            "            end_time: '18:00'\n"
            "        location: Europe/Berlin\n"
        )
        text = text.replace("time_intervals:\n", "time_intervals:\n" + daily, 1)
        return text.replace("mute_time_intervals: [office-hours]", "mute_time_intervals: [daytime]")

    module.alertmanager_config = by_the_table
