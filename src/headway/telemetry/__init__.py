"""What runs tell of themselves, and who hears it: log lines, metrics, a freshness alert."""
