"""pytest hooks: options, selection of cases, verdicts, the run's life, the closing summary."""
