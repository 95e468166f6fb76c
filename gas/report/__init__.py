"""What is printed and drawn: tables, figures, the bar of a running search."""
