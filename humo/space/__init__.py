"""What the page needs besides its layout: requests, jobs on the one device, their HTML, the theme."""
