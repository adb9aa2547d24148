"""Which recovery points stay, how the others are forgotten, and how lost ones are given up."""
