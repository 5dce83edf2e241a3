"""Reporters for cellvision: tables, pictures and one page of HTML from a run or a study."""
