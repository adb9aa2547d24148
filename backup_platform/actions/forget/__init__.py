"""Which recovery points stay, forgetting the others, and giving up those that are lost."""
