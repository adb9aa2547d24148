"""Throw-away servers for drills: started, confined, and removed when nobody needs them."""
