"""The paper: every model as pure functions of parameters and images, and their exact likelihood.

A reader with the paper in one hand finds each equation here. Imports nothing but `errors` and `images`.
"""
