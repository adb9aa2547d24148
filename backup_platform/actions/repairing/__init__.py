"""The steps of a repair: what is wrong, what copies hold of it, and putting it back."""
