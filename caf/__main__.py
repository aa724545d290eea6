"""`python -m caf` is `caf`."""

from caf.cli.main import main

if __name__ == "__main__":
    main()
