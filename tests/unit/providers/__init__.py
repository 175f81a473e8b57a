"""Tests of the providers' tables, wire forms and signing."""
