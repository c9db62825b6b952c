"""Hosts: what calls the models."""
