"""The status page, its data, and the metrics: pure functions that turn rows into documents, and the page itself."""
