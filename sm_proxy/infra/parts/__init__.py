"""Parts of the template, one module for each subject."""
