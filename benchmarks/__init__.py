"""Measurements that README quotes: each module runs alone and prints its table."""
