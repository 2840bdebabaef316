"""Open-loop load: arrivals on a schedule, latency from the intended start, raw samples kept."""
