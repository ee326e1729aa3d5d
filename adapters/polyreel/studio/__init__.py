"""The studio: a page that shows what every vendor would be sent, and runs it."""
