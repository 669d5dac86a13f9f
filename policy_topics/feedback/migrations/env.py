"""Run by Alembic, in the transaction of `Store` that it is given: a step is done whole or not at all."""

from alembic import context

from policy_topics.feedback.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite's DDL is, too, where the driver does not begin transactions of its own
)
with context.begin_transaction():
    context.run_migrations()
