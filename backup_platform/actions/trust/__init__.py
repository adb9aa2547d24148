"""Is it the repository that is meant, with the recipients that are meant? The plan and this host tell."""
