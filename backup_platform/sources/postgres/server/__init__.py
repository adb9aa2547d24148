"""Temporary servers for drills: started, isolated, and removed when nobody needs them."""
