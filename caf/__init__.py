"""caf takes a detector's calibration runs from the run database to finished, checked, archived calibrations."""

__version__ = "0.1.0"
