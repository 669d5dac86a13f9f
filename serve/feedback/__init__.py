"""Corrections over HTTP: `/feedback` takes them, `/queue` offers paragraphs that are worth one."""
