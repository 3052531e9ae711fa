"""The command line as ``python -m pyro_vds``."""

from pyro_vds.cli.main import main

if __name__ == "__main__":
    main()
