"""What comes from the system before caf: its configuration files, read without running them, and its database.

`translate` makes a listeners.toml of the old Python files; `take_over` brings rundb.db into caf's database. The layout
of those files is known in outline only (docs/moving.md), so what is read here is read liberally, and everything that
was not understood is told with file and line.
"""
