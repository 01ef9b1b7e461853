"""`icn doctor`: looks at an installation and says what to do. Source: docs/operating/doctor.md."""
