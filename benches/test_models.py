"""What many arrays cost: one Adam step over all parameters of whole models, in one call.

ResNet-50 has 161 arrays of very different sizes, GPT-2 small 148; 784-512-10 fits into the cache.
"""

GROUP = "models"


def test_models(case):
    case()
