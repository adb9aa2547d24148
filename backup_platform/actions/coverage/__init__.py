"""What the plan does not protect: look where it says, judge, and remember since when."""
