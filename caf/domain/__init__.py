"""What caf decides, as pure functions: runs, verdicts, states. Standard library only."""
