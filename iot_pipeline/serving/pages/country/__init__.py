"""Usage of the country by region."""
