def compare_laws(*a, **k):
    return {}
