"""What is measured on two images: registration, correlation, shifts, residuals, exposure."""
