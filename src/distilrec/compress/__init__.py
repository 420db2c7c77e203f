"""Making a finished model smaller: one verb and one settings class a file. Inputs are never altered."""
