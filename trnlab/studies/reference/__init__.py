"""The manual, written from the classes and from running them."""
