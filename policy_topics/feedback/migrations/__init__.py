"""How the store came to its tables, step by step (Alembic). Steps that were released never change; new ones follow."""
