"""File trees as a source: every kind of entry, with all that is needed to put it back."""
