"""Answers in the formats of other miners, for panels, farm systems and scripts."""
