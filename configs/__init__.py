"""What can be set, and the taxonomy. Imported by every room of the house; imports none of them."""
