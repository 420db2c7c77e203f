"""Who chose what, in a database: events are appended, histories read, users forgotten."""
