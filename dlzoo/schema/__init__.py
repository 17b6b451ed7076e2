"""A config as text, checked against the signatures of what it names: YAML to Config and back."""
