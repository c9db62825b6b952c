"""What is learned from outcomes: features of texts, weights and their files, and how they are trained and measured.

What decides about a call is pure Python; training and measuring need numpy (extra ``learn``).
"""
