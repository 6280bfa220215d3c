"""From photo pairs of phone and DSLR to a data set and a trained network: `dpedtool --help` lists the commands."""
