"""What starts the product: installing, the first start, child processes, the sample campaign."""
