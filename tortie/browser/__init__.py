"""What the pages share: look, camera, drop area, list of answers. Text alone, of this package."""
