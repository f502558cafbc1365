"""The kinds of source, a file each; `source` says what each of them gives."""
