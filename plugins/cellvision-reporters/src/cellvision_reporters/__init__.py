"""Reporters for cellvision: tables, figures, and an HTML page about a run or a study.

Every module or package at the top holds one reporter, except `figures`, which holds the building
blocks that they share.
"""
