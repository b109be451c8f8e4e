"""What has been trained as tables, pictures and a page."""
