"""The log shipper: follows the logs of all roles, scrubs them, and pushes them to the log store."""
