"""Assets of a plan: backups, their copies, the upkeep of repositories, and the checks of each."""
