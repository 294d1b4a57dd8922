"""Animations as people need them.

verdicts                       which drawn results of known truth are accepted: right ones, and seven ways to be wrong
"""
