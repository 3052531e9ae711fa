"""What the experiments share: training of repeats, what is measured of them, and where results are."""
