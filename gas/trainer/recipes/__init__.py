"""The recipes that come with gas, a YAML file each."""
