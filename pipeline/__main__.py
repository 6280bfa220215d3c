"""`python -m pipeline` is `dpedtool`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
