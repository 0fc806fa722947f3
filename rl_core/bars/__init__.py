"""A bars file becomes `Bars`: read strictly, examined, or put together from a vendor's file."""
