"""The day-two scripts' code: what ``scripts/*.sh`` run, on any target, by environment variables."""
