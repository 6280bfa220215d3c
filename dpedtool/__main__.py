"""`python -m dpedtool` is `dpedtool`."""

from dpedtool.pipeline.cli import main

if __name__ == "__main__":
    main()
