"""Keys: creating, adding, retiring, testing, exporting them."""
