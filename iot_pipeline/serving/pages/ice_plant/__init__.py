"""The refrigeration circuit with its values, and the measures by period."""
