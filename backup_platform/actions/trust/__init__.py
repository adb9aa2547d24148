"""Whether it is the expected repository, with the expected recipients, by the plan and by what this host remembers."""
