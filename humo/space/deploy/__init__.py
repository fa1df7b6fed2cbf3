"""The project on a Hugging Face Space: Spacefile, Hub, upload."""
