"""What holds for all tests: signals do what they do in a terminal, wherever the runner was started from."""

import signal

for number, disposition in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:  # inherited, and every child would inherit it in turn
        signal.signal(number, disposition)
