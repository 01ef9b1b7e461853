"""Results told in plain English: sentences and a table, whose every number stands in the result.

Source: docs/spec/voting.md, "Sheets".
"""
