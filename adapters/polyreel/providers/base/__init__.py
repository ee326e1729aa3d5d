"""What a vendor is to polyreel."""
