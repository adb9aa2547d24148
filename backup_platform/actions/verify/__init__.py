"""Read what is stored again: present, authentic, decodable, and readable by whom it was written for."""
