"""The paper's models and their exact likelihood, as pure functions of parameters and images.

Each file names the section, equation, table or figure that it implements. Imports only `errors`, `images` and `platforms`.
"""
