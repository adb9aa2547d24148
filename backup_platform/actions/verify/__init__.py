"""Reading stored data again: is it present, authentic, decodable, and readable for its recipients?"""
