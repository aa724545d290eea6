"""Where runs come from: COOL replicas and tables. Each source writes one snapshot of all runs."""
